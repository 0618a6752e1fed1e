package projecthook

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestVisible(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"plain", "a b\tc\nd é 日本", "a b\tc\nd é 日本"},
		{"escape", "\x1b[31mred\x1b[0m", `\x1b[31mred\x1b[0m`},
		{"bell, backspace, delete, NUL", "\a\b\x7f\x00", `\x07\x08\x7f\x00`},
		{"C1", "\u009b31m", `\x9b31m`},
		{"returns", "over\rwritten\r\nline", `over\x0dwritten` + "\nline"},
		{"right to left", "a\u202eb\u2066c", `a\u202eb\u2066c`},
		{"zero width", "a\u200bb\ufeffc\u00adc", `a\u200bb\ufeffc\xadc`},
		{"separators", "a\u2028b\u2029c", `a\u2028b\u2029c`},
		{"tags and selectors", "\U000e0041\U000e0100", `\ue0041\ue0100`},
		{"no text", "a\xff\xc3", `a\xff\xc3`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := visible(tt.text); got != tt.want || visible(got) != got {
				t.Errorf("visible(%q) = %q, want %q", tt.text, got, tt.want)
			}
		})
	}
}

func TestExcerpt(t *testing.T) {
	tests := []struct {
		name   string
		writes []string
		text   string // empty: looked at below
	}{
		{"little", []string{" a\n", "b\n"}, "a\nb"},
		{"as much as fits", []string{strings.Repeat("x", headKept+tailKept)}, strings.Repeat("x", headKept+tailKept)},
		{"nothing", nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := &excerpt{}
			for _, w := range tt.writes {
				if n, err := e.Write([]byte(w)); n != len(w) || err != nil {
					t.Fatal(n, err)
				}
			}
			if got := e.text(); got != tt.text {
				t.Errorf("text() = %q, want %q", got, tt.text)
			}
		})
	}
	for _, size := range []int{1, 7, 1000, 100_000} {
		e := &excerpt{}
		for range 200_000 / size {
			_, _ = e.Write([]byte(strings.Repeat("é", size))) // it takes everything
		}
		_, _ = e.Write([]byte("\nthe end"))
		text := e.text()
		if !strings.HasPrefix(text, "éé") || !strings.HasSuffix(text, "é\nthe end") || !strings.Contains(text, "é\n[") || !strings.Contains(text, "bytes left out]\né") || len(text) > maxReason {
			t.Errorf("writes of %d: %d bytes, %q", size, len(text), text)
		}
		if last := e.last(); !strings.HasSuffix(last, "é\nthe end") || !strings.HasPrefix(last, "é") || len(last) > lastBytes {
			t.Errorf("last() = %q", last)
		}
	}
	e := &excerpt{}
	_, _ = e.Write([]byte(strings.Repeat("line\n", 100))) // it takes everything
	if last := e.last(); last != strings.TrimSpace(strings.Repeat("line\n", lastLines)) {
		t.Errorf("last() = %q", last)
	}
}

// What is shown is text, bounded, and nothing in it acts.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "a\x1b[2J", "\u202e\r\n", "\xff\xfe", strings.Repeat("\x1b", 3000), strings.Repeat("é", 5000)} {
		f.Add(seed, 3)
	}
	f.Fuzz(func(t *testing.T, text string, chunk int) {
		e := &excerpt{}
		for b := []byte(text); len(b) > 0; {
			n := min(max(chunk, 1), len(b))
			_, _ = e.Write(b[:n]) // it takes everything
			b = b[n:]
		}
		for _, got := range []string{e.text(), e.last()} {
			if !utf8.ValidString(got) || len(got) > maxReason {
				t.Fatalf("%d bytes: %q", len(got), got)
			}
			for _, r := range got {
				if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
					t.Fatalf("%q holds %U", got, r)
				}
			}
		}
	})
}
