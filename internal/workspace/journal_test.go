package workspace

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentprocess/internal/sandbox"
)

// deedFixture is a repository in which a deed can be done: main is at one, and
// two changes, adds, removes and links files.
func deedFixture(t *testing.T) (f *fixture, r *Repository, one, two string, paths []string) {
	t.Helper()
	f = newFixture(t, "project")
	f.write("gone.txt", "to be removed\n")
	f.write("dir/was.txt", "in a directory\n")
	f.git("add", "-A")
	f.git("commit", "-q", "-m", "one")
	one = f.git("rev-parse", "HEAD")
	f.git("checkout", "-q", "-b", "other")
	f.write("main.go", "package changed\n")
	f.write("new/file.sh", "#!/bin/sh\n")
	f.git("rm", "-q", "-r", "gone.txt", "dir")
	f.write("dir", "a file where a directory was\n")
	if err := os.Chmod(filepath.Join(f.dir, "new/file.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("main.go", filepath.Join(f.dir, "link")); err != nil {
		t.Fatal(err)
	}
	f.git("add", "-A")
	f.git("commit", "-q", "-m", "two")
	two = f.git("rev-parse", "HEAD")
	f.git("checkout", "-q", "main")
	paths = []string{"main.go", "new/file.sh", "gone.txt", "dir/was.txt", "dir", "link"}
	return f, f.open(f.dir), one, two, paths
}

// state is all of a worktree that a person would miss.
func (f *fixture) state() string {
	f.t.Helper()
	var b strings.Builder
	b.WriteString(f.git("rev-parse", "HEAD") + "\n" + f.git("ls-files", "-s") + "\n" + f.git("status", "--porcelain", "--ignored") + "\n")
	err := filepath.WalkDir(f.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() == ".git" {
			return errors.Join(err, filepath.SkipDir)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b.WriteString(strings.TrimPrefix(path, f.dir) + " " + info.Mode().String())
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b.WriteString(" " + string(data))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil && !errors.Is(err, filepath.SkipDir) {
		f.t.Fatal(err)
	}
	return b.String()
}

func TestUndoBringsBackEveryByte(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		extra func(f *fixture) // what the person has besides
	}{
		{"clean", func(*fixture) {}},
		{"dirty beside it", func(f *fixture) {
			f.write("docs/read me.txt", "mine\n")
			f.write("untracked.txt", "mine\n")
			f.write("staged.txt", "mine\n")
			f.git("add", "staged.txt")
			f.write("staged.txt", "mine, and more\n")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, r, one, two, paths := deedFixture(t)
			tt.extra(f)
			before := f.state()
			ctx := t.Context()
			e, err := r.Journal(ctx, Deed{Op: "merge", Agent: "docs", Text: "merge", Refs: map[string]string{"refs/heads/main": two}, Paths: paths})
			if err != nil {
				t.Fatal(err)
			}
			if got := f.state(); got != before {
				t.Errorf("the journal changed the worktree:\n%s\nwant\n%s", got, before)
			}
			f.git("read-tree", "-m", "-u", one, two)
			f.git("update-ref", "refs/heads/main", two)
			if err := r.Seal(ctx, e); err != nil {
				t.Fatal(err)
			}
			after := f.state()
			undone, err := r.Undo(ctx, 0, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.state(); got != before {
				t.Errorf("after undo:\n%s\nwant\n%s", got, before)
			}
			if len(undone.Paths) != len(paths) {
				t.Errorf("brought back %q, want all of %q", undone.Paths, paths)
			}
			if _, err := r.Undo(ctx, undone.Redo.ID, false, nil); err != nil {
				t.Fatal(err)
			}
			if got := f.state(); got != after {
				t.Errorf("after undo of undo:\n%s\nwant\n%s", got, after)
			}
			f.git("fsck", "--strict")
		})
	}
}

func TestUndoRefusesWhatChangedSince(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(f *fixture)
		names  string
	}{
		{"a file", func(f *fixture) { f.write("main.go", "package mine\n") }, "main.go"},
		{"a staged file", func(f *fixture) { f.write("new/file.sh", "mine"); f.git("add", "new/file.sh") }, "new/file.sh"},
		{"a commit", func(f *fixture) { f.git("commit", "-q", "--allow-empty", "-m", "mine") }, "refs/heads/main"},
		{"a file that is back", func(f *fixture) { f.write("gone.txt", "another\n") }, "gone.txt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, r, one, two, paths := deedFixture(t)
			ctx := t.Context()
			before := f.state()
			e, err := r.Journal(ctx, Deed{Op: "merge", Text: "merge", Refs: map[string]string{"refs/heads/main": two}, Paths: paths})
			if err != nil {
				t.Fatal(err)
			}
			f.git("read-tree", "-m", "-u", one, two)
			f.git("update-ref", "refs/heads/main", two)
			if err := r.Seal(ctx, e); err != nil {
				t.Fatal(err)
			}
			tt.change(f)
			mine := f.state()
			_, err = r.Undo(ctx, 0, false, nil)
			if sandbox.ErrorCode(err) != sandbox.CodeRepository || !strings.Contains(err.Error(), tt.names) {
				t.Errorf("error %v, want a refusal that names %s", err, tt.names)
			}
			if got := f.state(); got != mine {
				t.Errorf("a refused undo changed:\n%s\nwant\n%s", got, mine)
			}
			undone, err := r.Undo(ctx, 0, true, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.state(); got != before {
				t.Errorf("after a forced undo:\n%s\nwant\n%s", got, before)
			}
			if _, err := r.Undo(ctx, undone.Redo.ID, false, nil); err != nil {
				t.Fatal(err)
			}
			if got := f.state(); got != mine {
				t.Errorf("what force took is not kept:\n%s\nwant\n%s", got, mine)
			}
		})
	}
}

// Killed at any point, a deed or its undoing can be undone, and nothing of the
// person's is lost.
func TestUndoAfterACrash(t *testing.T) {
	t.Parallel()
	steps := []func(f *fixture, r *Repository, e Entry, one, two string){
		func(*fixture, *Repository, Entry, string, string) {},
		func(f *fixture, _ *Repository, _ Entry, _, _ string) { f.write("main.go", "package changed\n") }, // half of the files
		func(f *fixture, _ *Repository, _ Entry, one, two string) {
			f.git("checkout", "-q", "main", "--", "main.go")
			f.git("read-tree", "-m", "-u", one, two)
		},
		func(f *fixture, _ *Repository, _ Entry, _, two string) { f.git("update-ref", "refs/heads/main", two) },
	}
	for n := range steps {
		f, r, one, two, paths := deedFixture(t)
		before := f.state()
		e, err := r.Journal(t.Context(), Deed{Op: "merge", Text: "merge", Refs: map[string]string{"refs/heads/main": two}, Paths: paths})
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range steps[:n+1] {
			step(f, r, e, one, two)
		}
		if _, err := r.Undo(t.Context(), 0, true, nil); err != nil {
			t.Fatalf("after %d steps: %v", n, err)
		}
		if got := f.state(); got != before {
			t.Errorf("after %d steps:\n%s\nwant\n%s", n, got, before)
		}
	}
}

// What an entry keeps outlives the collection of garbage.
func TestJournalOutlivesGC(t *testing.T) {
	t.Parallel()
	f, r, _, _, _ := deedFixture(t)
	f.git("checkout", "-q", "-b", "lost")
	f.git("commit", "-q", "--allow-empty", "-m", "only here")
	lost := f.git("rev-parse", "HEAD")
	f.write("staged only.txt", "nowhere else\n")
	f.git("add", "staged only.txt")
	f.git("checkout", "-q", "main")
	e, err := r.Journal(t.Context(), Deed{Op: "rm", Text: "remove", Refs: map[string]string{"refs/heads/lost": ""}, Paths: []string{"staged only.txt"}})
	if err != nil {
		t.Fatal(err)
	}
	f.git("branch", "-q", "-D", "lost")
	f.git("rm", "-q", "--cached", "staged only.txt")
	if err := os.Remove(filepath.Join(f.dir, "staged only.txt")); err != nil {
		t.Fatal(err)
	}
	if err := r.Seal(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	f.git("reflog", "expire", "--expire=now", "--all")
	f.git("gc", "-q", "--prune=now")
	if _, err := r.Undo(t.Context(), e.ID, false, nil); err != nil {
		t.Fatal(err)
	}
	if got := f.git("rev-parse", "lost"); got != lost {
		t.Errorf("the branch is at %s, want %s", got, lost)
	}
	if got := f.git("status", "--porcelain"); got != `A  "staged only.txt"` {
		t.Errorf("status is %q", got)
	}
}

func TestUndoIsOneStepWithItsCaller(t *testing.T) {
	t.Parallel()
	f, r, _, two, _ := deedFixture(t)
	if _, err := r.Journal(t.Context(), Deed{Op: "rewind", Text: "x", Refs: map[string]string{"refs/heads/side": two}, Notes: map[string]string{"run": "r1"}}); err != nil {
		t.Fatal(err)
	}
	f.git("branch", "side", two)
	refuse := errors.New("not now")
	if _, err := r.Undo(t.Context(), 0, false, func(Entry) error { return refuse }); !errors.Is(err, refuse) {
		t.Errorf("error %v, want %v", err, refuse)
	}
	f.git("rev-parse", "side")
	var seen Entry
	if _, err := r.Undo(t.Context(), 0, false, func(e Entry) error { seen = e; return nil }); err != nil {
		t.Fatal(err)
	}
	if seen.Notes["run"] != "r1" || seen.Op != "rewind" {
		t.Errorf("the caller saw %+v", seen)
	}
	if out, err := f.tryGit(f.dir, "rev-parse", "--verify", "-q", "side"); err == nil {
		t.Errorf("side is still at %s", out)
	}
}

func TestUndoWithNothingToUndo(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "project")
	_, err := f.open(f.dir).Undo(context.WithoutCancel(t.Context()), 0, false, nil)
	if sandbox.ErrorCode(err) != sandbox.CodeNotFound {
		t.Errorf("error %v, want %s", err, sandbox.CodeNotFound)
	}
}

func TestJournalRefusesOddPaths(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "project")
	r := f.open(f.dir)
	for _, p := range []string{"../x", "/etc/passwd", ".git/config", "a/.GIT/hooks/x", "a//b", ""} {
		if _, err := r.Journal(t.Context(), Deed{Op: "apply", Text: "x", Paths: []string{p}}); err == nil {
			t.Errorf("path %q was taken", p)
		}
	}
	if list, err := r.Entries(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("entries %v, %v", list, err)
	}
}
