//go:build linux

package workspace

import (
	"path/filepath"
	"testing"

	"agentprocess/internal/sandbox"
)

// A second run goes on from the end of the branch: what a person put there
// stays as it is, protected paths included, and what the agent adds is counted
// from the base.
func TestGoesOnFromItsBranch(t *testing.T) {
	t.Parallel()
	needMounts(t)
	s := newFixture(t, "project").start("docs", nil)
	s.box().sh("echo one > one.txt")
	first := s.land()
	s.git("checkout", "-q", "agent--docs")
	s.write(".claude/settings.json", "{}")
	s.git("add", "-f", ".claude/settings.json")
	s.git("commit", "-q", "-m", "a person's")
	mine := s.git("rev-parse", "HEAD")
	if _, err := s.repo.Reclaim(t.Context(), "docs", s.base, mine); sandbox.ErrorCode(err) != sandbox.CodeRepository {
		t.Errorf("a branch that is checked out was taken: %v", err)
	}
	s.git("checkout", "-q", "main")
	if _, err := s.repo.Reclaim(t.Context(), "docs", s.base, first.Tip); sandbox.ErrorCode(err) != sandbox.CodeBusy {
		t.Errorf("a branch that was moved was taken: %v", err)
	}
	claim, err := s.repo.Reclaim(t.Context(), "docs", s.base, mine)
	if err != nil {
		t.Fatal(err)
	}
	from, err := s.repo.Resolve(t.Context(), mine)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.repo.Prepare(t.Context(), Options{
		Name: "docs", Base: s.base, Start: from, RunDir: filepath.Join(s.root, "runs", "docs-2"), Owner: testOwner(), Overlay: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	n := &started{fixture: s.fixture, repo: s.repo, base: s.base, claim: claim, ws: again}
	n.box().sh("cat one.txt; git log --oneline | grep -q person; echo two > two.txt")
	got := n.land()
	if got.Diverged || got.Replaced != "" || len(got.Dropped) > 0 {
		t.Errorf("import: %+v", got)
	}
	if parent := s.git("rev-parse", "agent--docs~1"); parent != mine {
		t.Errorf("the new commit is on %s, want %s", parent, mine)
	}
	if got.Stat.Commits != 3 {
		t.Errorf("%d commits against the base, want 3", got.Stat.Commits)
	}
	if err := claim.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.git("rev-parse", "agent--docs")
}
