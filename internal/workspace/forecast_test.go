package workspace

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// commit writes files and commits them.
func (f *fixture) commit(message string, files ...string) {
	f.t.Helper()
	for i := 0; i+1 < len(files); i += 2 {
		f.write(files[i], files[i+1])
	}
	f.git("add", "-A")
	f.git("commit", "-q", "-m", message)
}

func TestForecast(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "project")
	f.commit("base", "one.txt", "1\n2\n3\n4\n5\n6\n7\n8\n", "two.txt", "2\n", "old/a.txt", "a\nb\nc\n", "old/b.txt", "b\nc\nd\n")
	f.agent("alone", func() { f.commit("alone", "new.txt", "new\n") })
	f.agent("first", func() { f.commit("first", "one.txt", "one\n2\n3\n4\n5\n6\n7\n8\n") })
	f.agent("second", func() { f.commit("second", "one.txt", "uno\n2\n3\n4\n5\n6\n7\n8\n", "more.txt", "x\n") })
	f.agent("third", func() { f.commit("third", "one.txt", "1\n2\n3\n4\n5\n6\n7\neight\n") })
	f.agent("behind", func() { f.commit("behind", "two.txt", "two\n") })
	f.agent("mover", func() { f.git("mv", "old", "moved"); f.commit("mover") })
	f.agent("adder", func() { f.commit("adder", "old/c.txt", "c\n") })
	f.agent("directory", func() { f.commit("directory", "new.txt/x", "x\n") })
	f.agent("merged", func() { f.commit("merged", "merged.txt", "m\n") })
	f.agent("squashed", func() { f.commit("a", "squashed.txt", "a\n"); f.commit("b", "squashed.txt", "b\n") })
	f.agent("changed-again", func() { f.commit("a", "again.txt", "a\n"); f.commit("b", "again.txt", "b\n") })
	f.agent("picked", func() { f.commit("a", "picked.txt", "a\n"); f.commit("b", "picked.txt", "b\n") })
	f.git("merge", "-q", "--no-ff", "-m", "m", "agent--merged")
	f.git("merge", "-q", "--squash", "agent--squashed")
	f.git("commit", "-q", "-m", "squashed")
	f.git("merge", "-q", "--squash", "agent--changed-again")
	f.git("commit", "-q", "-m", "squashed, too")
	f.commit("change it", "again.txt", "b and c\n")
	f.git("cherry-pick", "agent--picked~1", "agent--picked")
	f.commit("change it", "picked.txt", "b and c\n")
	f.commit("mine", "two.txt", "zwei\n")
	before := f.git("count-objects", "-v")
	r := f.open(f.dir)
	want := map[string]Outlook{
		"alone":         {With: []Clash{{"directory", []string{"new.txt"}}}},
		"directory":     {With: []Clash{{"alone", []string{"new.txt"}}}},
		"first":         {With: []Clash{{"second", []string{"one.txt"}}}},
		"second":        {With: []Clash{{"first", []string{"one.txt"}}}},
		"third":         {},
		"behind":        {Conflicts: []string{"two.txt"}},
		"mover":         {With: []Clash{{"adder", []string{"moved/c.txt"}}}},
		"adder":         {With: []Clash{{"mover", []string{"moved/c.txt"}}}},
		"merged":        {Landed: LandedMerged},
		"squashed":      {Landed: LandedSquashed},
		"changed-again": {Landed: LandedSquashed},
		"picked":        {Landed: LandedSquashed},
	}
	for _, turn := range []string{"fresh", "remembered"} {
		got, err := r.Forecast(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got.Onto != "main" || len(got.Agents) != len(want) {
			t.Errorf("%s: %d agents onto %q", turn, len(got.Agents), got.Onto)
		}
		for _, o := range got.Agents {
			w := want[o.Name]
			w.Name, w.Tip = o.Name, f.git("rev-parse", Branch(o.Name))
			if w.With == nil {
				w.With = []Clash{}
			}
			if w.Conflicts == nil {
				w.Conflicts = []string{}
			}
			if diff := cmp.Diff(w, o); diff != "" {
				t.Errorf("%s: %s", turn, diff)
			}
			landed, err := r.HasLanded(t.Context(), o.Name)
			if err != nil || landed != w.Landed {
				t.Errorf("HasLanded(%q) = %q, %v, want %q", o.Name, landed, err, w.Landed)
			}
		}
		if diff := cmp.Diff([]string{"third", "adder", "alone", "first"}, got.Order); diff != "" {
			t.Errorf("%s: order: %s", turn, diff)
		}
	}
	if after := f.git("count-objects", "-v"); after != before {
		t.Errorf("a forecast left objects: %s\nwant %s", after, before)
	}
}

// What is merged in the order that was proposed is merged without a conflict.
func TestForecastOrderHolds(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "project")
	f.commit("base", "a.txt", "1\n2\n3\n", "b.txt", "1\n2\n3\n", "c.txt", "1\n2\n3\n")
	for i, files := range []string{"ab", "bc", "c", "a", "ca"} {
		f.agent(fmt.Sprintf("n%d", i), func() {
			for _, file := range files {
				f.commit("work", string(file)+".txt", fmt.Sprintf("1\n%d\n3\n", i+10))
			}
		})
	}
	r := f.open(f.dir)
	got, err := r.Forecast(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Order)+len(got.Later) != 5 || len(got.Order) < 2 {
		t.Errorf("order %q, later %q", got.Order, got.Later)
	}
	for _, name := range got.Order {
		if _, err := r.Merge(t.Context(), MergeOptions{Name: name, How: HowMerge}); err != nil {
			t.Error(err)
		}
	}
}

func TestParseMergeTrees(t *testing.T) {
	t.Parallel()
	id := "769a8a9f5fecf14a6e35570f44b6fb375380691d"
	for _, tt := range []struct {
		name, out string
		want      int
		ok        bool
	}{
		{"clean and conflict", "1\x00" + id + "\x00\x000\x00" + id + "\x00f\x00f\x00\x00", 2, true},
		{"too few", "1\x00" + id + "\x00\x00", 2, false},
		{"clean with paths", "1\x00" + id + "\x00f\x00\x00", 1, false},
		{"conflict without", "0\x00" + id + "\x00\x00", 1, false},
		{"no id", "1\x00x\x00\x00", 1, false},
		{"nothing", "", 0, true},
	} {
		got, err := parseMergeTrees([]byte(tt.out), tt.want)
		if (err == nil) != tt.ok || tt.ok && len(got) != tt.want {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
}

// What git prints of a merge holds paths of the agent's choice.
func FuzzParseMergeTrees(f *testing.F) {
	f.Add([]byte("1\x00769a8a9f5fecf14a6e35570f44b6fb375380691d\x00\x00"), 1)
	f.Add([]byte("0\x00769a8a9f5fecf14a6e35570f44b6fb375380691d\x00a\nb\x001\x00\x00"), 1)
	f.Fuzz(func(t *testing.T, out []byte, want int) {
		want = max(0, want%100)
		got, err := parseMergeTrees(out, want)
		if err == nil && len(got) != want {
			t.Errorf("%d results, want %d", len(got), want)
		}
	})
}
