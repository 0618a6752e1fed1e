package review

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"agentprocess/internal/patch"
	"agentprocess/internal/term"
)

func open(t *testing.T, dir string) *Book {
	t.Helper()
	b, err := Open(dir, "docs", "first")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() }) // again does no harm
	return b
}

// files are three: one with a long and hostile line, one moved, one with nothing
// to show.
func files() []patch.File {
	return []patch.File{
		{Path: "a.go", Status: "M", Key: "1", Flag: "looks \x1b[2J odd", Insertions: 1, Deletions: 1, Hunks: []patch.Hunk{{Old: 7, New: 7, Lines: []patch.Line{
			{Kind: "-", Text: "old \x1b]0;title\x07"}, {Kind: "+", Text: "new " + strings.Repeat("世界 wide ", 40)}, {Kind: " ", Text: "same"},
		}}}},
		{Path: "b.txt", From: "was.txt", Status: "R", Key: "2"},
		{Path: "c.bin", Status: "A", Key: "3", Binary: true},
	}
}

func press(t *testing.T, s *Screen, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if err := s.Press(key); err != nil {
			t.Fatalf("Press(%q): %v", key, err)
		}
	}
}

func TestDecisionsAreAboutOneChangeAndOutliveTheProcess(t *testing.T) {
	dir, files := t.TempDir(), files()
	b := open(t, dir)
	if _, err := Open(dir, "docs", "first"); !errors.Is(err, ErrBusy) {
		t.Errorf("a second Open: %v, want ErrBusy", err)
	}
	s := NewScreen(&term.Screen{W: &bytes.Buffer{}, Width: 80}, b, files)
	press(t, s, "a", "r")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, dir)
	if got := b.Undecided(files); !slices.Equal(got, []string{"c.bin"}) {
		t.Errorf("undecided: %q, want c.bin", got)
	}
	if got := b.Without(files); !slices.Equal(got, []string{"b.txt", "was.txt", "c.bin"}) {
		t.Errorf("without: %q, want both names of b.txt, and c.bin", got)
	}
	files[0].Key = "1, changed"
	if got := b.Undecided(files); !slices.Equal(got, []string{"a.go", "c.bin"}) {
		t.Errorf("undecided after a change: %q, want a.go and c.bin", got)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	other, err := Open(dir, "docs", "another agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	})
	if got := other.Undecided(files); len(got) != 3 {
		t.Errorf("undecided of another agent of that name: %q, want all", got)
	}
}

func TestCommentsAreSeenAndToldOnce(t *testing.T) {
	b, files := open(t, t.TempDir()), files()
	s := NewScreen(&term.Screen{W: &bytes.Buffer{}, Width: 80}, b, files)
	press(t, s, Keys([]byte("jc\x1b"))...) // thought better of
	press(t, s, Keys([]byte("cwhyy not\x17\x7f\x7f keep it?\r"))...)
	press(t, s, Keys([]byte("Cdéjà vu\r"))...)
	press(t, s, "r")
	press(t, s, "p")
	seen := strings.Join(s.Lines(), "\n")
	for _, want := range []string{"┃ you: why keep it?", "┃ you: déjà vu", "rejected"} {
		if !strings.Contains(seen, want) {
			t.Errorf("screen has no %q:\n%s", want, seen)
		}
	}
	message := b.Message(files)
	for _, want := range []string{"On a.go, the line that was removed: old \x1b]0;title\x07\nwhy keep it?", "On a.go\ndéjà vu", "rejected, and will not be taken as they are: a.go"} {
		if !strings.Contains(message, want) {
			t.Errorf("message has no %q: %q", want, message)
		}
	}
	if err := b.Told(files); err != nil {
		t.Fatal(err)
	}
	if again := b.Message(files); again != "" {
		t.Errorf("told again: %q", again)
	}
}

// TestTheScreenIsNeverLeft draws everything there is in every size, with every
// key: no row is wider than the screen, no row too many, nothing of the agent's
// reaches the terminal as it is.
func TestTheScreenIsNeverLeft(t *testing.T) {
	b, files := open(t, t.TempDir()), files()
	for _, size := range [][2]int{{80, 24}, {20, 8}, {300, 60}, {80, 1}} {
		out := &term.Screen{W: &bytes.Buffer{}, Width: size[0]}
		s := NewScreen(out, b, files)
		s.Resize(size[1])
		for _, key := range []string{"j", keyDown, " ", keyPageUp, "G", "g", "k", "?", "x", "n", "c", "text with \x1b[2J", keyEnter, "n", "C", strings.Repeat("long ", 90), keyEnter, "p", "u", keyEnd} {
			press(t, s, key)
			lines := s.Lines()
			if want := max(size[1], least); len(lines) != want {
				t.Fatalf("%d rows after %q, want %d", len(lines), key, want)
			}
			for _, l := range lines {
				if term.Width(l) > size[0] || l != term.Visible(l) {
					t.Fatalf("after %q on %v: row %q", key, size, l)
				}
			}
		}
	}
}

func TestKeys(t *testing.T) {
	for in, want := range map[string][]string{
		"aé世":                      {"a", "é", "世"},
		"\x1b[A\x1bOB\x1b[5~":      {keyUp, keyDown, keyPageUp},
		"\x1b":                     {keyEscape},
		"\x1b[1;5Cq":               {"q"}, // one without a name, then a key
		"\x1b[200~pasted\x1b[201~": {"p", "a", "s", "t", "e", "d"},
		"\x1b[12":                  nil,
		"\r\x7f\x15\x17\x01\xff":   {keyEnter, keyErase, keyKill, keyWord},
	} {
		if got := Keys([]byte(in)); !slices.Equal(got, want) {
			t.Errorf("Keys(%q) = %q, want %q", in, got, want)
		}
	}
}
