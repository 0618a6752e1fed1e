//go:build linux

package workspace

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"agentprocess/internal/sandbox"
)

// untouched is all bytes of the person's worktree, index, refs and
// configuration.
func (f *fixture) untouched() string {
	f.t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(f.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || strings.Contains(path, ".git/objects") {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b.WriteString(path + info.Mode().String())
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			b.Write(data)
			return err
		case info.Mode()&os.ModeSymlink != 0:
			to, err := os.Readlink(path)
			b.WriteString(to)
			return err
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return b.String()
}

func TestIncludeDirty(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "p")
	f.write(".gitattributes", "*.bin filter=lfs\ncrlf.txt eol=crlf\n")
	f.write("crlf.txt", "a\r\nb\r\n")
	f.write("gone", "gone")
	f.write("staged", "one\n")
	f.git("add", "-A")
	f.git("commit", "-q", "-m", "second")
	f.git("config", "filter.lfs.clean", "touch "+filepath.Join(f.root, "canary")+"; cat")
	clean := f.open(f.dir)
	base, err := clean.Resolve(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	before := f.untouched()
	if d, err := clean.IncludeDirty(t.Context(), base); err != nil || d.Base != base || d.Files != 0 {
		t.Errorf("of a clean tree: %+v, %v", d, err)
	}
	if got := f.untouched(); got != before {
		t.Error("of a clean tree: something changed")
	}
	f.write("main.go", "package changed\n")
	f.write("staged", "two\n")
	f.git("add", "staged")
	f.write("staged", "three\n")
	f.write("new file ü\n", "new\n")
	f.write(".env", "ignored\n")
	f.write("big.bin", "not a pointer\n")
	f.write("crlf.txt", "a\r\nb\r\nc\r\n")
	f.write("--opt", "x")
	if err := os.Remove(filepath.Join(f.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(f.dir, "docs/read me.txt"), 0o755); err != nil {
		t.Fatal(err)
	}
	f.gitAt(f.dir, "init", "-q", "nested")
	f.gitAt(filepath.Join(f.dir, "nested"), "commit", "-q", "--allow-empty", "-m", "x")
	before = f.untouched()
	d, err := clean.IncludeDirty(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.untouched(); got != before {
		t.Error("the person's worktree, index, refs or configuration changed")
	}
	if d.Files != 7 || !slices.Equal(d.Left, []string{"big.bin", "nested/"}) {
		t.Errorf("%d files, left %q", d.Files, d.Left)
	}
	for path, want := range map[string]string{"main.go": "package changed", "staged": "three", "new file ü\n": "new", "crlf.txt": "a\nb\nc", "--opt": "x"} {
		if got := f.git("show", d.Base.Commit+":"+path); got != want {
			t.Errorf("%q: %q", path, got)
		}
	}
	for _, path := range []string{".env", "big.bin", "gone", "nested"} {
		if _, err := f.tryGit(f.dir, "cat-file", "-e", d.Base.Commit+":"+path); err == nil {
			t.Errorf("%q is there", path)
		}
	}
	if got := f.git("log", "-1", "--format=%an %s %P", d.Base.Commit); got != "Ümit Tester Uncommitted changes "+base.Commit {
		t.Errorf("commit: %q", got)
	}
	if _, err := os.Stat(filepath.Join(f.root, "canary")); err == nil {
		t.Error("a filter ran")
	}
	other := base
	other.Commit = f.git("rev-parse", "HEAD^")
	_, err = clean.IncludeDirty(t.Context(), other)
	wantCode(t, err, sandbox.CodeUsage, "--base")
}

// TestIncludeDirtyUnmerged refuses what has no meaning as a commit.
func TestIncludeDirtyUnmerged(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "p")
	f.git("checkout", "-q", "-b", "other")
	f.write("main.go", "other\n")
	f.git("commit", "-qam", "other")
	f.git("checkout", "-q", "main")
	f.write("main.go", "main\n")
	f.git("commit", "-qam", "main")
	if _, err := f.tryGit(f.dir, "merge", "-q", "other"); err == nil {
		t.Fatal("no conflict")
	}
	r := f.open(f.dir)
	base, err := r.Resolve(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.IncludeDirty(t.Context(), base)
	wantCode(t, err, sandbox.CodeRepository, "conflicts")
}

// TestHistory is what an agent can read of a repository: its own history, and
// with the default all else.
func TestHistory(t *testing.T) {
	t.Parallel()
	needMounts(t)
	for _, tt := range []struct {
		name   string
		change func(*Options)
		log    string // how many commits it sees
		others bool   // what the base does not reach can be read
	}{
		{"all", nil, "4", true},
		{"base", func(o *Options) { o.Strict = true }, "4", false},
		{"two commits", func(o *Options) { o.Depth = 2 }, "2", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := historyFixture(t)
			f.git("checkout", "-q", "-b", "secret")
			f.write("secret", "of another branch\n")
			f.git("add", "-A")
			f.git("commit", "-qm", "secret")
			f.git("checkout", "-q", "main")
			f.write("main.go", "of a stash\n")
			f.git("stash", "-q")
			f.write("x", "dangling\n")
			secrets := map[string]string{
				"another branch": f.git("rev-parse", "secret:secret"), "a stash": f.git("rev-parse", "stash:main.go"), "a dangling object": f.git("hash-object", "-w", "x"),
			}
			if err := os.Remove(filepath.Join(f.dir, "x")); err != nil {
				t.Fatal(err)
			}
			if tt.name == "base" {
				f.git("gc", "-q")
			}
			oldest := f.git("rev-list", "--max-parents=0", "main")
			s := f.start("docs", tt.change)
			b := s.box()
			if got := strings.TrimSpace(b.sh("git rev-list --count HEAD")); got != tt.log {
				t.Errorf("it sees %s commits, want %s", got, tt.log)
			}
			for what, id := range secrets {
				if _, exit := b.try("git cat-file -e " + id); (exit == 0) != tt.others {
					t.Errorf("%s: exit status %d", what, exit)
				}
			}
			if _, exit := b.try("git cat-file -e " + oldest); (exit == 0) != (tt.log == "4") {
				t.Errorf("the oldest commit: exit status %d", exit)
			}
			b.sh("git status --porcelain; git fsck; echo a > docs/a; git add -A; git commit -qm one; git commit -q --allow-empty -m two")
			if result := s.land(); result.Stat.Commits != 2 || result.Rebased || f.git("rev-parse", "agent--docs~2") != s.base.Commit {
				t.Errorf("import: %+v", result)
			}
			f.git("fsck", "--strict")
			if _, err := os.Stat(filepath.Join(f.dir, ".git", "shallow")); err == nil {
				t.Error("the person's repository is shallow now")
			}
			b.sh("rm -rf .git/* 2>/dev/null || :; echo b > docs/b")
			if _, rescued := s.settle(); !rescued || f.git("show", "agent--docs:docs/b") != "b" {
				t.Errorf("rescued %t", rescued)
			}
		})
	}
}
