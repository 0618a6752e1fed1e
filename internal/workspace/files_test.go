//go:build linux

package workspace

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentprocess/internal/sandbox"
)

func TestFiles(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"sha1", "sha256"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "p", "--object-format="+format)
			f.write(".agent-process/hooks/pre-bash", "#!/bin/sh\nexit 0\n")
			f.write(".agent-process/policy.toml", "")
			f.write(".agent-process/odd\nname \x01", "odd\n\n")
			f.write("sub/.mcp.json", "{}")
			if err := os.Chmod(filepath.Join(f.dir, ".agent-process/hooks/pre-bash"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("../../etc/passwd", filepath.Join(f.dir, ".agent-process/link")); err != nil {
				t.Fatal(err)
			}
			f.gitAt(f.dir, "init", "-q", ".agent-process/module", "--object-format="+format)
			f.gitAt(filepath.Join(f.dir, ".agent-process/module"), "commit", "-q", "--allow-empty", "-m", "x")
			f.git("add", "-A")
			f.git("commit", "-q", "-m", "policy")
			f.write(".agent-process/policy.toml", "what is not committed does not count")
			f.write(".agent-process/hooks/new", "nor this")
			r := f.open(f.dir)
			base, err := r.Resolve(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			ours := func(p string) bool { return strings.HasPrefix(p, ".agent-process/") }
			want := []TreeFile{
				{".agent-process/hooks/pre-bash", 0o100755, []byte("#!/bin/sh\nexit 0\n")},
				{".agent-process/link", 0o120000, []byte("../../etc/passwd")},
				{".agent-process/odd\nname \x01", 0o100644, []byte("odd\n\n")},
				{".agent-process/policy.toml", 0o100644, []byte{}},
			}
			got, err := r.Files(t.Context(), base, ours)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v: %s", err, diff)
			}
			got, err = r.FilesBelow(t.Context(), base, []string{".agent-process", "sub/.mcp.json", "none", "*"}, func(string) bool { return true })
			if diff := cmp.Diff(append(want, TreeFile{"sub/.mcp.json", 0o100644, []byte("{}")}), got); err != nil || diff != "" {
				t.Errorf("%v: %s", err, diff)
			}
			if got, err := r.Files(t.Context(), base, func(string) bool { return false }); err != nil || len(got) != 0 {
				t.Errorf("none: %v, %v", got, err)
			}
		})
	}
}

func TestFilesAreBounded(t *testing.T) {
	t.Parallel()
	many := func(n, size int) func(f *fixture) {
		return func(f *fixture) {
			for i := range n {
				f.write(fmt.Sprintf("x/%04d", i), strings.Repeat("x", size))
			}
		}
	}
	for _, tt := range []struct {
		name, says string
		make       func(f *fixture)
	}{
		{"as large as may be", "", many(15, 1<<20)},
		{"one too large", `"x/0000"`, many(1, 1<<20+1)},
		{"together too large", `"x/0016"`, many(17, 1<<20)},
		{"as many as may be", "", many(5000, 1)},
		{"too many", `"x/5000"`, many(5001, 1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "p")
			tt.make(f)
			f.git("add", "-A")
			f.git("commit", "-q", "-m", "x")
			r := f.open(f.dir)
			base, err := r.Resolve(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.Files(t.Context(), base, func(p string) bool { return strings.HasPrefix(p, "x/") })
			if tt.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantCode(t, err, sandbox.CodeRepository, "smaller")
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("does not name %s: %v", tt.says, err)
			}
		})
	}
}

// TestFilesThatWereNotFetched has a partial clone.
func TestFilesThatWereNotFetched(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "origin")
	f.git("config", "uploadpack.allowFilter", "true")
	g := *f
	g.dir = filepath.Join(filepath.Dir(f.dir), "partial")
	g.gitAt(f.root, "clone", "-q", "--no-checkout", "--filter=blob:none", "file://"+f.dir, g.dir)
	r := g.open(g.dir)
	base, err := r.Resolve(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Files(t.Context(), base, func(string) bool { return true })
	wantCode(t, err, sandbox.CodeRepository, "archive")
}

// BenchmarkFiles reads one file of a large tree.
func BenchmarkFiles(b *testing.B) {
	f := largeFixture(b, 100_000)
	f.write(".agent-process/policy.toml", "x")
	f.git("add", ".agent-process")
	f.git("commit", "-q", "-m", "policy")
	r := f.open(f.dir)
	base, err := r.Resolve(b.Context(), "")
	if err != nil {
		b.Fatal(err)
	}
	want := func(p string) bool { return strings.HasPrefix(p, ".agent-process/") }
	for _, paths := range [][]string{nil, {".agent-process", ".claude", ".mcp.json"}} {
		b.Run(fmt.Sprintf("paths=%d", len(paths)), func(b *testing.B) {
			for b.Loop() {
				if files, err := r.FilesBelow(b.Context(), base, paths, want); err != nil || len(files) != 1 {
					b.Fatal(files, err)
				}
			}
		})
	}
}

// A commit whose tree leads out of itself is refused by name.
func TestFilesStayInTheTree(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "p")
	f.write("sub/CLAUDE.md", "out")
	f.git("add", "-A")
	f.git("commit", "-q", "-m", "base")
	r := f.open(f.dir)
	for _, name := range []string{"..", "."} {
		mktree := exec.CommandContext(t.Context(), "git", "mktree")
		mktree.Dir, mktree.Env = f.dir, f.env
		mktree.Stdin = strings.NewReader("040000 tree " + f.git("rev-parse", "HEAD:sub") + "\t" + name + "\n")
		out, err := mktree.Output()
		if err != nil {
			t.Fatal(err)
		}
		commit := f.git("commit-tree", "-m", "x", strings.TrimSpace(string(out)))
		_, err = r.Files(t.Context(), Base{Commit: commit}, func(string) bool { return true })
		if sandbox.ErrorCode(err) != sandbox.CodeRepository || !strings.Contains(err.Error(), name+"/CLAUDE.md") {
			t.Errorf("a directory %q: %v", name, err)
		}
	}
}

// What git lists and what it gives is read alike however it comes, and no path
// leads out of the tree.
func FuzzTreeFiles(f *testing.F) {
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	f.Add([]byte("100644 blob "+a+"\t.mcp.json\x00040000 tree "+b+"\tsub\x00120000 blob "+b+"\tsub/CLAUDE.md\x00"), 20)
	f.Add([]byte("100644 blob "+a+"\t../CLAUDE.md\x00"), 3)
	f.Add([]byte(a+" blob 3\nabc\n"+b+" missing\n"), 8)
	f.Add([]byte(a+" 12\n"+b+" missing\n"), 8)
	f.Fuzz(func(t *testing.T, out []byte, cut int) {
		if cut < 0 || cut > len(out) {
			return
		}
		read := func(parts ...[]byte) *treeLister {
			l := &treeLister{want: func(string) bool { return true }}
			for _, p := range parts {
				if n, err := l.Write(p); err == nil && n != len(p) || err != nil && l.err == nil {
					t.Fatalf("%d of %d bytes written, %v", n, len(p), err)
				}
			}
			return l
		}
		whole, parts := read(out), read(out[:cut], out[cut:])
		if (whole.err == nil) != (parts.err == nil) || whole.err == nil && (cmp.Diff(whole.files, parts.files) != "" || !bytes.Equal(whole.rest, parts.rest)) {
			t.Errorf("whole: %v, %v; cut at %d: %v, %v", whole.files, whole.err, cut, parts.files, parts.err)
		}
		for _, e := range whole.files {
			if !filepath.IsLocal(e.Path) || filepath.Clean(e.Path) != e.Path {
				t.Errorf("path %q", e.Path)
			}
		}
		if err := whole.check(Base{}, out); err == nil && len(whole.files) > 0 && !bytes.ContainsRune(out, ' ') {
			t.Errorf("sizes %q", out)
		}
		in := bufio.NewReader(bytes.NewReader(out))
		for {
			data, err := nextBlob(in)
			if err != nil {
				break
			}
			if !bytes.Contains(out, data) {
				t.Errorf("%q gave %q", out, data)
			}
		}
	})
}
