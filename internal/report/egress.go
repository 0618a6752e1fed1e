package report

import (
	"agentprocess/internal/audit"
	"agentprocess/internal/term"
)

// egressChange shows that what may be reached was changed, or was to be.
func (l *Live) egressChange(c audit.EgressChange) []string {
	by := "by " + term.Visible(c.By)
	if c.Error != "" {
		return []string{l.paint.Yellow("! not changed") + "  " + l.cut(term.Visible(c.Error), 15)}
	}
	var lines []string
	for _, gone := range c.Gone {
		lines = append(lines, l.paint.Yellow("~ taken back")+"  "+l.cut(term.Visible(gone.Rule)+"  "+by, 14))
	}
	if c.Rule.Rule == "" {
		return lines
	}
	word, what := l.paint.Green("✓ may reach"), term.Visible(c.Rule.Rule)
	if c.Action == audit.Deny {
		word = l.paint.Yellow("✗ forbidden")
	}
	if c.Cut > 0 {
		by += ", " + plural(c.Cut, "connection") + " cut"
	}
	return append(lines, word+"  "+l.cut(what+"  "+by, 13))
}
