package term

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestVisible(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "go test ./...", "go test ./..."},
		{"letters of any script", "añb 日本 ελ", "añb 日本 ελ"},
		{"colour sequence", "\x1b[31mred\x1b[0m", "␛[31mred␛[0m"},
		{"title sequence", "\x1b]0;pwned\x07", "␛]0;pwned␇"},
		{"clipboard by C1", "\u009d52;c;AAAA\u009c", `\u009d52;c;AAAA\u009c`},
		{"C1 as a lone byte", "\x9b31m", `\x9b31m`},
		{"carriage return", "safe\rrm -rf", "safe␍rm -rf"},
		{"newline", "a\nb", "a␊b"},
		{"backspace and delete", "a\b\x7f", "a␈␡"},
		{"NUL", "\x00", "␀"},
		{"right to left override", "\u202efdp.exe", `\u202efdp.exe`},
		{"isolate", "\u2066x\u2069", `\u2066x\u2069`},
		{"zero width space", "pay\u200bpal", `pay\u200bpal`},
		{"byte order mark", "\ufeffx", `\ufeffx`},
		{"tag characters", "x\U000e0041", `x\U000e0041`},
		{"hangul filler", "x\u3164", `x\u3164`},
		{"line separator", "a\u2028b", `a\u2028b`},
		{"emoji with presentation selector", "⚠\ufe0f", "⚠\ufe0f"},
		{"data in variation selectors", "a\U000e0100", `a\U000e0100`},
		{"noncharacter", "\uffff", `\uffff`},
		{"replacement character itself", "\ufffd", "\ufffd"},
		{"tab to the next stop", "a\tb\tc", "a   b   c"},
		{"tab after wide letters", "日\tb", "日  b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Visible(tt.in); got != tt.want {
				t.Errorf("Visible(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestVisibleLines(t *testing.T) {
	if got, want := VisibleLines("a\n\tb\r\n\x1b"), "a\n    b␍\n␛"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzVisible holds that nothing a terminal acts on comes out, whatever went
// in, that a second pass changes nothing, and that width is not lost.
func FuzzVisible(f *testing.F) {
	for _, seed := range []string{"", "plain", "\x1b[2J", "\x9b", "\u202e", "\xf0\x9f", "a\tb\n", "\U000e0001", "日\u200d本"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		line, lines := Visible(in), VisibleLines(in)
		checkHarmless(t, line)
		checkHarmless(t, strings.ReplaceAll(lines, "\n", ""))
		if again := Visible(line); again != line {
			t.Errorf("not idempotent: %q then %q", line, again)
		}
		if strings.Count(lines, "\n") != strings.Count(in, "\n") {
			t.Errorf("newlines of %q became %q", in, lines)
		}
		for _, wrapped := range Wrap(lines, 20) {
			if Width(wrapped) > 20 {
				t.Errorf("line %q is %d wide", wrapped, Width(wrapped))
			}
		}
		if cut := Truncate(line, 10); Width(cut) > 10 {
			t.Errorf("%q cut to %q is %d wide", line, cut, Width(cut))
		}
	})
}

func checkHarmless(t *testing.T, s string) {
	t.Helper()
	if !utf8.ValidString(s) {
		t.Errorf("%q is not UTF-8", s)
	}
	for _, r := range s {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Cs, unicode.Zl, unicode.Zp) {
			t.Errorf("%q holds %U", s, r)
		}
	}
}
