package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"agentprocess/internal/term"
)

func TestVisibleWriter(t *testing.T) {
	esc := term.Visible("\x1b")
	tests := []struct {
		name   string
		writes []string
		want   string
	}{
		{"a line", []string{"+ hello\n"}, "+ hello\n"},
		{"lines in pieces", []string{"a", "b\nc", "d\n"}, "ab\ncd\n"},
		{"control characters", []string{"\x1b[2Jx\n"}, esc + "[2Jx\n"},
		{"a character in pieces", []string{"\xc3", "\xa9\n"}, "é\n"},
		{"a line that has not ended", []string{"a\nb"}, "a\n"},
		{"nothing", []string{""}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			v := &visibleWriter{w: &out}
			for _, w := range tt.writes {
				if n, err := io.WriteString(v, w); n != len(w) || err != nil {
					t.Fatalf("Write(%q) = %d, %v", w, n, err)
				}
			}
			if out.String() != tt.want {
				t.Errorf("wrote %q, want %q", out.String(), tt.want)
			}
		})
	}
}

// refusing is a reader's end that has gone away.
type refusing struct{}

func (refusing) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestVisibleWriterTellsOfErrors(t *testing.T) {
	if _, err := io.WriteString(&visibleWriter{w: refusing{}}, "a\n"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write() = %v, want %v", err, os.ErrClosed)
	}
}

func TestRawTerminalNeedsATerminal(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, in := range map[string]io.Reader{"no file": strings.NewReader(""), "a file": file} {
		t.Run(name, func(t *testing.T) {
			d := &deps{streams: silent()}
			d.streams.In = in
			if _, _, err := d.rawTerminal(); err == nil {
				t.Error("it was taken for a terminal")
			}
		})
	}
}

func TestCells(t *testing.T) {
	for n, want := range map[int]uint16{-1: 1, 0: 1, 80: 80, 1 << 20: 1 << 15} {
		if got := cells(n); got != want {
			t.Errorf("cells(%d) = %d, want %d", n, got, want)
		}
	}
}
