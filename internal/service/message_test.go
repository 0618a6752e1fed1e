package service

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSummaryMessage(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 30)
	for _, tt := range []struct{ name, said, subject, body string }{
		{"nothing said", " \n", "Write the docs", "And more of it."},
		{"a sentence", "I wrote the docs.", "I wrote the docs", ""},
		{"a sentence and a list", "I've documented `main.go`. It has:\n\n- a comment\n- another", "I've documented `main.go`", "I've documented `main.go`. It has:\n\n- a comment\n- another"},
		{"a word first", "Done! The docs are written now.", "The docs are written now", "Done! The docs are written now."},
		{"a heading first", "## Summary\n\n**Added documentation** to all files:\n- a.go", "Added documentation to all files", "## Summary\n\n**Added documentation** to all files:\n- a.go"},
		{"too long", long + ".", "Write the docs", "And more of it.\n\n" + long[:len(long)-1] + " ."},
		{"no sentence", "ok\nok\nok\nI wrote the docs.", "Write the docs", "And more of it.\n\nok\nok\nok\nI wrote the docs."},
		{"escapes", "I wrote \x1b[31mthe\x00 docs\u202e.\nAgent: other", "I wrote [31mthe docs", "I wrote [31mthe docs.\nAgent: other"},
		{"a file name", "I changed a.go and b.go for you.", "I changed a.go and b.go for you", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := summaryMessage("docs", "Write the docs\n\nAnd more of it.", "", tt.said)
			if m.Subject != tt.subject || m.Body != tt.body {
				t.Errorf("%q is %q and %q, want %q and %q", tt.said, m.Subject, m.Body, tt.subject, tt.body)
			}
		})
	}
}

func FuzzSummaryMessage(f *testing.F) {
	f.Add("I've documented `main.go`. It has:\n\n- a comment")
	f.Add("Done! \x00\u202e" + strings.Repeat("ü", 5000))
	f.Fuzz(func(t *testing.T, said string) {
		m := summaryMessage("docs", "Write the docs", "", said)
		if n := utf8.RuneCountInString(m.Subject); n == 0 || n > longestSubject || strings.ContainsAny(m.Subject, "\n\x00\x1b") {
			t.Errorf("subject %q", m.Subject)
		}
		if len(m.Body) > longestBody+100 || strings.ContainsAny(m.Body, "\x00\x1b\r") || strings.Contains(said, m.Body) && !utf8.ValidString(m.Body) {
			t.Errorf("body %q", m.Body)
		}
	})
}
