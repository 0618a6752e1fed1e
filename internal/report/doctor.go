package report

import (
	"fmt"

	"agentprocess/internal/sandbox"
	"agentprocess/internal/term"
)

// Doctor prints what a probe found: every step, then for each that failed why
// and how to mend it, then the verdict.
func Doctor(s *term.Screen, caps sandbox.Capabilities, others ...sandbox.Capabilities) error {
	p := page{screen: s, paint: s.Paint()}
	p.line(p.paint.Bold(term.Visible(caps.Runtime) + " runtime"))
	t := term.Table{Indent: "  ", Columns: []term.Column{{}, {}, {}}}
	for _, step := range caps.Steps {
		mark, style := stepMark(step)
		t.Add(term.Cell{Text: mark, Style: style}, term.Text(step.Name), term.Text(step.Detail))
	}
	p.table(t)
	for _, step := range caps.Steps {
		if !step.OK {
			p.failed(step)
		}
	}
	p.line("")
	p.line(p.verdict(caps))
	if len(others) == 0 {
		return p.err
	}
	p.line("")
	p.line(p.paint.Bold("other runtimes"))
	t = term.Table{Indent: "  ", Columns: []term.Column{{}, {}, {}}}
	for _, other := range others {
		t.Add(p.other(other)...)
	}
	p.table(t)
	return p.err
}

// other is another runtime in a line: what keeps it from working, or what it
// is.
func (p *page) other(caps sandbox.Capabilities) []term.Cell {
	b, blocked := caps.Blocker()
	if len(caps.Steps) == 0 {
		b, blocked = sandbox.Step{Required: true, Detail: "nothing was found out"}, true
	}
	if blocked {
		mark, style := stepMark(b)
		return []term.Cell{{Text: mark, Style: style}, term.Text(caps.Runtime), term.Text(b.Detail)}
	}
	mark, style := stepMark(caps.Steps[0])
	return []term.Cell{{Text: mark, Style: style}, term.Text(caps.Runtime), term.Text(caps.Steps[0].Detail)}
}

// stepMark tells what works, what is missing but can be done without, and what
// stops everything.
func stepMark(step sandbox.Step) (string, term.Style) {
	switch {
	case step.OK:
		return "✓", term.StyleGreen
	case step.Required:
		return "✗", term.StyleRed
	}
	return "–", term.StyleYellow
}

func (p *page) failed(step sandbox.Step) {
	if step.Cause == "" && step.Fix == "" {
		return
	}
	p.line("")
	p.line(p.paint.Bold(term.Visible(step.Name)))
	if step.Cause != "" {
		p.line("  why  " + term.Visible(step.Cause))
	}
	for i, text := range split(step.Fix) {
		label := "     "
		if i == 0 {
			label = "fix  "
		}
		p.line("  " + label + p.paint.Cyan(text))
	}
}

func (p *page) verdict(caps sandbox.Capabilities) string {
	name := term.Visible(caps.Runtime)
	if blocker, blocked := caps.Blocker(); blocked {
		return p.paint.Red("✗") + fmt.Sprintf(" agents cannot run here with the %s runtime: %s does not work", name, term.Visible(blocker.Name))
	}
	if !caps.Usable() {
		return p.paint.Red("✗") + fmt.Sprintf(" agents cannot run here with the %s runtime: nothing was tried", name)
	}
	weaker := 0
	for _, step := range caps.Steps {
		if !step.OK {
			weaker++
		}
	}
	if weaker > 0 {
		return p.paint.Green("✓") + fmt.Sprintf(" agents can run here, without the %s marked –", plural(weaker, "thing"))
	}
	return p.paint.Green("✓") + " agents can run here"
}
