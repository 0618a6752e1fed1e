package workspace

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is decided by lines is what git's own merge says, of every pair.
func TestLinesAgreeWithMerges(t *testing.T) {
	t.Parallel()
	const agents, files = 14, 12
	f := newFixture(t, "project")
	random := rand.New(rand.NewPCG(1, 2))
	var base []string
	for n := range files {
		base = append(base, fmt.Sprintf("d%d/f.txt", n), text(random, 20))
	}
	f.commit("base", append(base, "union.txt", "1\n2\n3\n", ".gitattributes", "union.txt merge=union\n", "bin", "a\x00b\n", "mode", "1\n2\n")...)
	for i := range agents {
		f.agent(fmt.Sprintf("n%d", i), func() {
			for n := range files {
				if random.IntN(2) == 0 {
					f.write(base[2*n], edited(random, base[2*n+1]))
				}
			}
			odd(f, i)
			f.commit("work")
			if i%3 == 0 {
				f.commit("more", fmt.Sprintf("own%d.txt", i), "x\n")
			}
		})
	}
	r := f.open(f.dir)
	c := &forecaster{r: r, used: map[string]mergeResult{}}
	if err := c.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	list := c.agents
	var pairs []agentPair
	for j := range list {
		for i := range j {
			pairs = append(pairs, agentPair{i, j})
		}
	}
	unclear, err := c.byLines(t.Context(), pairs)
	if err != nil {
		t.Fatal(err)
	}
	if len(unclear) > len(pairs)/2 {
		t.Errorf("%d of %d pairs are unclear", len(unclear), len(pairs))
	}
	s, err := r.newScratch()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.remove(); err != nil {
			t.Error(err)
		}
	}()
	var merges []mergePair
	for _, p := range pairs {
		merges = append(merges, c.merging(p))
	}
	want, err := r.mergeTrees(t.Context(), s, merges)
	if err != nil {
		t.Fatal(err)
	}
	clean := 0
	for i, p := range pairs {
		got, decided := c.used[c.key(p)]
		if !decided {
			continue
		}
		if len(got.conflicts) == 0 {
			clean++
		}
		if diff := cmp.Diff(want[i].conflicts, got.conflicts); diff != "" {
			t.Errorf("%s with %s: %s", list[p.i].Name, list[p.j].Name, diff)
		}
	}
	if clean == 0 || clean == len(pairs) {
		t.Errorf("%d of %d pairs are clean", clean, len(pairs))
	}
}

// odd are changes that are more than lines.
func odd(f *fixture, agent int) {
	switch agent {
	case 0, 1:
		f.write("union.txt", fmt.Sprintf("%d\n2\n3\n", agent+10))
	case 2, 3:
		f.write("bin", fmt.Sprintf("a\x00%d\n", agent))
	case 4:
		f.git("update-index", "--chmod=+x", "mode")
	case 5:
		f.write("mode", "1\n3\n")
	case 6, 7:
		f.write("new.txt", fmt.Sprint(agent))
	case 8:
		f.git("rm", "-q", "-f", "d1/f.txt")
		f.write("d1/f.txt/x", "x\n")
	}
}

// text is some lines of few kinds, so that changes can slide.
func text(random *rand.Rand, lines int) string {
	var b strings.Builder
	for range lines {
		b.WriteString(string(rune('a'+random.IntN(6))) + "\n")
	}
	return b.String()
}

// edited is a text with some lines changed, removed, added and moved; the last
// may lose its end.
func edited(random *rand.Rand, text string) string {
	lines := strings.SplitAfter(text, "\n")
	for range 1 + random.IntN(2) {
		at := random.IntN(len(lines))
		switch random.IntN(4) {
		case 0:
			lines[at] = string(rune('a'+random.IntN(6))) + "\n"
		case 1:
			lines = append(lines[:at:at], lines[at+1:]...)
		case 2:
			lines = append(lines[:at:at], append([]string{"new" + string(rune('a'+random.IntN(3))) + "\n"}, lines[at:]...)...)
		case 3:
			lines[at] = strings.TrimSuffix(lines[at], "\n") + " "
			if at != len(lines)-1 {
				lines[at] += "\n"
			}
		}
		if len(lines) == 0 {
			return "x"
		}
	}
	return strings.Join(lines, "")
}

func TestParseHunks(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	head := "diff --git a/x b/x\nindex " + a + ".." + b + " 100644\n--- a/x\n+++ b/x\n"
	for _, tt := range []struct {
		name, patch string
		hunks       int // -1 for an error
	}{
		{"two", head + "@@ -1 +1 @@\n-x\n+y\n@@ -3,0 +4,2 @@\n+@@ -1 +1 @@\n+diff --git a b\n", 2},
		{"no end", head + "@@ -1 +1 @@\n-x\n\\ No newline at end of file\n+y\n\\ No newline at end of file\n", 1},
		{"short", head + "@@ -1,2 +1 @@\n-x\n+y\n", -1},
		{"range", head + "@@ -0,2 +1 @@\n-x\n-y\n+y\n", -1},
		{"number", head + "@@ -x +1 @@\n-x\n+y\n", -1},
		{"no file", "@@ -1 +1 @@\n-x\n+y\n", -1},
		{"no id", "index x..y\n", -1},
		{"binary", "diff --git a/x b/x\nindex " + a + ".." + b + " 100644\nBinary files a/x and b/x differ\n", 0},
	} {
		files, err := parseHunks([]byte(tt.patch))
		if (err != nil) != (tt.hunks < 0) || err == nil && len(files[blobPair{a, b}]) != tt.hunks {
			t.Errorf("%s: %v, %v", tt.name, files, err)
		}
	}
}

// A patch holds lines of the agent's choice.
func FuzzParseHunks(f *testing.F) {
	ids := strings.Repeat("a", 40) + ".." + strings.Repeat("b", 40)
	f.Add([]byte("diff --git a/x b/x\nindex " + ids + " 100644\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-x\n+y\n"))
	f.Add([]byte("diff --git a/x b/x\nindex " + ids + "\n@@ -3,0 +4,2 @@ f\n+a\n+b\n\\ No newline at end of file\n"))
	f.Fuzz(func(t *testing.T, patch []byte) {
		files, err := parseHunks(patch)
		if err != nil {
			return
		}
		for pair, hunks := range files {
			if meet(hunks, hunks) != linesApart && !touching(hunks) {
				t.Errorf("%v is in conflict with itself: %v", pair, hunks)
			}
		}
	})
}

// touching reports whether hunks are such as no comparison gives.
func touching(hunks []hunk) bool {
	for i := 1; i < len(hunks); i++ {
		if hunks[i].at <= hunks[i-1].end() {
			return true
		}
	}
	return false
}
