package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	xterm "golang.org/x/term"

	"agentprocess/internal/report"
	"agentprocess/internal/review"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/service"
	"agentprocess/internal/term"
)

func newCmdReview(d *deps) *cobra.Command {
	o := &resumeOptions{}
	var send bool
	cmd := &cobra.Command{
		Use:   "review NAME",
		Short: "Go through an agent's changes: accept, reject, comment",
		Long: `review shows what agent--NAME changes file by file, what acts on your machine
first, and writes down what you think of each: a accepts, r rejects, c comments on
the line of the cursor, ? shows all keys. It can be left and gone on with; when the
agent changes a file again, that file alone is undecided again. Where the terminal
cannot show a whole screen, or there is none, the same is asked line by line.

  agent-process merge NAME --reviewed   takes the accepted files alone (or apply)
  agent-process review NAME --send      tells the agent comments and rejections

With --send the agent gets what it was not told yet: at the end of its turn if it
runs, else it goes on with it, like send; then the exit status is that of start.` +
			exitStatus(exitRepository, exitNotFound, "\n  17  it is being reviewed in another terminal"),
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.parse(cmd); err != nil {
				return err
			}
			o.Name = args[0]
			return runReview(cmd.Context(), d, o, send)
		},
	}
	cmd.Flags().BoolVar(&send, "send", false, "then tell the agent what it was not told yet")
	o.flags(cmd)
	cmd.Flags().Lookup("json").Usage = "ask nothing and print the review as JSON; with --send, events as JSON lines"
	return cmd
}

// reviewView is the JSON of review.
type reviewView struct {
	Name     string           `json:"name"`
	Branch   string           `json:"branch"`
	Tip      string           `json:"tip"`
	Files    []reviewedFile   `json:"files"`
	Comments []review.Comment `json:"comments"`
}

type reviewedFile struct {
	Path     string          `json:"path"`
	From     string          `json:"from,omitempty"`
	Status   string          `json:"status"`
	Flag     string          `json:"flag,omitempty"`
	Decision review.Decision `json:"decision"` // empty is undecided
}

func runReview(ctx context.Context, d *deps, o *resumeOptions, send bool) (err error) {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	r, err := svc.Review(ctx, ".", o.Name)
	if err != nil {
		return err
	}
	closed := false
	defer func() {
		if !closed {
			err = errors.Join(err, r.Book.Close())
		}
	}()
	switch {
	case o.json && !send:
		return report.JSON(d.streams.Out, viewReview(r))
	case o.json:
	default:
		if err := d.review(ctx, r); err != nil {
			return err
		}
	}
	if !send {
		return d.printReviewed(r)
	}
	if !r.Listens {
		return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("agent %q is a command, which takes no messages", o.Name), "the review is kept; merge or apply with --reviewed takes what was accepted")
	}
	if o.Text = r.Book.Message(r.Files); o.Text == "" {
		return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("there is nothing that agent %q was not told", o.Name), "comment or reject something first")
	}
	told := func() error {
		closed = true
		return errors.Join(r.Book.Told(r.Files), r.Book.Close())
	}
	return sendOrResume(ctx, d, o, told)
}

func viewReview(r service.Review) reviewView {
	v := reviewView{Name: r.Name, Branch: sandbox.BranchPrefix + r.Name, Tip: r.Tip, Files: []reviewedFile{}, Comments: []review.Comment{}}
	for _, f := range r.Files {
		v.Files = append(v.Files, reviewedFile{Path: f.Path, From: f.From, Status: f.Status, Flag: f.Flag, Decision: r.Book.Decision(f)})
	}
	v.Comments = append(v.Comments, r.Book.Comments...)
	return v
}

// printReviewed says how far it is, and what comes next.
func (d *deps) printReviewed(r service.Review) error {
	count := map[review.Decision]int{}
	for _, f := range r.Files {
		count[r.Book.Decision(f)]++
	}
	head := fmt.Sprintf("%d files: %d accepted, %d rejected, %d undecided", len(r.Files), count[review.Accepted], count[review.Rejected], count[""])
	var facts []report.Fact
	next := func(text string) {
		facts = append(facts, report.Fact{Name: "next", Text: text, Style: term.StyleCyan})
	}
	if count[""] > 0 {
		next("agent-process review " + r.Name)
	} else if count[review.Accepted] > 0 {
		next("agent-process merge " + r.Name + " --reviewed")
	}
	if r.Listens && r.Book.Message(r.Files) != "" {
		next("agent-process review " + r.Name + " --send")
	}
	return report.Facts(d.streams.Out, head, facts)
}

// review asks the person, on the whole screen if there is one.
func (d *deps) review(ctx context.Context, r service.Review) error {
	keys, ok := d.streams.In.(*os.File)
	if !ok || !d.streams.InTTY || !d.streams.Out.TTY {
		return review.Ask(d.streams.In, d.streams.Out, r.Book, r.Files)
	}
	board, err := openKeyboard(keys)
	if err != nil {
		return fmt.Errorf("review on this terminal: %w", err)
	}
	screen := review.NewScreen(d.streams.Out, r.Book, r.Files)
	err = d.drive(ctx, board, keys, screen)
	return errors.Join(err, board.close())
}

// What a terminal is told: a screen of its own without a cursor, and back; the
// top left corner; and to wipe the rest of a line.
const (
	screenOn  = "\x1b[?1049h\x1b[?25l"
	screenOff = "\x1b[?25h\x1b[?1049l"
	cornerTo  = "\x1b[H"
	wipeLine  = "\x1b[K"
)

// drive shows the screen and hands it keys until the person leaves.
func (d *deps) drive(ctx context.Context, board keyboard, tty *os.File, s *review.Screen) (err error) {
	out := d.streams.Out
	if _, err := fmt.Fprint(out, screenOn); err != nil {
		return err
	}
	defer func() {
		_, off := fmt.Fprint(out, screenOff)
		err = errors.Join(err, off)
	}()
	ticker := time.NewTicker(keysEvery)
	defer ticker.Stop()
	var last string
	buf := make([]byte, 4096)
	for !s.Done {
		_, rows, err := xterm.GetSize(int(tty.Fd()))
		if err != nil || rows <= 0 {
			rows = usualRows
		}
		s.Resize(rows)
		if frame := frameOf(s.Lines()); frame != last {
			if _, err := fmt.Fprint(out, frame); err != nil {
				return err
			}
			last = frame
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		n, err := board.read(buf)
		if err != nil {
			return fmt.Errorf("read the keys: %w", err)
		}
		for _, key := range review.Keys(bytes.Clone(buf[:n])) {
			if err := s.Press(key); err != nil {
				return err
			}
		}
	}
	return nil
}

// frameOf draws lines from the top left on.
func frameOf(lines []string) string {
	var b strings.Builder
	b.WriteString(cornerTo)
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(line + wipeLine)
	}
	return b.String()
}
