package review

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"agentprocess/internal/patch"
	"agentprocess/internal/term"
)

// questions is the help of Ask.
const questions = `a  accept this file
r  reject it
c TEXT  comment on it
n  next file, and decide later
q  leave; what is decided is kept
`

// Ask goes through the undecided files with one question a line, for terminals
// that can do no more, and for scripts. The end of the input leaves.
func Ask(in io.Reader, out *term.Screen, b *Book, files []patch.File) error {
	lines := bufio.NewReader(in)
	for i, f := range files {
		if b.Decision(f) != "" {
			continue
		}
		if err := patch.Write(out, []patch.File{f}, patch.Style{}); err != nil {
			return err
		}
		for _, c := range b.on(f.Path, patch.Row{}) {
			fmt.Fprintf(out, "  you: %s\n", term.Visible(c.Text))
		}
		leave, err := ask(lines, out, b, f, fmt.Sprintf("%d of %d, %s [a,r,c,n,q,?] ", i+1, len(files), term.Visible(f.Path)))
		if err != nil || leave {
			return err
		}
	}
	return nil
}

// ask asks about one file until something is decided.
func ask(lines *bufio.Reader, out *term.Screen, b *Book, f patch.File, question string) (leave bool, err error) {
	for {
		fmt.Fprint(out, question)
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) && strings.TrimSpace(line) == "" {
			fmt.Fprintln(out)
			return true, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return true, fmt.Errorf("read the answer: %w", err)
		}
		word, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		text = strings.TrimSpace(text)
		switch word {
		case "a":
			return false, b.Decide(f, Accepted)
		case "r":
			return false, b.Decide(f, Rejected)
		case "n":
			return false, nil
		case "q":
			return true, nil
		case "c":
			if text == "" {
				fmt.Fprintln(out, "c TEXT, with what you have to say")
				continue
			}
			if err := b.Comment(Comment{Path: f.Path, Text: text}); err != nil {
				return true, err
			}
		default:
			fmt.Fprint(out, questions)
		}
	}
}
