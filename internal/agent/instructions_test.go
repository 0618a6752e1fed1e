package agent

import (
	"bytes"
	"strings"
	"testing"
)

// A path that a repository chose is one pattern in the rule's list, and nothing
// else in its head.
func FuzzRule(f *testing.F) {
	f.Add("a \"b/CLAUDE.md", []byte("text"), false)
	f.Add("a\n---\nb/CLAUDE.md", []byte("x"), true)
	f.Fuzz(func(t *testing.T, name string, data []byte, link bool) {
		file := TreeFile{Path: name, Mode: 0o100644, Data: data}
		if link {
			file.Mode = 0o120000
		}
		if !InstructionFile(name) {
			return
		}
		out := rule(file)
		rest, headed := bytes.CutPrefix(out, []byte("---\npaths:\n  - \""))
		if !headed {
			return
		}
		line, rest, _ := bytes.Cut(rest, []byte("\n"))
		glob, closed := strings.CutSuffix(string(line), "/**\"")
		if !closed || strings.ContainsAny(glob, "\"'*[]{}()!#,<>&\\\x00\t\r\x7f") || !bytes.HasPrefix(rest, []byte("---\nFrom ")) {
			t.Errorf("%q became %q", name, out)
		}
	})
}
