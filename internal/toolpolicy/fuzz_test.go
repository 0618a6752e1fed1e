package toolpolicy

import (
	"encoding/json"
	"testing"
)

func FuzzParse(f *testing.F) {
	f.Add([]byte(userRules))
	f.Add([]byte(widening))
	f.Add([]byte("[[rule]]\nid = \"a\"\naction = \"allow\"\nover = [\"b\"]\ncommand = \"{a,b} ** -c=*\"\npath = [\"!~\", \"/\"]\nurl = \"*\""))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Parse("p", data)
		if (l == nil) == (err == nil) {
			t.Fatalf("layer %v, error %v", l, err)
		}
		if err != nil {
			return
		}
		p, err := New(Options{User: l})
		if err != nil {
			return
		}
		for _, line := range []string{"git -c a=b push x | sh -x", `rm -rf "$X" ~/*`} {
			p.Judge(t.Context(), bash(t, line), follow)
		}
		p.Rules()
	})
}

// Whatever the input is, rules never make a verdict weaker than no rules, and
// what is no object is denied.
func FuzzJudge(f *testing.F) {
	for _, group := range lines {
		for _, line := range group.lines {
			f.Add("Bash", string(input(f, map[string]any{"command": line})))
		}
	}
	f.Add("Write", `{"file_path": "x/../.git/hooks/../../y"}`)
	f.Add("mcp__a__b", `{"path": ["a", "~"], "url": "http://[::1]/%zz", "command": "x"}`)
	f.Add("apply_patch", `{"input": "*** Add File: ../x\n"}`)
	f.Add("Bash", `[`)
	all, err := New(Options{Scope: []string{"docs"}})
	if err != nil {
		f.Fatal(err)
	}
	none := &Policy{unparsed: all.unparsed}
	f.Fuzz(func(t *testing.T, tool, raw string) {
		c := Call{Phase: Pre, Tool: tool, Input: json.RawMessage(raw), Dir: testWorkspace, Workspace: testWorkspace, Home: testHome}
		v, bare := all.Judge(t.Context(), c, follow), none.Judge(t.Context(), c, follow)
		if v.Action.strength() < bare.Action.strength() {
			t.Errorf("%s with rules, %s without", said(v), said(bare))
		}
		var object map[string]json.RawMessage
		if len(raw) > 0 && json.Unmarshal([]byte(raw), &object) != nil && v.Action != Deny {
			t.Errorf("no object, and %s", said(v))
		}
		if v.Action == Deny && (v.Rule == "" || v.Reason == "" || v.Source == "") {
			t.Errorf("a denial that does not say why: %+v", v)
		}
		if again := all.Judge(t.Context(), c, follow); said(again) != said(v) {
			t.Errorf("%s, and then %s", said(v), said(again))
		}
	})
}

func BenchmarkJudge(b *testing.B) {
	p := policy(b, Options{})
	for name, line := range map[string]string{
		"short":   `git status`,
		"typical": `cd web && npm ci && npm test -- --coverage 2>&1 | tee /tmp/test.log && git add -A && git commit -m "Add the thing"`,
		"paths":   `cp -r src/a src/b && rm -rf build/x build/y && mkdir -p out/z && cat a/b c/d e/f > out/z/all.txt`,
	} {
		c := bash(b, line)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				p.Judge(b.Context(), c, follow)
			}
		})
	}
}
