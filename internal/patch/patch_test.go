package patch

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentprocess/internal/term"
)

// hostile is a patch whose content looks like patches, and like commands to a
// terminal.
const hostile = `diff --git a/main.go b/main.go
index 1111111..2222222 100644
--- a/main.go
+++ b/main.go
@@ -1,3 +1,4 @@ func main() {
 package main
--- a/x
+++ b/x
+diff --git a/y b/y
 "a` + "\x1b[2J" + `" // it's
\ No newline at end of file
diff --git a/logo.png b/logo.png
new file mode 100644
index 0000000..3333333
Binary files /dev/null and b/logo.png differ
diff --git a/run.sh b/run.sh
old mode 100644
new mode 100755
`

func hostileFiles() []File {
	return []File{
		{Path: "main.go", Status: "M", OldMode: "100644", NewMode: "100644"},
		{Path: "logo.png", Status: "A", OldMode: "000000", NewMode: "100644"},
		{Path: "run.sh", Status: "M", OldMode: "100644", NewMode: "100755", Flag: "became executable"},
	}
}

func TestParse(t *testing.T) {
	got, err := Parse([]byte(hostile), hostileFiles())
	if err != nil {
		t.Fatal(err)
	}
	want := hostileFiles()
	want[0].Insertions, want[0].Deletions = 2, 1
	want[0].Hunks = []Hunk{{Old: 1, New: 1, Title: "func main() {", Lines: []Line{
		{Kind: " ", Text: "package main"},
		{Kind: "-", Text: "-- a/x"},
		{Kind: "+", Text: "++ b/x"},
		{Kind: "+", Text: "diff --git a/y b/y"},
		{Kind: " ", Text: "\"a\x1b[2J\" // it's", NoEnd: true},
	}}}
	want[1].Binary, want[1].Hunks, want[2].Hunks = true, []Hunk{}, []Hunk{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseRefuses(t *testing.T) {
	const head = "diff --git a/x b/x\n"
	for name, text := range map[string]string{
		"nothing":            "",
		"another file":       head + head,
		"no beginning":       "x\n",
		"an unknown line":    head + "@@ -1 +1 @@\n*x\n",
		"an end in a hunk":   head + "@@ -1 +1 @@\n-x\n",
		"too many lines":     head + "@@ -1 +0,0 @@\n x\n",
		"a range below zero": head + "@@ --1 +1 @@\n x\n",
	} {
		if got, err := Parse([]byte(text), []File{{Path: "x", Status: "M"}}); err == nil {
			t.Errorf("%s: %+v, want an error", name, got)
		}
	}
}

func TestWrite(t *testing.T) {
	files, err := Parse([]byte(hostile), hostileFiles())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		screen term.Screen
		style  Style
		want   []string
	}{
		{"plain", term.Screen{}, Style{}, []string{
			"main.go  changed, +2 −1", "@@ 1 → 1 func main() {", " package main", "--- a/x", "+++ b/x", "+diff --git a/y b/y", " \"a␛[2J\" // it's",
			"\\ no line break at the end", "", "logo.png  new, binary", "", "run.sh  changed, +0 −0, mode 100644 → 100755", "  look: became executable", "",
		}},
		{"colours", term.Screen{Colour: true}, Style{}, []string{
			" \x1b[36mpackage\x1b[0m main", " \x1b[33m\"a␛[2J\"\x1b[0m \x1b[2m// it's\x1b[0m",
		}},
		{"words", term.Screen{Colour: true}, Style{Word: true}, []string{
			"\x1b[31m-\x1b[0m\x1b[41;37m-\x1b[0m\x1b[41;37m-\x1b[0m\x1b[31m \x1b[0m\x1b[41;37ma\x1b[0m\x1b[31m/\x1b[0m",
		}},
		{"side by side", term.Screen{Width: 75}, Style{Side: true}, []string{
			"    1 package main                   │    1 package main",
			"    2 -- a/x                         │    2 ++ b/x",
			"                                     │    3 diff --git a/y b/y",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			tt.screen.W = &out
			if err := Write(&tt.screen, files, tt.style); err != nil {
				t.Fatal(err)
			}
			if tt.name == "plain" && out.String() != strings.Join(tt.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", out.String(), strings.Join(tt.want, "\n"))
			}
			for _, line := range tt.want {
				if !strings.Contains(out.String(), line) {
					t.Errorf("%q is not in\n%q", line, out.String())
				}
			}
		})
	}
}

func TestStat(t *testing.T) {
	files, err := Parse([]byte(hostile), hostileFiles())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Stat(term.Plain(&out), files); err != nil {
		t.Fatal(err)
	}
	want := "main.go       +2  −1\nlogo.png  binary\nrun.sh        +0  −0  became executable\n3 files, +2 −1\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// Whatever a line holds, its pieces are the line.
func FuzzHighlight(f *testing.F) {
	f.Add("a.go", "x := \"a\\\" // b /* c */ 12")
	f.Add("a.py", "def f(): # é\xff")
	f.Add("a.html", "<!-- x")
	f.Fuzz(func(t *testing.T, name, line string) {
		line = term.Visible(line)
		var open bool
		var got strings.Builder
		for _, p := range languageOf(name).highlight(line, &open) {
			got.WriteString(p.text)
		}
		if got.String() != line {
			t.Errorf("pieces of %q are %q", line, got.String())
		}
	})
}

// What is parsed is all there is: as many lines as the hunks say.
func FuzzParse(f *testing.F) {
	f.Add([]byte(hostile))
	f.Add([]byte("diff --git a/x b/x\n@@ -1 +1 @@\n-x\n+y\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		files, err := Parse(text, []File{{Path: "a", Status: "M"}, {Path: "b", Status: "T"}})
		if err != nil {
			return
		}
		if len(files) != 2 {
			t.Errorf("%d files", len(files))
		}
		if err := Write(term.Plain(&bytes.Buffer{}), files, Style{Word: true}); err != nil {
			t.Error(err)
		}
	})
}
