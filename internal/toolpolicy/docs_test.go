package toolpolicy

import (
	"os"
	"strings"
	"testing"
)

// The page shows only what is so.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```toml\n")[1:]
	for _, b := range blocks {
		text, _, _ := strings.Cut(b, "```")
		l := layer(t, "docs/policy.md", text)
		policy(t, Options{User: l})
	}
	if len(blocks) < 2 {
		t.Errorf("%d examples", len(blocks))
	}
	_, table, _ := strings.Cut(string(page), "## Built-in rules")
	for _, r := range Builtin().rules {
		if !strings.Contains(table, "`"+r.id+"`") {
			t.Errorf("rule %q is not on the page", r.id)
		}
	}
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		if len(cells) < 4 || !strings.Contains(cells[1], "`") {
			continue
		}
		for id := range strings.SplitSeq(cells[1], ",") {
			id = strings.Trim(id, " `")
			if r := find(id); r == nil || string(r.action) != strings.TrimSpace(cells[2]) {
				t.Errorf("the page says %s of %q", cells[2], id)
			}
		}
	}
}

func find(id string) *rule {
	for _, r := range Builtin().rules {
		if r.id == id {
			return r
		}
	}
	return nil
}
