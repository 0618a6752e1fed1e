package report

import (
	"fmt"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/term"
)

// Detail is a run and what its events come down to: `show --json`.
type Detail struct {
	Run sandbox.Run `json:"run"`
	*Digest
}

// DetailOf makes the detail of a run from its events.
func DetailOf(run sandbox.Run, events []audit.Event) Detail {
	return Detail{Run: run, Digest: DigestOf(events)}
}

// Show prints a run in full; now gives its age.
func Show(s *term.Screen, d Detail, now time.Time) error {
	p := page{screen: s, paint: s.Paint()}
	p.head(d, now)
	p.phases(d.Phases)
	p.commits(d.Commits)
	p.held(d.Held)
	p.tools(d.Tools)
	p.network(d.Network)
	p.denials("denied", d.Denials)
	p.asked(d.Asked)
	p.denials("warned", d.Warned)
	p.notices(d.Notices)
	p.next(d.Run)
	return p.err
}

// page prints the parts of a run; the first error ends it.
type page struct {
	screen *term.Screen
	paint  term.Paint
	err    error
}

func (p *page) head(d Detail, now time.Time) {
	r := d.Run
	word, style := state(r)
	p.line(p.paint.Bold(term.Visible(r.Name)) + "  " + p.paint.Apply(style, term.Visible(word)))
	t := term.Table{Indent: "  ", Columns: []term.Column{{}, {}}}
	field := func(name, text string) {
		if text != "" {
			t.Add(term.Cell{Text: name, Style: term.StyleDim}, term.Text(text))
		}
	}
	field("why", r.Reason)
	field("goal", r.Goal)
	field("agent", agentText(r.Agent))
	field("branch", r.Branch)
	field("base", r.Base)
	if r.Tip != r.Base {
		field("tip", r.Tip)
	}
	field("repository", r.Repository)
	field("worktree", r.Worktree)
	field("started", r.Created.Format(time.RFC3339)+", "+age(now.Sub(r.Created))+" ago")
	if !r.Ended.IsZero() {
		field("took", duration(r.Ended.Sub(r.Created)))
	}
	field("changes", statWithCommits(r.Stat))
	for i, line := range paths(d.Flagged) {
		name := ""
		if i == 0 {
			name = "on host"
		}
		field(name, line)
	}
	field("used", costText(cost(r.Cost, d.Cost)))
	field("run", r.ID)
	p.table(t)
}

func agentText(a sandbox.AgentInfo) string {
	text := a.Kind
	if a.Version != "" {
		text += " " + a.Version
	}
	if a.Model != "" {
		text += ", model " + a.Model
	}
	return text
}

func (p *page) phases(all []audit.Phase) {
	t := term.Table{Indent: "  ", Columns: []term.Column{{}, {Right: true}, {Shrink: true}}}
	for _, one := range all {
		t.Add(term.Text(one.Name), term.Text(duration(one.Duration)), term.Text(one.Detail))
	}
	p.section("phases", len(all), t)
}

func (p *page) commits(all []audit.Commit) {
	t := term.Table{Indent: "  ", Columns: []term.Column{{}, {Shrink: true}, {}}}
	for _, one := range all {
		t.Add(term.Text(short(one.ID)), term.Text(one.Subject), term.Text(stat(one.Stat)))
	}
	p.section("commits", len(all), t)
}

func (p *page) tools(all []ToolUse) {
	t := term.Table{Indent: "  ", Columns: []term.Column{{}, {Right: true}, {}}}
	for _, one := range all {
		failed := ""
		if one.Errors > 0 {
			failed = fmt.Sprintf("%d failed", one.Errors)
		}
		t.Add(term.Text(one.Name), term.Text(fmt.Sprint(one.Calls)), term.Text(failed))
	}
	p.section("tools", len(all), t)
}

func (p *page) network(all []HostUse) {
	t := term.Table{Indent: "  ", Columns: []term.Column{
		{Title: "HOST"}, {Title: "VERDICT"}, {Title: "CONNECTIONS", Right: true}, {Title: "UP", Right: true}, {Title: "DOWN", Right: true}, {},
	}}
	for _, one := range all {
		style, failed := term.StylePlain, ""
		if one.Verdict == audit.Deny {
			style = term.StyleRed
		}
		if one.Errors > 0 {
			failed = fmt.Sprintf("%d failed", one.Errors)
		}
		t.Add(term.Text(one.Host), term.Cell{Text: one.Verdict, Style: style}, term.Text(fmt.Sprint(one.Count)),
			term.Text(size(one.Up)), term.Text(size(one.Down)), term.Text(failed))
	}
	p.section("network", len(all), t)
}

func (p *page) denials(title string, all []Denial) {
	t := term.Table{Indent: "  ", Columns: []term.Column{{}, {Right: true}, {Shrink: true}}}
	for _, one := range all {
		t.Add(term.Text(one.What), term.Text(fmt.Sprintf("×%d", one.Count)), term.Text(denialText(one)))
	}
	p.section(title, len(all), t)
}

func (p *page) notices(all []audit.Notice) {
	t := term.Table{Indent: "  ", Columns: []term.Column{{}, {}}}
	for _, one := range all {
		t.Add(term.Cell{Text: "!", Style: term.StyleYellow}, term.Text(one.Text))
	}
	p.section("warnings", len(all), t)
}

func (p *page) next(r sandbox.Run) {
	commands := Next(r)
	t := term.Table{Indent: "  ", Columns: []term.Column{{}}}
	for _, one := range commands {
		t.Add(term.Cell{Text: one, Style: term.StyleCyan})
	}
	p.section("next", len(commands), t)
}

// section prints a titled table, if there is anything in it.
func (p *page) section(title string, entries int, t term.Table) {
	if entries == 0 {
		return
	}
	p.line("")
	p.line(p.paint.Bold(title))
	p.table(t)
}

func (p *page) table(t term.Table) {
	if p.err == nil {
		p.err = t.Write(p.screen)
	}
}

func (p *page) line(text string) {
	if p.err == nil {
		p.err = line(p.screen, text)
	}
}
