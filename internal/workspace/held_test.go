//go:build linux

package workspace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentprocess/internal/sandbox"
)

// commitAll is a script of the agent that commits everything.
func commitAll(subject string) string { return "; git add -A; git commit -qm " + subject + "; " }

// onlyHeld is what is held of the agent, which must be of one run at most.
func (s *started) onlyHeld() Held {
	s.t.Helper()
	list, err := s.repo.Held(s.ws.Name())
	if err != nil || len(list) > 1 {
		s.t.Fatalf("held: %+v, %v", list, err)
	}
	if len(list) == 0 {
		return Held{}
	}
	return list[0]
}

// TestHeldAmended is an agent that is told, and takes back what was refused.
func TestHeldAmended(t *testing.T) {
	t.Parallel()
	needMounts(t)
	f := historyFixture(t)
	s := f.scoped("docs/**")
	b := s.box()
	b.sh("echo x > docs/x" + commitAll("x") + "echo y > y; echo y > docs/y" + commitAll("y"))
	first := s.land()
	if first.Held == nil || s.subjects() != "x" {
		t.Fatalf("first: %+v", first)
	}
	b.sh("echo z > docs/z" + commitAll("z"))
	second := s.land()
	if heldText(second.Held) != "y: y; z:" || len(second.Held.Before) != 0 || second.Changed {
		t.Errorf("second: %+v", second)
	}
	b.sh("git reset -q --soft HEAD~2; git rm -q --cached y; rm y; git commit -qm 'y and z'")
	third := s.land()
	if third.Held != nil || s.subjects() != "x, y and z" || third.Replaced != "" {
		t.Errorf("third: %+v, branch %q", third, s.subjects())
	}
	h := s.onlyHeld()
	if h.Tip != "" || h.Look != "" || len(h.Commits) != 0 || len(h.Before) != 1 || h.Before[0].Tip != second.Held.Tip {
		t.Errorf("held: %+v", h)
	}
	b.sh("echo w > w" + commitAll("w"))
	if fourth := s.land(); heldText(fourth.Held) != "w: w" || len(fourth.Held.Before) != 1 {
		t.Errorf("fourth: %+v", fourth.Held)
	}
	b.sh("git commit -q --amend -m other")
	if fifth := s.land(); heldText(fifth.Held) != "other: w" || len(fifth.Held.Before) != 2 {
		t.Errorf("fifth: %+v", fifth.Held)
	}
	h = s.onlyHeld()
	if h.From != third.Tip {
		t.Errorf("from %s", h.From)
	}
	released, err := s.repo.ReleaseHeld(t.Context(), "docs", h.Run)
	if err != nil || !released.Moved || f.git("show", "agent--docs:w") != "w" || len(released.More) != 2 || released.Stat.Commits != 3 {
		t.Errorf("released: %+v, %v", released, err)
	}
	if got := f.git("show", released.More[0]+":y"); got != "y" {
		t.Errorf("what was taken back: %q", got)
	}
	if after := s.land(); after.Held == nil {
		t.Error("a release is no scope for what comes later")
	}
}

// TestHeldSnapshot is an agent that does not commit, and tidies up later.
func TestHeldSnapshot(t *testing.T) {
	t.Parallel()
	needMounts(t)
	f := historyFixture(t)
	s := f.scoped("docs/**")
	b := s.box()
	b.sh("echo x > docs/x; echo y > y")
	result, err := s.ws.Commit(t.Context(), b, Message{Subject: "work"})
	if err != nil || !result.Changed || result.OutsideCount != 1 || result.Outside[0] != "y" {
		t.Fatalf("commit: %+v, %v", result, err)
	}
	first := s.bring()
	if first.Held == nil || !first.Held.Uncommitted || first.Held.From != first.Tip || s.subjects() != "work" {
		t.Errorf("first: %+v", first.Held)
	}
	if got := b.sh("git status --porcelain"); got != "?? y\n" {
		t.Errorf("inside: %q", got)
	}
	var out bytes.Buffer
	if err := s.repo.DiffHeld(t.Context(), *first.Held, &out); err != nil || !strings.Contains(out.String(), "+++ b/y") || strings.Contains(out.String(), "docs/x") {
		t.Errorf("diff: %v, %s", err, out.String())
	}
	b.sh("echo more >> y; echo more >> docs/x")
	second := s.land()
	if second.Held == nil || len(second.Held.Before) != 0 || s.subjects() != "work, work" || f.gitAt(f.root, "--git-dir="+second.Held.GitDir, "show", second.Held.Tip+":y") != "y\nmore" {
		t.Errorf("second: %+v", second.Held)
	}
	b.sh("rm y")
	if third := s.land(); third.Held != nil {
		t.Errorf("third: %+v", third.Held)
	}
	if h := s.onlyHeld(); h.Run != "" {
		t.Errorf("held: %+v", h)
	}
	if got := f.git("for-each-ref", "refs/agents/held"); got != "" {
		t.Errorf("a pin is left: %q", got)
	}
}

// TestHeldOutlivesTheRun ends the run, removes the agent, collects garbage.
func TestHeldOutlivesTheRun(t *testing.T) {
	t.Parallel()
	needMounts(t)
	f := historyFixture(t)
	s := f.scoped("docs/**")
	s.box().sh("echo x > docs/x" + commitAll("x") + "echo y > y" + commitAll("y"))
	h := s.land().Held
	if h == nil {
		t.Fatal("nothing is held")
	}
	if err := errors.Join(s.ws.Close(), RemoveTree(filepath.Join(f.root, "runs", "docs"))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.repo.Trash(t.Context(), "docs", nil); err != nil {
		t.Fatal(err)
	}
	// The base is in no branch any more, and what was imported neither.
	f.git("checkout", "-q", "-b", "other", "HEAD~3")
	f.git("branch", "-q", "-D", "main")
	for ref := range strings.FieldsSeq(f.git("for-each-ref", "--format=%(refname)", "refs/agents/removed")) {
		f.git("update-ref", "-d", ref)
	}
	f.git("reflog", "expire", "--expire=all", "--all")
	f.git("gc", "-q", "--prune=now")
	if got := s.onlyHeld(); cmp.Diff(got, *h) != "" {
		t.Errorf("held: %s", cmp.Diff(got, *h))
	}
	f.gitAt(f.root, "--git-dir="+h.GitDir, "fsck", "--strict")
	var out bytes.Buffer
	if err := s.repo.DiffHeld(t.Context(), *h, &out); err != nil || !strings.Contains(out.String(), "+++ b/y") {
		t.Errorf("diff: %v, %s", err, out.String())
	}
	released, err := s.repo.ReleaseHeld(t.Context(), "docs", h.Run)
	if err != nil || !released.Moved || f.git("show", "agent--docs:y")+f.git("show", "agent--docs:docs/x") != "yx" {
		t.Fatalf("released: %+v, %v", released, err)
	}
	agents, err := s.repo.Agents(t.Context())
	if err != nil || len(agents) != 1 || agents[0].Stat.Commits != 2 {
		t.Errorf("agents: %+v, %v", agents, err)
	}
	_, err = s.repo.ReleaseHeld(t.Context(), "docs", h.Run)
	wantCode(t, err, sandbox.CodeNotFound, "show")
	if entries, err := os.ReadDir(filepath.Join(f.root, "state", "held", s.repo.key())); err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
	f.git("fsck", "--strict")
}

// TestReleaseBesideAPerson keeps what somebody else did to the branch.
func TestReleaseBesideAPerson(t *testing.T) {
	t.Parallel()
	needMounts(t)
	for _, tt := range []struct {
		name, why string
		do        func(s *started)
	}{
		{"their commits", "has commits", func(s *started) {
			own := s.git("commit-tree", "-m", "mine", "-p", "agent--docs", "agent--docs^{tree}")
			s.git("update-ref", "refs/heads/agent--docs", own)
		}},
		{"their checkout", "checked out", func(s *started) { s.git("checkout", "-q", "agent--docs") }},
		{"nothing", "", func(*started) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := historyFixture(t)
			s := f.scoped("docs/**")
			s.box().sh("echo x > docs/x" + commitAll("x") + "mkdir .agent-process; echo y > .agent-process/policy.toml; ln -s /etc l" + commitAll("y"))
			h := s.land().Held
			tt.do(s)
			before := f.git("rev-parse", "agent--docs")
			released, err := s.repo.ReleaseHeld(t.Context(), "docs", h.Run)
			if err != nil || released.Moved != (tt.why == "") || !strings.Contains(released.Why, tt.why) {
				t.Fatalf("released: %+v, %v", released, err)
			}
			if len(released.Flagged) != 2 || released.Flagged[0].Path != ".agent-process/policy.toml" || released.Flagged[1].Path != "l" {
				t.Errorf("flagged: %+v", released.Flagged)
			}
			if got := f.git("rev-parse", released.Ref); got != h.Tip {
				t.Errorf("%s is at %s", released.Ref, got)
			}
			if got := f.git("rev-parse", "agent--docs"); (got == before) != (tt.why != "") {
				t.Errorf("the branch is at %s, and was at %s", got, before)
			}
		})
	}
}

func TestDiscardHeld(t *testing.T) {
	t.Parallel()
	needMounts(t)
	f := historyFixture(t)
	s := f.scoped("docs/**")
	s.box().sh("echo y > y" + commitAll("y"))
	h := s.land().Held
	wantCode(t, s.repo.DiscardHeld(t.Context(), "other", h.Run), sandbox.CodeNotFound, "show other")
	wantCode(t, s.repo.DiscardHeld(t.Context(), "docs", "../x"), sandbox.CodeUsage, "")
	if err := s.repo.DiscardHeld(t.Context(), "docs", h.Run); err != nil {
		t.Fatal(err)
	}
	if got := s.onlyHeld(); got.Run != "" || f.git("for-each-ref", "refs/agents/held") != "" {
		t.Errorf("held: %+v", got)
	}
}

// TestHeldRescue has what was refused in the tree alone, after the agent ruined
// its git directory.
func TestHeldRescue(t *testing.T) {
	t.Parallel()
	needMounts(t)
	f := historyFixture(t)
	s := f.scoped("docs/**")
	s.box().sh("echo x > docs/x" + commitAll("x") + "echo y > y" + commitAll("y"))
	first := s.land()
	s.box().sh("echo more >> y; echo more >> docs/x; rm -rf .git/* 2>/dev/null || :")
	result, rescued := s.settle()
	if !rescued || s.subjects() != "x, work" || heldText(result.Held) != "Changes outside the scope: y" {
		t.Errorf("rescued %t: branch %q, %+v", rescued, s.subjects(), result.Held)
	}
	if len(result.Held.Before) != 1 || result.Held.Before[0].Tip != first.Held.Tip {
		t.Errorf("before: %+v", result.Held.Before)
	}
}

// TestManyCommitsAreHeld bounds what is told, not what is kept.
func TestManyCommitsAreHeld(t *testing.T) {
	t.Parallel()
	needMounts(t)
	f := historyFixture(t)
	s := f.scoped("docs/**")
	s.box().sh("for i in $(seq 100); do echo > out$i; done" + commitAll("many") +
		"tip=$(git rev-parse HEAD); for i in $(seq 120); do tip=$(git commit-tree -p $tip -m $i HEAD^{tree}); done; git reset -q $tip")
	h := s.land().Held
	if h.Count != 121 || len(h.Commits) != maxHeldCommits || h.Commits[0].Count != 100 || len(h.Commits[0].Outside) != maxStrays {
		t.Errorf("held: %d commits, %d told, %+v", h.Count, len(h.Commits), h.Commits[0])
	}
	if got := f.gitAt(f.root, "--git-dir="+h.GitDir, "rev-list", "--count", h.From+".."+h.Tip); got != "121" {
		t.Errorf("kept: %s", got)
	}
}

// killingGit is a git that, instead of its nth call, kills who called it. Calls
// may be made at the same time: each takes a number by a file of its own, and
// writes down there what it was. The environment is ours, so all it must know is written into it.
const killingGit = `#!/bin/sh
n=1
set -C
until { echo "$*" > %[1]s.$n; } 2>/dev/null; do n=$((n + 1)); done
set +C
if [ $n = %[2]d ]; then kill -9 $PPID; exit 1; fi
exec %[3]s "$@"
`

// TestKilledWhileHolding kills an import before each of its calls of git, and
// imports again: the first import of an agent, and one that finds something
// held already, of commits that were rewritten since.
func TestKilledWhileHolding(t *testing.T) {
	t.Parallel()
	needMounts(t)
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	for _, before := range []int{0, 1} {
		t.Run(fmt.Sprintf("%d held before", before), func(t *testing.T) {
			t.Parallel()
			s := historyFixture(t).scoped("docs/**")
			b := s.box()
			b.sh("echo x > docs/x" + commitAll("x") + "echo y > y" + commitAll("y"))
			if before > 0 {
				s.land()
				b.sh("git commit -q --amend -m z")
			}
			if _, err := s.ws.Commit(t.Context(), b, Message{Subject: "work"}); err != nil {
				t.Fatal(err)
			}
			paths := []string{s.dir, s.cfg.StateDir, s.ws.path(quarantineName), s.ws.path(recordFile)}
			restore, receiving, was := s.save(paths...), s.ws.path(receivingName), ""
			for at := 1; at < 100; at++ {
				done := importProcess(s.fixture, "docs", git, at)
				// Where nothing was written since, what is left is as before.
				if is := s.files(append(paths, receiving)...); done || is != was {
					was = is
					s.importAgain(at, before)
				}
				if done {
					t.Logf("killed at each of %d calls", at-1)
					return
				}
				restore()
				if err := RemoveTree(receiving); err != nil {
					t.Fatal(err)
				}
			}
			t.Error("an import has no end")
		})
	}
}

// importAgain imports after an import was killed, and checks what came home.
func (s *started) importAgain(at, before int) {
	s.t.Helper()
	ws, err := s.repo.Reopen(s.t.Context(), s.ws.runDir)
	if err != nil {
		s.t.Fatal(err)
	}
	again := &started{fixture: s.fixture, repo: s.repo, base: s.base, ws: ws}
	result := again.bring()
	if again.subjects() != "x" || result.Held == nil || len(result.Held.Commits) != 1 || len(result.Held.Before) != before {
		s.t.Fatalf("killed at %d: branch %q, %+v", at, again.subjects(), result.Held)
	}
	again.checkApart(result.Held)
	s.git("fsck", "--strict")
	if err := ws.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// save keeps what there is at paths and gives what puts it back.
func (f *fixture) save(paths ...string) (restore func()) {
	f.t.Helper()
	kept := f.t.TempDir()
	copyAll := func(from, to string) {
		if out, err := exec.CommandContext(f.t.Context(), "cp", "-a", from, to).CombinedOutput(); err != nil {
			f.t.Fatalf("copy %q: %v: %s", from, err, out)
		}
	}
	for i, p := range paths {
		copyAll(p, filepath.Join(kept, strconv.Itoa(i)))
	}
	return func() {
		for i, p := range paths {
			if err := os.RemoveAll(p); err != nil {
				f.t.Fatal(err)
			}
			copyAll(filepath.Join(kept, strconv.Itoa(i)), p)
		}
	}
}

// importProcess imports in a process of its own, which is killed at the call
// of git with that number; true when it did not come to that.
func importProcess(f *fixture, name, git string, at int) bool {
	f.t.Helper()
	bin := f.t.TempDir()
	script := fmt.Appendf(nil, killingGit, filepath.Join(bin, "count"), at, git)
	if err := os.WriteFile(filepath.Join(bin, "git"), script, 0o755); err != nil {
		f.t.Fatal(err)
	}
	in := struct {
		Dir, RunDir, Temp string
		Cfg               struct{ StateDir, CacheDir string }
		Env               []string
	}{Dir: f.dir, RunDir: filepath.Join(f.root, "runs", name), Temp: f.t.TempDir(), Env: f.env}
	in.Cfg.StateDir, in.Cfg.CacheDir = f.cfg.StateDir, f.cfg.CacheDir
	data, err := json.Marshal(in)
	if err != nil {
		f.t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(f.t.Context()), "/proc/self/exe")
	cmd.Env = append([]string{helperEnv + "=import", "PATH=" + bin + ":" + os.Getenv("PATH")}, f.env[1:]...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(data), &out
	err = cmd.Run()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if err != nil && (!ok || !status.Signaled()) {
		f.t.Fatalf("at %d: %v: %s", at, err, out.String())
	}
	return err == nil
}
