//go:build linux

package workspace

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentprocess/internal/sandbox"
)

func wantCode(t *testing.T, err error, code sandbox.Code, hint string) {
	t.Helper()
	if sandbox.ErrorCode(err) != code || !strings.Contains(sandbox.ErrorHint(err), hint) {
		t.Errorf("wants %s with a hint of %q, got %s %v (hint %q)", code, hint, sandbox.ErrorCode(err), err, sandbox.ErrorHint(err))
	}
}

func TestOpenPlaces(t *testing.T) {
	f := newFixture(t, "repo")
	work := filepath.Dir(f.dir)
	f.gitAt(work, "clone", "-q", "--bare", f.dir, filepath.Join(work, "bare.git"))
	f.gitAt(filepath.Join(work, "bare.git"), "worktree", "add", "-q", filepath.Join(work, "of bare"), "main")
	f.git("worktree", "add", "-q", filepath.Join(f.root, "linked", "one"))
	f.gitAt(work, "init", "-q", "--separate-git-dir", filepath.Join(work, "apart.git"), filepath.Join(work, "apart"))
	f.gitAt(filepath.Join(work, "apart"), "commit", "-q", "--allow-empty", "-m", "x")
	f.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", filepath.Join(work, "bare.git"), "sub")
	if err := os.Symlink(f.dir, filepath.Join(f.root, "link")); err != nil {
		t.Fatal(err)
	}
	f.gitAt(work, "clone", "-q", "--bare", f.dir, filepath.Join(work, "inside", ".bare"))
	f.gitAt(filepath.Join(work, "inside", ".bare"), "worktree", "add", "-q", "-f", filepath.Join(work, "inside", "main"), "main")
	for _, tt := range []struct{ name, dir, top, worktrees string }{
		{"top", "work/repo", "work/repo", "work/worktrees"},
		{"subdirectory", "work/repo/docs", "work/repo", "work/worktrees"},
		{"git directory", "work/repo/.git", "work/repo", "work/worktrees"},
		{"symbolic link", "link/docs", "work/repo", "work/worktrees"},
		{"linked worktree", "linked/one", "work/repo", "work/worktrees"},
		{"bare", "work/bare.git", "work/bare.git", "work/worktrees"},
		{"worktree of bare", "work/of bare", "work/bare.git", "work/worktrees"},
		{"bare among its worktrees", "work/inside/main", "work/inside/.bare", "work/inside/worktrees"},
		{"git directory apart", "work/apart", "work/apart", "work/worktrees"},
		{"submodule", "work/repo/sub", "work/repo/sub", "work/worktrees"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := f.open(filepath.Join(f.root, tt.dir))
			if r.Top != filepath.Join(f.root, tt.top) || r.WorktreesDir != filepath.Join(f.root, tt.worktrees) {
				t.Errorf("top %q, worktrees %q", r.Top, r.WorktreesDir)
			}
			base, err := r.Resolve(t.Context(), "")
			if err != nil || base.Subject == "" {
				t.Errorf("base %+v, %v", base, err)
			}
			if _, err := r.Dirty(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	f := emptyFixture(t, "unborn")
	_, err := Open(t.Context(), f.root, f.cfg)
	wantCode(t, err, sandbox.CodeRepository, "git init")
	_, err = Open(t.Context(), filepath.Join(f.root, "none"), f.cfg)
	wantCode(t, err, sandbox.CodeRepository, "exists")
	_, err = f.open(f.dir).Resolve(t.Context(), "")
	wantCode(t, err, sandbox.CodeRepository, "--allow-empty")
	_, err = f.open(f.dir).Resolve(t.Context(), "--output=x")
	wantCode(t, err, sandbox.CodeRepository, "name a branch")
	_, err = f.open(f.dir).Resolve(t.Context(), "nothing")
	wantCode(t, err, sandbox.CodeRepository, "git branch --all")

	cfg := f.cfg
	bin := filepath.Join(f.root, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte("#!/bin/sh\necho git version 2.25.1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	_, err = Open(t.Context(), f.dir, cfg)
	wantCode(t, err, sandbox.CodeRepository, "2.34")
}

func TestDubiousOwnership(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("only root can see this: to make a repository of somebody else's")
		return
	}
	f := newFixture(t, "theirs")
	if err := chownTree(f.dir, sandbox.Identity{UID: 61235, GID: 61235}); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), f.dir, f.cfg)
	wantCode(t, err, sandbox.CodeRepository, "safe.directory")

	f.gitAt(f.root, "config", "--global", "--add", "safe.directory", f.dir)
	if err := os.Chown(filepath.Dir(f.dir), 61235, 61235); err != nil { // worktrees go there
		t.Fatal(err)
	}
	needMounts(t)
	s := f.start("docs", nil)
	s.box().sh("echo a > a")
	s.land()
	if err := s.ws.AddWorktree(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(filepath.Dir(f.dir), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && !pathReadable(path, sandbox.Identity{UID: 61235}) || strings.Contains(fmt.Sprintf("%+v", info.Sys()), "Uid:0 ") {
			t.Errorf("%q is not its owner's any more", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "p")
	f.git("branch", "up")
	f.git("commit", "-q", "--allow-empty", "-m", "ahead")
	f.git("branch", "-q", "--set-upstream-to=up")
	f.git("checkout", "-q", "up")
	f.git("commit", "-q", "--allow-empty", "-m", "behind")
	f.git("commit", "-q", "--allow-empty", "-m", "behind")
	f.git("checkout", "-q", "main")
	r := f.open(f.dir)
	base, err := r.Resolve(t.Context(), "")
	if err != nil || base.Upstream != "up" || base.Ahead != 1 || base.Behind != 2 || base.Subject != "ahead" {
		t.Errorf("HEAD: %+v, %v", base, err)
	}
	base, err = r.Resolve(t.Context(), "up")
	if err != nil || base.AheadOfHead != 2 || base.BehindHead != 1 || base.Ref != "up" {
		t.Errorf("up: %+v, %v", base, err)
	}
	f.git("checkout", "-q", "--detach")
	if base, err = f.open(f.dir).Resolve(t.Context(), ""); err != nil || base.Subject != "ahead" {
		t.Errorf("detached: %+v, %v", base, err)
	}
	f.git("checkout", "-q", "--orphan", "new")
	if base, err = r.Resolve(t.Context(), "up"); err != nil || base.Subject != "behind" {
		t.Errorf("from an unborn branch: %+v, %v", base, err)
	}
}

func TestDirtyAndFile(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "p")
	f.write(".agent-process/allowlist", "example.com\n")
	f.git("add", "-A")
	f.git("commit", "-q", "-m", "x")
	f.write("staged", "x")
	f.git("add", "staged")
	f.write("main.go", "changed")
	f.write("new", "x")
	f.write(".env", "x")
	r := f.open(filepath.Join(f.dir, "docs"))
	dirty, err := r.Dirty(t.Context())
	if err != nil || dirty != (Dirty{Staged: 1, Unstaged: 1, Untracked: 1}) {
		t.Errorf("dirty: %+v, %v", dirty, err)
	}
	base, err := r.Resolve(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	data, ok, err := r.File(t.Context(), base, ".agent-process/allowlist")
	if string(data) != "example.com\n" || !ok || err != nil {
		t.Errorf("file: %q %t %v", data, ok, err)
	}
	for _, path := range []string{"none", "docs", "main.go/x"} {
		if _, ok, err := r.File(t.Context(), base, path); ok || err != nil {
			t.Errorf("%q: %t %v", path, ok, err)
		}
	}
	f.write("large", strings.Repeat("x", maxFile+1024))
	f.git("add", "large")
	f.git("commit", "-q", "-m", "x")
	if base, err = r.Resolve(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.File(t.Context(), base, "large"); err == nil {
		t.Error("a large file was read")
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "p")
	if id := f.open(f.dir).Identity(); id.Name != "Ümit Tester" || id.Zone != "+0200" || id.Notice != "" {
		t.Errorf("configured: %+v", id)
	}
	f.cfg.Environ = append(f.env, "GIT_AUTHOR_NAME=Env <x>\n", "GIT_DIR=/nonexistent")
	if id := f.open(f.dir).Identity(); id.Name != "Env x" || id.Email != "tester@example.com" {
		t.Errorf("environment: %+v", id)
	}
	f.cfg.Environ = append(f.env, "HOME=/nonexistent")
	id := f.open(f.dir).Identity()
	if id.Name != "tester" || !strings.HasPrefix(id.Email, "tester@") || !strings.Contains(id.Notice, "git config") {
		t.Errorf("nobody: %+v", id)
	}
}

func TestClaim(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "p")
	r := f.open(f.dir)
	ctx := t.Context()
	base, err := r.Resolve(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	claim, err := r.Claim(ctx, "docs", base)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.git("rev-parse", "agent--docs", "refs/agents/docs/base"); got != base.Commit+"\n"+base.Commit {
		t.Errorf("refs: %s", got)
	}
	_, err = r.Claim(ctx, "docs", base)
	wantCode(t, err, sandbox.CodeNameInUse, "rm docs")
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if err := claim.Release(gone); err != nil {
		t.Fatal(err)
	}
	if got := f.git("for-each-ref", "refs/heads/agent--*", "refs/agents"); got != "" {
		t.Errorf("left: %q", got)
	}
	if claim, err = r.Claim(ctx, "docs", base); err != nil {
		t.Fatal(err)
	}
	f.git("update-ref", "refs/heads/agent--docs", f.git("commit-tree", "-m", "work", base.Tree))
	if err := claim.Release(ctx); err != nil {
		t.Fatal(err)
	}
	f.git("rev-parse", "--verify", "refs/heads/agent--docs")

	for _, tt := range []struct {
		name  string
		setup func()
		hint  string
	}{
		{"directory", func() { f.write("../worktrees/directory/x", "x") }, "move"},
		{"branchdir", func() { f.git("branch", "agent--branchdir/x") }, "rm"},
		{"registered", func() {
			f.git("worktree", "add", "-q", "../worktrees/registered")
			if err := os.RemoveAll(filepath.Join(f.dir, "../worktrees/registered")); err != nil {
				t.Fatal(err)
			}
		}, "prune"},
		{"unborn", func() {
			f.git("worktree", "add", "-q", "--detach", "../elsewhere")
			f.gitAt(filepath.Join(f.dir, "../elsewhere"), "checkout", "-q", "--orphan", "agent--unborn")
		}, "rm"},
	} {
		tt.setup()
		_, err := r.Claim(ctx, tt.name, base)
		wantCode(t, err, sandbox.CodeNameInUse, tt.hint)
		if out, err := f.tryGit(f.dir, "rev-parse", "-q", "--verify", "refs/heads/agent--"+tt.name); err == nil {
			t.Errorf("%s: the branch is there: %s", tt.name, out)
		}
	}
	f.git("update-ref", "refs/remotes/origin/agent--far", base.Commit)
	claim, err = r.Claim(ctx, "far", base)
	if err != nil || len(claim.Notices) != 1 {
		t.Errorf("remote only: %+v %v", claim, err)
	}
	_, err = r.Claim(ctx, "removed", base)
	wantCode(t, err, sandbox.CodeUsage, "another name")
}

func TestLockWaitsAndGivesUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "p")
	r := f.open(f.dir)
	err := r.locked(t.Context(), func() error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		return r.locked(ctx, func() error { t.Error("both have it"); return nil })
	})
	if err == nil {
		t.Error("the second one did not give up")
	}
}
