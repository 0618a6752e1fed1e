//go:build linux

package workspace

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentprocess/internal/sandbox"
)

// put writes a file in the worktree, as a person does.
func (s *started) put(name, data string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.ws.WorktreePath(), name), []byte(data), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *started) read(name string) string {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.ws.WorktreePath(), name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data)
}

func TestWorktreeFollowsTheBranch(t *testing.T) {
	needMounts(t)
	f := newFixture(t, "p")
	// A driver of the user's own, which an agent picks by .gitattributes.
	canary := filepath.Join(f.root, "canary")
	f.git("config", "filter.a=b.smudge", "touch "+canary+"; cat")
	f.git("config", "filter.a=b.clean", "touch "+canary+"; cat")
	f.git("config", "filter.a=b.required", "true")
	hook := filepath.Join(f.dir, ".git/hooks/post-checkout")
	f.mkdir(".git/hooks")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\ntouch "+canary+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	before := f.git("config", "--list", "--local") + f.git("status", "--porcelain", "--ignored")
	s := f.start("docs", nil)
	ctx := t.Context()
	if err := s.ws.AddWorktree(ctx); err != nil {
		t.Fatal(err)
	}
	s.box().sh(`echo '* filter=a=b' > .gitattributes; echo new > new; rm "docs/read me.txt"`)
	s.land()
	if up, err := s.ws.UpdateWorktree(ctx); err != nil || !up.Updated {
		t.Fatalf("update: %+v, %v", up, err)
	}
	if got := s.read("new"); got != "new\n" {
		t.Errorf("new: %q", got)
	}
	if _, err := os.Lstat(canary); err == nil {
		t.Error("the agent's choice of a driver, or a hook, ran on the host")
	}
	f.gitAt(s.ws.WorktreePath(), "-c", "filter.a=b.clean=cat", "-c", "filter.a=b.required=false", "status")
	if got := f.gitAt(s.ws.WorktreePath(), "rev-parse", "--abbrev-ref", "HEAD"); got != "agent--docs" {
		t.Errorf("on %q", got)
	}
	if up, err := s.ws.UpdateWorktree(ctx); err != nil || up.Updated || up.Kept != "" {
		t.Errorf("again: %+v, %v", up, err)
	}

	s.put("new", "a person's")
	s.put("main.go", "a person's")
	s.box().sh("echo newer > new")
	s.land()
	up, err := s.ws.UpdateWorktree(ctx)
	if err != nil || up.Updated || !strings.Contains(up.Kept, "new") {
		t.Errorf("over edits: %+v, %v", up, err)
	}
	if got := s.read("new"); got != "a person's" {
		t.Errorf("new: %q", got)
	}
	removal, err := s.ws.RemoveWorktree(ctx)
	if err != nil || removal.Removed || cmp.Diff([]string{"main.go", "new"}, removal.Paths) != "" {
		t.Errorf("remove: %+v, %v", removal, err)
	}
	s.put("new", "new\n")
	f.gitAt(s.ws.WorktreePath(), "checkout", "main.go")
	if up, err := s.ws.UpdateWorktree(ctx); err != nil || !up.Updated {
		t.Errorf("after edits: %+v, %v", up, err)
	}
	if removal, err := s.ws.RemoveWorktree(ctx); err != nil || !removal.Removed {
		t.Errorf("remove: %+v, %v", removal, err)
	}
	if _, err := os.Lstat(s.repo.WorktreesDir); err == nil {
		t.Error("the directory of worktrees is left")
	}
	if got := f.git("config", "--list", "--local") + f.git("status", "--porcelain", "--ignored"); got != before {
		t.Errorf("configuration or status changed:\n%s", cmp.Diff(before, got))
	}
	if removal, err := s.ws.RemoveWorktree(ctx); err != nil || !removal.Removed {
		t.Errorf("remove again: %+v, %v", removal, err)
	}
}

func TestRemoveWorktreeKeepsWork(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		do   func(s *started, path string)
		kept bool
	}{
		{"clean", func(*started, string) {}, false},
		{"untracked", func(s *started, _ string) { s.put("x", "x") }, true},
		{"ignored", func(s *started, _ string) { s.put(".env", "x") }, true},
		{"unstaged", func(s *started, _ string) { s.put("main.go", "x") }, true},
		{"staged", func(s *started, path string) {
			s.put("main.go", "x")
			s.gitAt(path, "add", "main.go")
			s.put("main.go", "package main\n\nfunc main() {}\n")
		}, true},
		{"deleted", func(s *started, path string) { s.gitAt(path, "rm", "-q", "main.go") }, false},
		{"stash", func(s *started, path string) {
			s.put("main.go", "x")
			s.gitAt(path, "stash", "-q")
		}, false},
		{"commit", func(s *started, path string) { s.gitAt(path, "commit", "-q", "--allow-empty", "-m", "x") }, false},
		{"detached", func(s *started, path string) { s.gitAt(path, "checkout", "-q", "--detach") }, true},
		{"locked", func(s *started, path string) { s.git("worktree", "lock", path) }, true},
		{"gone", func(s *started, path string) {
			if err := os.RemoveAll(path); err != nil {
				s.t.Fatal(err)
			}
		}, false},
		{"crash while filling", func(s *started, path string) {
			admin := s.gitAt(path, "rev-parse", "--absolute-git-dir")
			if err := os.Rename(filepath.Join(admin, "index"), filepath.Join(admin, "index.lock")); err != nil {
				s.t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(path, "main.go")); err != nil {
				s.t.Fatal(err)
			}
		}, false},
		{"crash while filling, then an edit", func(s *started, path string) {
			admin := s.gitAt(path, "rev-parse", "--absolute-git-dir")
			if err := os.Remove(filepath.Join(admin, "index")); err != nil {
				s.t.Fatal(err)
			}
			s.put("main.go", "mine")
		}, true},
		{"never filled", func(s *started, path string) { unfill(s, path) }, false},
		{"never filled, then a person's file", func(s *started, path string) {
			unfill(s, path)
			s.put("mine", "mine")
		}, true},
		{"never filled, then a person's index", func(s *started, path string) {
			unfill(s, path)
			s.put("mine", "mine")
			s.gitAt(path, "add", "mine")
			if err := os.Remove(filepath.Join(path, "mine")); err != nil {
				s.t.Fatal(err)
			}
		}, true},
		{"crash while registering", func(s *started, path string) {
			admin := s.gitAt(path, "rev-parse", "--absolute-git-dir")
			s.gitAt(path, "rm", "-q", "-r", ".")
			if err := os.RemoveAll(admin); err != nil {
				s.t.Fatal(err)
			}
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "p")
			s := f.start("docs", nil)
			if err := s.ws.AddWorktree(t.Context()); err != nil {
				t.Fatal(err)
			}
			path := s.ws.WorktreePath()
			tt.do(s, path)
			removal, err := f.open(f.dir).RemoveWorktree(t.Context(), "docs", "")
			if err != nil || removal.Removed == tt.kept || (removal.Kept != "") != tt.kept {
				t.Errorf("removal: %+v, %v", removal, err)
			}
			if _, err := os.Lstat(path); (err == nil) != tt.kept {
				t.Errorf("worktree: %v", err)
			}
			if listed := strings.Contains(f.git("worktree", "list"), "worktrees/docs"); listed != tt.kept {
				t.Errorf("listed: %t", listed)
			}
		})
	}
}

// unfill makes a worktree as it is before its files come.
func unfill(s *started, path string) {
	s.t.Helper()
	admin := s.gitAt(path, "rev-parse", "--absolute-git-dir")
	s.gitAt(path, "rm", "-q", "-r", ".")
	if err := os.Remove(filepath.Join(admin, "index")); err != nil {
		s.t.Fatal(err)
	}
}

func TestTrash(t *testing.T) {
	needMounts(t)
	f := newFixture(t, "p")
	s := f.start("docs", nil)
	s.box().sh("echo a > a; git add a; git commit -qm a; git checkout -q -b x/y; git commit -q --allow-empty -m y; git checkout -q agent--docs")
	first := s.land()
	s.box().sh("git commit -q --amend -m b")
	tip := s.land().Tip
	if err := s.ws.AddWorktree(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := s.repo.Trash(t.Context(), "docs", nil)
	wantCode(t, err, sandbox.CodeRepository, "worktree remove")
	if _, err := s.ws.RemoveWorktree(t.Context()); err != nil {
		t.Fatal(err)
	}
	removed, err := s.repo.Trash(t.Context(), "docs", nil)
	if err != nil || removed.Ref != "refs/agents/removed/docs/20260301T100000Z" || removed.Tip != tip || len(removed.More) != 2 {
		t.Fatalf("removed: %+v, %v", removed, err)
	}
	if got := f.git("for-each-ref", "refs/heads/agent--*", "refs/agents/docs"); got != "" {
		t.Errorf("left: %q", got)
	}
	f.git("-c", "gc.reflogExpire=now", "gc", "-q", "--prune=now")
	f.git("cat-file", "-e", first.Tip)
	f.git(strings.Fields(removed.UndoCommand)[1:]...)
	if got := f.git("rev-parse", "agent--docs"); got != tip {
		t.Errorf("undone to %s", got)
	}
	again, err := s.repo.Trash(t.Context(), "docs", nil)
	if err != nil || again.Ref == removed.Ref {
		t.Errorf("in the same second: %+v, %v", again, err)
	}
	_, err = s.repo.Trash(t.Context(), "docs", nil)
	wantCode(t, err, sandbox.CodeNotFound, "list")
}

func TestAgents(t *testing.T) {
	needMounts(t)
	f := newFixture(t, "p")
	if list, err := f.open(f.dir).Agents(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("none: %+v, %v", list, err)
	}
	one := f.start("one", nil)
	one.box().sh("git commit -q --allow-empty -m x; echo a > a; echo b >> main.go")
	one.land()
	f.git("checkout", "-q", "agent--one") // the next one starts from its branch
	two := f.start("two", nil)
	two.box().sh("rm a")
	two.land()
	f.git("checkout", "-q", "main")
	f.start("three", nil)
	f.git("branch", "agent--by-hand")
	list, err := one.repo.Agents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]sandbox.DiffStat{}
	for _, a := range list {
		got[a.Name] = a.Stat
		if want, err := one.repo.DiffStat(t.Context(), firstOf(a.Base, a.Tip), a.Tip); err != nil || want != a.Stat {
			t.Errorf("%s: %+v, but alone %+v, %v", a.Name, a.Stat, want, err)
		}
	}
	want := map[string]sandbox.DiffStat{
		"one": {Commits: 2, Files: 2, Insertions: 2}, "two": {Commits: 1, Files: 1, Deletions: 1}, "three": {}, "by-hand": {},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var out strings.Builder
	if err := one.repo.Diff(t.Context(), two.base.Commit, "agent--two", &out); err != nil || !strings.Contains(out.String(), "deleted file") {
		t.Errorf("diff: %q, %v", out.String(), err)
	}
}
