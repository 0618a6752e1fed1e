package report

import (
	"fmt"
	"slices"
	"time"

	"agentprocess/internal/sandbox"
	"agentprocess/internal/term"
)

// Merging is how the work of an agent would come home, in a word or two.
type Merging struct {
	Text  string
	Style term.Style
}

// List prints runs in a table; now gives their age, and merging, by name, how
// their work would come home; a nil one leaves that out.
func List(s *term.Screen, runs []sandbox.Run, merging map[string]Merging, now time.Time) error {
	if len(runs) == 0 {
		return line(s, "no agents yet: agent-process start NAME GOAL")
	}
	t := term.Table{Columns: []term.Column{
		{Title: "NAME"},
		{Title: "STATE"},
		{Title: "AGE", Right: true},
		{Title: "BRANCH"},
		{Title: "COMMITS", Right: true},
		{Title: "FILES", Right: true},
		{Title: "LINES", Right: true},
		{Title: "COST", Right: true},
		{Title: "GOAL", Shrink: true},
	}}
	if len(merging) > 0 {
		t.Columns = slices.Insert(t.Columns, len(t.Columns)-1, term.Column{Title: "MERGE"})
	}
	for _, r := range runs {
		cells := row(r, now)
		if len(merging) > 0 {
			m := merging[r.Name]
			if m.Text == "" {
				m.Text = "-"
			}
			cells = slices.Insert(cells, len(cells)-1, term.Cell(m))
		}
		t.Add(cells...)
	}
	if err := t.Write(s); err != nil {
		return err
	}
	for _, r := range runs {
		if r.Held > 0 && sandbox.ValidateName(r.Name) == nil {
			if err := line(s, fmt.Sprintf("%s: %s kept out of its branch: agent-process release %s", r.Name, plural(r.Held, "thing"), r.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// row shows a branch only when there is something on it.
func row(r sandbox.Run, now time.Time) []term.Cell {
	branch, commits, files, lines, money := "-", "-", "-", "-", "-"
	if r.Stat.Commits > 0 {
		branch, commits, files = r.Branch, fmt.Sprint(r.Stat.Commits), fmt.Sprint(r.Stat.Files)
		lines = fmt.Sprintf("+%d −%d", r.Stat.Insertions, r.Stat.Deletions)
	}
	if r.Cost != (sandbox.Cost{}) {
		money = usd(r.Cost.USD)
	}
	word, style := state(r)
	return []term.Cell{
		{Text: r.Name, Style: term.StyleBold},
		{Text: word, Style: style},
		term.Text(age(now.Sub(r.Created))),
		term.Text(branch), term.Text(commits), term.Text(files), term.Text(lines), term.Text(money),
		term.Text(firstLine(r.Goal)),
	}
}

// state is the one word for where a run is: its outcome once it has one.
func state(r sandbox.Run) (string, term.Style) {
	switch {
	case r.State == sandbox.StateFinished && r.Outcome != "":
		return string(r.Outcome), outcomeStyle(r.Outcome)
	case r.State == sandbox.StateCrashed:
		return string(r.State), term.StyleRed
	}
	return string(r.State), term.StyleCyan
}

func line(s *term.Screen, text string) error {
	if _, err := fmt.Fprintln(s, text); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}
