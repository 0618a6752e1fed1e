package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	xterm "golang.org/x/term"

	"agentprocess/internal/approval"
	"agentprocess/internal/term"
)

const (
	// keysEvery is how often keys are looked for. Nothing ever blocks in a read
	// of the terminal, which could not be ended and would eat the next key.
	keysEvery = 50 * time.Millisecond
	// mostDetail and leastDetail bound the rows for details, mostRule those for
	// what the rule says.
	mostDetail, leastDetail, mostRule = 12, 1, 3
	// usualRows is the height of a terminal that does not say.
	usualRows = 24
)

// footer is what shows lines below the stream. *report.Live is one.
type footer interface{ Footer(lines ...term.Cell) }

// prompter asks on the terminal that a run is watched on.
type prompter struct {
	keys     *os.File // the terminal
	screen   *term.Screen
	below    footer
	who      string
	keyboard func(*os.File) (keyboard, error)
}

// keyboard gives the keys that were typed, none when there are none.
type keyboard interface {
	read(buf []byte) (int, error)
	close() error
}

// prompter is who asks the person at this terminal; nil when there is none, or
// when what they look at is not drawn by below. A run that was started with
// --no-input or --json must not have one.
func (d *deps) prompter(below footer) approval.Prompter {
	keys, ok := d.streams.In.(*os.File)
	if !ok || !d.streams.InTTY || !d.streams.Out.TTY {
		return nil
	}
	return &prompter{keys: keys, screen: d.streams.Out, below: below, who: person(), keyboard: openKeyboard}
}

// errBackground says that the terminal is somebody else's at the moment.
var errBackground = errors.New("this process is not in the terminal's foreground")

// Prompt implements approval.Prompter.
func (p *prompter) Prompt(ctx context.Context, q approval.Question) (a approval.Answer, err error) {
	keys, err := p.keyboard(p.keys)
	if err != nil {
		return a, fmt.Errorf("ask on the terminal: %w", err)
	}
	defer func() {
		p.below.Footer()
		err = errors.Join(err, keys.close())
	}()
	ticker := time.NewTicker(keysEvery)
	defer ticker.Stop()
	l := &answerLine{}
	p.show(q, l)
	buf := make([]byte, 256)
	for {
		select {
		case <-ctx.Done():
			return a, context.Cause(ctx)
		case <-ticker.C:
		}
		n, err := keys.read(buf)
		if err != nil {
			return a, fmt.Errorf("read the answer: %w", err)
		}
		if n == 0 {
			continue
		}
		if l.take(buf[:n]) {
			return l.answer(p.who), nil
		}
		p.show(q, l)
	}
}

// show draws the question and what is typed. It fits the height of the screen
// wherever it can: what has scrolled away cannot be wiped.
func (p *prompter) show(q approval.Question, l *answerLine) {
	lines := []term.Cell{{Text: "? " + q.Name + " asks", Style: term.StyleYellow}}
	for _, line := range wrapped(p.screen, q.Subject, 3) {
		lines = append(lines, term.Cell{Text: "  " + line, Style: term.StyleBold})
	}
	rule := wrapped(p.screen, ruleText(q), 4)
	if len(rule) > mostRule {
		rule = append(rule[:mostRule-1], rule[mostRule-1]+" …")
	}
	for _, line := range rule {
		lines = append(lines, term.Text("  "+line))
	}
	until := fmt.Sprintf("  until %s, then no · agent-process policy answer %s", q.Deadline.Local().Format(time.TimeOnly), q.ID)
	end := []term.Cell{{Text: until, Style: term.StyleDim}}
	if l.wrong != "" {
		end = append(end, term.Cell{Text: "  " + l.wrong, Style: term.StyleYellow})
	}
	end = append(end, term.Text(fit("  y or n, or n and a reason, then Enter: ", l.text(), p.screen.Columns()-2)))
	lines = append(lines, p.detail(q, len(lines)+len(end)+2)...) // the status line, and the one that says how much is missing
	p.below.Footer(append(lines, end...)...)
}

// fit is a label and the end of what was typed, as much as there is room for.
func fit(label, typed string, room int) string {
	typed = term.Visible(typed)
	for term.Width(label)+term.Width(typed) > room {
		_, size := utf8.DecodeRuneInString(typed)
		if size == 0 {
			return label
		}
		typed = typed[size:]
	}
	return label + typed
}

// detail is as much of the details as fits beside other rows, and how to see
// the rest.
func (p *prompter) detail(q approval.Question, other int) []term.Cell {
	var all []string
	for _, line := range detailLines(q) {
		all = append(all, term.Wrap(line, max(p.screen.Columns()-5, 1))...)
	}
	_, rows, err := xterm.GetSize(int(p.keys.Fd()))
	if err != nil || rows <= 0 {
		rows = usualRows
	}
	most := min(max(rows-other, leastDetail), mostDetail)
	var lines []term.Cell
	for _, line := range all[:min(len(all), most)] {
		lines = append(lines, term.Text("  │ "+line))
	}
	if more := len(all) - most; more > 0 {
		lines = append(lines, term.Cell{Text: fmt.Sprintf("  │ … %d more lines: agent-process policy pending", more), Style: term.StyleYellow})
	}
	return lines
}

// answerLine is the line that a person types.
type answerLine struct {
	typed []byte
	wrong string // what to say about the last line
}

// The keys that edit a line.
const (
	keyErase  = 0x7f
	keyErase2 = 0x08
	keyKill   = 0x15 // Ctrl-U
	keyWord   = 0x17 // Ctrl-W
	keyEscape = 0x1b
)

// maxTyped bounds a line, in bytes.
const maxTyped = maxReason

// take takes keys and reports whether they made an answer. What stands behind
// the end of a line was not meant for what comes next, and is dropped.
func (l *answerLine) take(keys []byte) bool {
	for _, c := range keys {
		if c == keyEscape {
			return false // an arrow or the like: the rest of what came with it is its name
		}
		if c == '\r' || c == '\n' {
			if _, _, ok := l.decision(); ok {
				return true
			}
			l.wrong, l.typed = fmt.Sprintf("%q is neither y nor n", term.Visible(l.text())), nil
			return false
		}
		l.key(c)
	}
	return false
}

func (l *answerLine) key(c byte) {
	switch {
	case c == keyErase || c == keyErase2:
		_, size := utf8.DecodeLastRune(l.typed)
		l.typed = l.typed[:len(l.typed)-size]
	case c == keyKill:
		l.typed = nil
	case c == keyWord:
		kept := strings.TrimRight(string(l.typed), " ")
		l.typed = l.typed[:strings.LastIndexByte(kept, ' ')+1]
	case c >= ' ' && len(l.typed) < maxTyped:
		l.typed = append(l.typed, c)
	}
}

// text is what was typed, without the part of a character that is not whole.
func (l *answerLine) text() string { return strings.ToValidUTF8(string(l.typed), "") }

// decision reads y, n, or n and a reason. A yes takes no more words: who says
// "yes, but" has not agreed.
func (l *answerLine) decision() (allow bool, reason string, ok bool) {
	word, reason, _ := strings.Cut(strings.TrimSpace(l.text()), " ")
	reason = strings.TrimSpace(reason)
	switch strings.ToLower(word) {
	case "y", "yes":
		return true, "", reason == ""
	case "n", "no", "n:", "no:", "n,", "no,":
		return false, reason, true
	}
	return false, "", false
}

func (l *answerLine) answer(who string) approval.Answer {
	allow, reason, ok := l.decision()
	if !allow && reason == "" {
		reason = deniedBy(who)
	}
	return approval.Answer{Allow: allow && ok, Reason: reason, By: who}
}
