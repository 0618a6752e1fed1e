package report

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/term"
)

// shownDenials is how many different denials a stream shows before it only
// counts them: an agent that tries names by the thousand must not drown it.
const shownDenials = 40

// textWidth is the widest that prose is set.
const textWidth = 100

// LiveOptions say how a run is streamed.
type LiveOptions struct {
	// Status keeps a line up to date below the stream, on a terminal.
	Status bool
	// Now is the clock of the status line.
	Now func() time.Time
}

// Live is an audit.Sink that prints a run as it happens, for people.
type Live struct {
	mu      sync.Mutex
	screen  *term.Screen
	paint   term.Paint
	options LiveOptions
	digest  *Digest
	started time.Time
	group   group             // of the last line printed
	open    map[string]string // tool calls without a result: id to label
	tree    string            // how the path of the tree ends; see treeMark
	last    string            // id of the call whose line was printed last
	doing   string            // for the status line
	below   int               // lines of the status and footer that stand on the screen
	footer  []term.Cell       // see Footer
	watched map[string]bool   // hooks whose failure to do more than watch was said
	flooded bool              // the note about shownDenials was printed
	err     error
}

// group is a kind of lines that stand together; a blank line parts two.
type group int

const (
	groupNone group = iota
	groupPhase
	groupText
	groupAct
	groupEnd
)

// NewLive makes a stream onto a screen.
func NewLive(screen *term.Screen, options LiveOptions) *Live {
	return &Live{
		screen: screen, paint: screen.Paint(), options: options,
		digest: NewDigest(), open: map[string]string{}, watched: map[string]bool{},
	}
}

// Write implements audit.Sink. It gives no error for a screen that is gone;
// see Close.
func (l *Live) Write(e audit.Event) error {
	p, err := audit.Decode(e)
	if err != nil {
		p = audit.Notice{Level: audit.Warn, Text: err.Error()}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.started.IsZero() {
		l.started, l.tree = e.Time, treeMark(e.Run)
	}
	before := len(l.digest.Denials) + len(l.digest.Warned)
	l.digest.Add(p)
	l.show(p, len(l.digest.Denials)+len(l.digest.Warned) > before)
	return nil
}

// Animate redraws the status line each second until ctx ends.
func (l *Live) Animate(ctx context.Context) {
	if !l.hasStatus() {
		return
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			l.mu.Lock()
			l.print()
			l.mu.Unlock()
		}
	}
}

// Close takes the status line and the footer away and says whether all could be shown.
func (l *Live) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.options.Status, l.footer = false, nil
	l.print()
	return l.err
}

func (l *Live) show(p audit.Payload, fresh bool) {
	switch p := p.(type) {
	case audit.Phase:
		l.begin(groupPhase, l.phase(p)...)
	case audit.Notice:
		l.begin(l.group, l.notice(p)...)
	case audit.Say:
		l.say(p)
	case audit.Output:
		l.begin(groupAct, l.output(p)...)
	case audit.ToolCall:
		l.call(p)
	case audit.ToolResult:
		l.result(p)
	case audit.Verdict:
		l.verdict(p, fresh)
	case audit.Question:
		l.begin(groupAct, l.question(p)...)
	case audit.OwnHook:
		l.ownHook(p)
	case audit.Held:
		l.begin(groupAct, l.held(p)...)
	case audit.Request:
		l.request(p, fresh)
	case audit.EgressChange:
		l.begin(groupAct, l.egressChange(p)...)
	case audit.Commit:
		l.begin(groupAct, l.commit(p)...)
	case audit.Usage:
		l.print()
	case audit.Outcome:
		l.doing, l.options.Status = "", false
		l.begin(groupEnd, l.summary(p)...)
	}
}

// begin prints lines of a group, apart from those of another.
func (l *Live) begin(g group, lines ...string) {
	if l.group != groupNone && (g != l.group || g == groupText) {
		lines = append([]string{""}, lines...)
	}
	if g != groupNone {
		l.group = g
	}
	l.last = ""
	l.print(lines...)
}

// print writes lines above the status line and the footer, in one write so
// that nothing comes in between.
func (l *Live) print(lines ...string) {
	var b strings.Builder
	b.WriteString(l.wipe())
	for _, line := range lines {
		b.WriteString(l.fit(line) + "\n")
	}
	below := l.footerLines()
	if status := l.statusLine(); status != "" {
		below = append([]string{l.paint.Dim(status)}, below...)
	}
	l.below = len(below)
	b.WriteString(strings.Join(below, "\n"))
	if b.Len() == 0 || l.err != nil {
		return
	}
	if _, err := l.screen.Write([]byte(b.String())); err != nil {
		l.err = fmt.Errorf("show the run: %w", err)
	}
}

// fit is the last resort against lines that a terminal would break; styled
// lines were fitted when they were made.
func (l *Live) fit(line string) string {
	if !l.screen.TTY || strings.Contains(line, "\x1b") {
		return line
	}
	return term.Truncate(line, l.screen.Columns())
}

func (l *Live) hasStatus() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.screen.TTY && l.options.Status
}

func (l *Live) statusLine() string {
	if !l.screen.TTY || !l.options.Status || l.started.IsZero() {
		return ""
	}
	passed := l.options.Now().Sub(l.started).Truncate(time.Second)
	parts := []string{duration(max(passed, time.Second))}
	if n := calls(l.digest); n > 0 {
		parts = append(parts, plural(n, "tool call"))
	}
	if n := l.digest.Denied(); n > 0 {
		parts = append(parts, fmt.Sprintf("%d denied", n))
	}
	if l.digest.Cost.OutputTokens > 0 {
		parts = append(parts, tokens(l.digest.Cost))
	}
	if l.doing != "" {
		parts = append(parts, l.doing)
	}
	return term.Truncate("  "+strings.Join(parts, " · "), l.screen.Columns()-1)
}

func calls(d *Digest) int {
	n := 0
	for _, t := range d.Tools {
		n += t.Calls
	}
	return n
}
