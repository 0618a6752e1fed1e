package term

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWrap(t *testing.T) {
	tests := []struct {
		name, in string
		width    int
		want     []string
	}{
		{"fits", "a b", 5, []string{"a b"}},
		{"between words", "aaa bbb ccc", 7, []string{"aaa bbb", "ccc"}},
		{"long word", "abcdefgh", 3, []string{"abc", "def", "gh"}},
		{"keeps indentation", "  one two", 6, []string{"  one", "  two"}},
		{"keeps empty lines", "a\n\nb", 5, []string{"a", "", "b"}},
		{"wide letters", "日本語", 4, []string{"日本", "語"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Wrap(tt.in, tt.width); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestTruncate(t *testing.T) {
	tests := []struct {
		name, in string
		width    int
		want     string
	}{
		{"fits", "abc", 3, "abc"},
		{"cut", "abcd", 3, "ab…"},
		{"no width", "abcd", 0, "abcd"},
		{"wide letter does not fit halfway", "日本語", 4, "日…"},
		{"combining mark stays", "e\u0301x", 2, "e\u0301x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Truncate(tt.in, tt.width); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func table() *Table {
	t := &Table{Columns: []Column{{Title: "NAME"}, {Title: "COST", Right: true}, {Title: "GOAL", Shrink: true}}}
	t.Add(Cell{"docs", StyleBold}, Text("$0.02"), Text("Add documentation\x1b[2J"))
	t.Add(Text("日本"), Text("$10.00"), Text("short"))
	return t
}

func TestTable(t *testing.T) {
	tests := []struct {
		name   string
		screen Screen
		want   string
	}{
		{"pipe", Screen{Width: 10}, "" +
			"NAME    COST  GOAL\n" +
			"docs   $0.02  Add documentation␛[2J\n" +
			"日本  $10.00  short\n"},
		{"narrow terminal", Screen{TTY: true, Width: 26}, "" +
			"NAME    COST  GOAL\n" +
			"docs   $0.02  Add documen…\n" +
			"日本  $10.00  short\n"},
		{"colour", Screen{Colour: true}, "" +
			"\x1b[2mNAME\x1b[0m    \x1b[2mCOST\x1b[0m  \x1b[2mGOAL\x1b[0m\n" +
			"\x1b[1mdocs\x1b[0m   $0.02  Add documentation␛[2J\n" +
			"日本  $10.00  short\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			tt.screen.W = &out
			if err := table().Write(&tt.screen); err != nil {
				t.Fatal(err)
			}
			if out.String() != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", out.String(), tt.want)
			}
		})
	}
}

func TestWantColour(t *testing.T) {
	tests := []struct {
		name string
		tty  bool
		env  map[string]string
		want bool
	}{
		{"terminal", true, map[string]string{"TERM": "xterm"}, true},
		{"pipe", false, map[string]string{"TERM": "xterm"}, false},
		{"dumb", true, map[string]string{"TERM": "dumb"}, false},
		{"no TERM", true, nil, false},
		{"NO_COLOR", true, map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, false},
		{"empty NO_COLOR", true, map[string]string{"TERM": "xterm", "NO_COLOR": ""}, true},
		{"forced", false, map[string]string{"CLICOLOR_FORCE": "1"}, true},
		{"forced with 0", false, map[string]string{"CLICOLOR_FORCE": "0"}, false},
		{"NO_COLOR beats force", true, map[string]string{"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, false},
		{"CLICOLOR=0", true, map[string]string{"TERM": "xterm", "CLICOLOR": "0"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lookup := func(k string) (string, bool) { v, ok := tt.env[k]; return v, ok }
			if got := wantColour(tt.tty, lookup); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestFileScreenOfAFile(t *testing.T) {
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "out"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := fileScreen(f, func(k string) (string, bool) { return map[string]string{"COLUMNS": "120"}[k], k == "COLUMNS" })
	if s.TTY || s.Colour || s.Columns() != 120 {
		t.Errorf("got TTY %v, colour %v, %d columns", s.TTY, s.Colour, s.Columns())
	}
	if got := Plain(f).Columns(); got != DefaultWidth {
		t.Errorf("width of a plain screen is %d", got)
	}
}
