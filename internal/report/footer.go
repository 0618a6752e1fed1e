package report

import (
	"fmt"

	"agentprocess/internal/term"
)

// Footer keeps lines below the stream, such as a question and what is typed in
// answer to it; the cursor stands at the end of the last one. None takes them
// away. On a screen that nobody looks at there is no footer.
func (l *Live) Footer(lines ...term.Cell) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.footer = lines
	l.print()
}

// footerLines fits the footer to the screen: a line that the terminal breaks
// would be wiped away by half.
func (l *Live) footerLines() []string {
	if !l.screen.TTY {
		return nil
	}
	lines := make([]string, len(l.footer))
	for i, c := range l.footer {
		lines[i] = l.paint.Apply(c.Style, term.Truncate(term.Visible(c.Text), l.screen.Columns()-1))
	}
	return lines
}

// wipe is what takes the status line and the footer off the screen.
func (l *Live) wipe() string {
	switch l.below {
	case 0:
		return ""
	case 1:
		return "\r\x1b[K"
	}
	return fmt.Sprintf("\r\x1b[%dA\x1b[J", l.below-1)
}
