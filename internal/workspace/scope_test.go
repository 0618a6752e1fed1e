package workspace

import (
	"strings"
	"testing"

	"agentprocess/internal/sandbox"
)

func TestScopeAllows(t *testing.T) {
	tests := []struct{ globs, yes, no string }{
		{"docs/**", "docs/a docs/a/b docs/.hidden docs/a/.git-like", "docs Docs/a docsx/a a/docs/b src/a"},
		{"docs", "docs docs/a docs/a/b", "docs.md Docs a/docs"},
		{"docs/", "docs/a docs/a/b", "docs docs.md"},
		{"./docs", "docs/a", "x/docs/a"},
		{"*.md", "README.md .md", "docs/a.md README.MD README.md/x"},
		{"**/*.md", "README.md docs/a.md a/b/c.md", "docs/a.txt"},
		{"docs/*.txt", "docs/a.txt", "docs/a/b.txt docs/a.md"},
		{"pkg-*/", "pkg-a/x pkg-b/y/z", "pkg-a pkga/x"},
		{"src/{a,b}/**", "src/a/x src/b/y/z", "src/c/x src/a"},
		{"**", "a a/b .x", ""},
		{".", "a a/b", ""},
		{"docs/** *.md", "docs/a README.md", "src/a"},
		{"[ab].go", "a.go b.go", "c.go"},
		{`we\*rd`, "we*rd", "weird"},
		{"", "anything at/all", ""},
	}
	for _, tt := range tests {
		t.Run(tt.globs, func(t *testing.T) {
			s, err := ParseScope(strings.Fields(tt.globs))
			if err != nil {
				t.Fatal(err)
			}
			for p := range strings.FieldsSeq(tt.yes) {
				if !s.Allows(p) {
					t.Errorf("%q is outside", p)
				}
			}
			for p := range strings.FieldsSeq(tt.no) {
				if s.Allows(p) {
					t.Errorf("%q is inside", p)
				}
			}
		})
	}
}

func TestScopeRefuses(t *testing.T) {
	for _, glob := range []string{"", "/docs", "..", "a/../b", "../x", "./../x", "!docs", "docs/[", "{a", "a\x00b", strings.Repeat("x", 5000)} {
		_, err := ParseScope([]string{"fine", glob})
		if sandbox.ErrorCode(err) != sandbox.CodeUsage || sandbox.ErrorHint(err) == "" {
			t.Errorf("%.20q: %v", glob, err)
		}
	}
	if _, err := ParseScope(make([]string, 2000)); err == nil {
		t.Error("any number of globs")
	}
}

// A scope of parts of paths that git can store is never left by another
// spelling, and globs that are refused match nothing.
func FuzzScope(f *testing.F) {
	for _, seed := range []string{"docs/**", "docs", "*.md", "{a,b}/", "[", "a/**/b", "./x", "**"} {
		f.Add(seed, "docs/a")
	}
	f.Fuzz(func(t *testing.T, glob, path string) {
		if len(glob) > 200 || len(path) > 200 {
			return
		}
		s, err := ParseScope([]string{glob})
		if err != nil {
			return
		}
		s.Allows(path)
		if s.Everything() {
			t.Errorf("%q is no bound", glob)
		}
		bounded, err := ParseScope([]string{"zz/**"})
		if err != nil {
			t.Fatal(err)
		}
		if bounded.Allows(path) != (strings.HasPrefix(path, "zz/") && path != "zz/") {
			t.Errorf("%q is judged otherwise than by its beginning", path)
		}
	})
}
