package report

import (
	"fmt"

	"agentprocess/internal/term"
)

// Fact is one line below what a command did; a name stands before the first of
// several that belong together.
type Fact struct {
	Name  string
	Text  string
	Style term.Style
}

// Facts prints a head and what belongs to it, aligned.
func Facts(s *term.Screen, head string, facts []Fact) error {
	if err := line(s, term.Visible(head)); err != nil {
		return err
	}
	t := term.Table{Indent: "  ", Columns: []term.Column{{}, {Shrink: false}}}
	for _, f := range facts {
		t.Add(term.Cell{Text: f.Name, Style: term.StyleDim}, term.Cell{Text: f.Text, Style: f.Style})
	}
	return t.Write(s)
}

// Each names the first of many for Facts.
func Each(name string, style term.Style, all []string) []Fact {
	var facts []Fact
	for i, text := range paths(all) {
		if i > 0 {
			name = ""
		}
		facts = append(facts, Fact{Name: name, Text: text, Style: style})
	}
	return facts
}

// Stat writes what a branch changes.
func Stat(commits, files, insertions, deletions int) string {
	text := fmt.Sprintf("%s, +%d −%d", plural(files, "file"), insertions, deletions)
	if commits > 0 {
		text = plural(commits, "commit") + ", " + text
	}
	return text
}
