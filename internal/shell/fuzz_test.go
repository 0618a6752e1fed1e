package shell_test

import (
	"slices"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/syntax"

	"agentprocess/internal/shell"
)

// FuzzParse: no text breaks it or its bounds; words that are quoted come back
// as they were; and every simple command of the text is either found or there
// is something that was not understood.
func FuzzParse(f *testing.F) {
	for _, r := range rows(f) {
		f.Add(r.text())
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := shell.Parse(text)
		if err := bounded(s); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		quotedWords(t, text)
		programs(t, text, s)
	})
}

// quotedWords takes a text for plain words, and wants them back.
func quotedWords(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(text, "\r") {
		return
	}
	list := []string{"program"}
	quoted := []string{"program"}
	for word := range strings.SplitSeq(text, " ") {
		q, err := syntax.Quote(word, syntax.LangBash)
		if err != nil { // NUL, and what is no UTF-8
			return
		}
		list, quoted = append(list, word), append(quoted, q)
	}
	s := shell.Parse(strings.Join(quoted, " "))
	if len(s.Unknown) > 0 || len(s.Commands) != 1 {
		t.Fatalf("%q: %q", quoted, show(s))
	}
	got := make([]string, 0, len(list))
	for _, w := range s.Commands[0].Words {
		if !w.Known {
			t.Fatalf("%q: %q is not known", quoted, w.Text)
		}
		got = append(got, w.Text)
	}
	if !slices.Equal(got, list) {
		t.Fatalf("%q became %q", list, got)
	}
}

// programs looks for each program that is written plainly in a text among the
// commands, or in the way to them, if all of the text was understood.
func programs(t *testing.T, text string, s shell.Script) {
	t.Helper()
	if len(s.Unknown) > 0 || len(text) > 1000 {
		return
	}
	file, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	if err != nil {
		return
	}
	found := map[string]bool{}
	for _, c := range s.Commands {
		found[c.Name] = true
		for _, v := range c.Via {
			for word := range strings.FieldsSeq(v) {
				found[word] = true
			}
		}
	}
	for node := range syntax.Preorder(file) {
		call, ok := node.(*syntax.CallExpr)
		if !ok || len(call.Args) == 0 {
			continue
		}
		name := call.Args[0].Lit()
		if plainName(name) && !found[name] && !found["sh"] && !strings.Contains(text, name+"()") && !strings.Contains(text, "function") && !strings.Contains(text, name+" ()") {
			t.Fatalf("%q: no %s in %q", text, name, show(s))
		}
	}
}

// plainName leaves out what stands for the text that it runs, if that is empty.
func plainName(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz") == "" && !slices.Contains([]string{"sh", "bash", "dash", "zsh", "ksh", "ash", "mksh", "eval", "exec", "env", "command", "builtin", "parallel", "watch", "flock", "su", "runuser", "alias", "xargs", "sudo", "doas", "time", "timeout", "nohup", "nice", "ionice", "stdbuf", "setsid", "chroot", "unshare", "strace", "busybox"}, name)
}
