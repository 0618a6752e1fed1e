package report

import (
	"fmt"
	"regexp"
	"strings"
	"sync"

	"agentprocess/internal/audit"
	"agentprocess/internal/term"
)

// The widths of a phase's name and time, so that phases stand in columns.
const (
	nameWidth = 10
	timeWidth = 8
)

func (l *Live) phase(p audit.Phase) []string {
	name := term.Pad(term.Visible(p.Name), nameWidth, false)
	took := term.Pad(duration(p.Duration), timeWidth, true)
	detail := l.cut(term.Visible(p.Detail), 2+nameWidth+2+timeWidth+2)
	return []string{strings.TrimRight("  "+name+"  "+l.paint.Dim(took)+"  "+detail, " ")}
}

func (l *Live) notice(n audit.Notice) []string {
	mark, lines := "  note  ", l.wrap(n.Text, 8)
	if n.Level == audit.Warn {
		mark, lines = l.paint.Yellow("!")+" ", l.wrap(n.Text, 2)
	}
	return hang(mark, lines)
}

func (l *Live) say(s audit.Say) {
	text := strings.Trim(s.Text, "\n\r ")
	if text == "" {
		return
	}
	l.begin(groupText, l.wrap(text, 0)...)
}

func (l *Live) output(o audit.Output) []string {
	bar := "│"
	if o.Stream == "stderr" {
		bar = l.paint.Yellow(bar)
	}
	var lines []string
	for _, line := range split(o.Text) {
		lines = append(lines, "  "+bar+" "+l.cut(line, 4))
	}
	return lines
}

func (l *Live) call(c audit.ToolCall) {
	name, what := term.Visible(c.Name), term.Visible(inTree(subject(c), l.tree))
	label := strings.TrimRight(name+"  "+what, " ")
	l.doing = label
	l.open[c.ID] = label
	if len(l.open) > distinct {
		clear(l.open) // results that never came; they lose their label
	}
	indent := ""
	if c.Parent != "" {
		indent = "  " // a subagent's
	}
	room := len(indent) + 2 + term.Width(name) + 2
	l.begin(groupAct, strings.TrimRight(indent+l.paint.Cyan("●")+" "+l.paint.Bold(name)+"  "+l.cut(what, room), " "))
	l.last = c.ID
}

// shownErrorLines is how much of a failed call's output is shown.
const shownErrorLines = 3

func (l *Live) result(r audit.ToolResult) {
	label, known := l.open[r.ID]
	delete(l.open, r.ID)
	l.doing = ""
	prefix := "  ↳ "
	if known && l.last != r.ID {
		// Something was printed in between: say whose result it is.
		prefix += term.Truncate(label, 40) + " · "
	}
	lines := split(inTree(strings.Trim(r.Text, "\n\r "), l.tree))
	room := term.Width(prefix)
	if !r.IsError {
		l.begin(groupAct, l.paint.Dim(prefix+l.cut(okText(lines), room)))
		return
	}
	out := []string{prefix + l.paint.Red("error") + l.cut(strings.TrimSuffix(" · "+first(lines), " · "), room+5)}
	rest := lines[min(len(lines), 1):]
	for _, line := range rest[:min(len(rest), shownErrorLines-1)] {
		out = append(out, l.paint.Dim("    "+l.cut(line, 4)))
	}
	if more := len(rest) - (shownErrorLines - 1); more > 0 {
		out = append(out, l.paint.Dim("    … "+plural(more, "more line")))
	}
	l.begin(groupAct, out...)
}

func okText(lines []string) string {
	switch len(lines) {
	case 0:
		return "ok"
	case 1:
		return "ok · " + lines[0]
	}
	return "ok · " + plural(len(lines), "line")
}

// denied shows the newest entry of the digest's denials.
func (l *Live) denied() {
	switch n := len(l.digest.Denials); {
	case n <= shownDenials:
		d := l.digest.Denials[n-1]
		what := term.Visible(d.What)
		detail := l.cut(denialText(d), term.Width(what)+12)
		l.begin(groupAct, l.paint.Red("✗ denied")+"  "+what+"  "+detail)
	case !l.flooded:
		l.flooded = true
		l.begin(groupAct, l.paint.Red("✗ denied")+"  more than "+plural(shownDenials, "target")+": further ones are counted and recorded, not shown")
	default:
		l.print()
	}
}

// denialText is why something was refused and how to allow it.
func denialText(d Denial) string {
	reason := d.Reason
	if reason == "" {
		reason = "no rule allows it"
	}
	if d.Rule != "" {
		reason += " (" + d.Rule + ")"
	}
	parts := []string{term.Visible(reason)}
	if d.By != "" {
		parts = append(parts, "by "+term.Visible(d.By))
	}
	if typable().MatchString(d.Fix) {
		parts = append(parts, "allow: --allow "+d.Fix)
	}
	if d.ID != "" {
		parts = append(parts, "id "+term.Visible(d.ID))
	}
	return strings.Join(parts, " · ")
}

// typable is what may be offered for typing into a shell as it is: no rule
// that needs quotes, and nothing an agent could have smuggled in.
var typable = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9*][A-Za-z0-9.:*_/\[\]-]*$`) })

func (l *Live) request(r audit.Request, fresh bool) {
	switch {
	case fresh:
		l.denied()
	case r.Verdict == audit.Allow && r.Error != "" && l.digest.host(r.Host, r.Verdict).Errors == 1:
		target := term.Visible(requestTarget(r))
		l.begin(groupAct, l.paint.Yellow("!")+" network  "+target+"  "+l.cut(term.Visible(r.Error), term.Width(target)+13))
	default:
		l.print()
	}
}

func (l *Live) commit(c audit.Commit) []string {
	head := short(c.ID) + "  "
	tail := "  " + stat(c.Stat)
	room := term.Width(head) + term.Width(tail) + 10
	return []string{l.paint.Green("✓ commit") + "  " + head + l.cut(term.Visible(c.Subject), room) + l.paint.Dim(tail)}
}

// cut fits visible text into what is left of a line after used cells.
func (l *Live) cut(text string, used int) string {
	if !l.screen.TTY {
		return text
	}
	return term.Truncate(text, max(l.screen.Columns()-used, minRoom))
}

// minRoom is what a text gets however narrow the screen is.
const minRoom = 12

// wrap makes prose visible and sets it in lines, after indent cells.
func (l *Live) wrap(text string, indent int) []string {
	if !l.screen.TTY {
		return split(text)
	}
	width := min(l.screen.Columns(), textWidth) - indent
	return term.Wrap(strings.Join(split(text), "\n"), max(width, minRoom))
}

// hang puts a mark before the first line and as much space before the others.
func hang(mark string, lines []string) []string {
	out := make([]string, 0, len(lines))
	for i, line := range lines {
		if i > 0 {
			mark = strings.Repeat(" ", 2)
		}
		out = append(out, mark+line)
	}
	return out
}

// split makes the lines of a text visible; line ends of other systems are
// line ends.
func split(text string) []string {
	if text == "" {
		return nil
	}
	lines := strings.Split(strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\r\n", "\n"), "\n")
	for i := range lines {
		lines[i] = term.Visible(lines[i])
	}
	return lines
}

func first(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[0]
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
