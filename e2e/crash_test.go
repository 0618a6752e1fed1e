package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"agentprocess/internal/audit"
)

// The supervisor is killed in each phase of a run: at once nothing of it runs
// any more, `list` tells the truth, and `cleanup` brings home the work and
// leaves neither branch, worktree nor directory of a run that has none.
func TestKilledSupervisorLosesNothing(t *testing.T) {
	t.Parallel()
	const writes = "echo mine > work.txt; echo written; sleep 60"
	tests := []struct {
		phase  string
		when   func(audit.Event) bool
		script string
		work   bool // the agent had written before
	}{
		{"checked", has("phase", `"checked"`), writes, false},
		{"workspace made", has("phase", `"workspace"`), writes, false},
		{"gateway open", has("phase", `"gateway"`), writes, false},
		{"sandbox started", has("phase", `"sandbox"`), writes, false},
		{"proof given", has("phase", `"proof"`), writes, false},
		{"agent at work", has("output", "written"), writes, true},
		{"agent ruined its git directory", has("output", "written"), "rm -rf .git/*; " + writes, true},
		{"agent committed", has("output", "written"), "git add -A; git commit -qm own --allow-empty; " + writes, true},
		{"commit imported", has("commit", "Goal"), "echo mine > work.txt", true},
		{"work saved", has("phase", `"saved"`), "echo mine > work.txt", true},
	}
	for _, tt := range tests {
		t.Run(tt.phase, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, map[string]string{"a.txt": "a\n"})
			before := h.git("status", "--porcelain", "--ignored")
			s := h.start("crash", tt.script)
			if !s.until(tt.when) {
				t.Fatalf("the run ended before: %s", s.stderr.String())
			}
			s.kill(t)
			h.gone()
			if _, out := h.run("list"); !strings.Contains(out, "crash") || strings.Contains(out, "running") {
				t.Errorf("list does not tell the truth:\n%s", out)
			}
			if code, out := h.run("cleanup"); code != 0 {
				t.Fatalf("cleanup: exit status %d\n%s", code, out)
			}
			h.checkCleaned(before, tt.work)
		})
	}
}

// checkCleaned checks that what a dead run left is gone, and its work is not.
func (h *host) checkCleaned(status string, work bool) {
	h.tb.Helper()
	branch := h.git("for-each-ref", "--format=%(refname:short)", "refs/heads/agent--crash")
	// An agent may have been quicker than the signal: then its work is there.
	if work || branch != "" {
		if got := h.git("show", "agent--crash:work.txt"); got != "mine" {
			h.tb.Errorf("work.txt is %q on the branch", got)
		}
	}
	if got := h.git("worktree", "list"); strings.Contains(got, "crash") {
		h.tb.Errorf("a worktree is left:\n%s", got)
	}
	runs, err := filepath.Glob(filepath.Join(h.home, ".local/state/agent-process/runs/*"))
	if err != nil || len(runs) > 0 {
		h.tb.Errorf("runs are left: %q, %v", runs, err)
	}
	if got := h.git("status", "--porcelain", "--ignored"); got != status {
		h.tb.Errorf("git status was %q, is %q", status, got)
	}
	h.git("fsck", "--strict")
	if code, out := h.run("start", "crash2", "Again", "--agent", "exec", "--", "true"); code != 3 {
		h.tb.Errorf("the next start: exit status %d\n%s", code, out)
	}
}

// A name whose run crashed is in use until its work is home.
func TestCrashedNameIsInUse(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	s := h.start("crash", "echo mine > work.txt; echo written; sleep 60")
	if !s.until(has("output", "written")) {
		t.Fatal(s.stderr.String())
	}
	s.kill(t)
	code, out := h.run("start", "crash", "Again", "--agent", "exec", "--", "true")
	if code != 12 || !strings.Contains(out, "cleanup") {
		t.Errorf("exit status %d, want 12 and a hint at cleanup\n%s", code, out)
	}
	code, out = h.run("rm", "crash")
	if code != 0 || !strings.Contains(out, "with git alone: git branch agent--crash") {
		t.Fatalf("rm: exit status %d\n%s", code, out)
	}
	_, undo, _ := strings.Cut(strings.TrimSpace(out), "with git alone: git ")
	h.git(strings.Fields(undo)...)
	if got := h.git("show", "agent--crash:work.txt"); got != "mine" {
		t.Errorf("after undo work.txt is %q", got)
	}
}

// Ctrl-C once: the agent is asked, its work is kept. Twice: at once, its work
// is kept all the same.
func TestInterrupts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, script string
		signals      []syscall.Signal
	}{
		{"once", `trap 'echo asked > asked.txt; exit 0' INT; echo mine > work.txt; echo written; while :; do sleep 0.1; done`, []syscall.Signal{syscall.SIGINT}},
		{"twice", `trap '' INT; echo mine > work.txt; echo written; while :; do sleep 0.1; done`, []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}}, // two alike at once would be one
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, nil)
			s := h.start("int", tt.script)
			if !s.until(has("output", "written")) {
				t.Fatal(s.stderr.String())
			}
			for _, sig := range tt.signals {
				if err := s.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
			}
			if code := s.end(t); code != 6 {
				t.Errorf("exit status %d, want 6 (stopped)", code)
			}
			if got := h.git("show", "agent--int:work.txt"); got != "mine" {
				t.Errorf("work.txt is %q", got)
			}
			if len(tt.signals) == 1 {
				h.git("show", "agent--int:asked.txt")
			}
			h.gone()
		})
	}
}

// Stop from another terminal, and rm of a running agent.
func TestStopAndRemoveFromOutside(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	s := h.start("far", "echo mine > work.txt; echo written; exec sleep 60")
	if !s.until(has("output", "written")) {
		t.Fatal(s.stderr.String())
	}
	if code, out := h.run("rm", "far"); code != 17 {
		t.Errorf("rm of a running agent: exit status %d\n%s", code, out)
	}
	done := make(chan int, 1)
	go func() { done <- s.end(t) }()
	if code, out := h.run("rm", "far", "--force"); code != 0 || !strings.Contains(out, "with git alone: git branch agent--far") {
		t.Errorf("rm --force: exit status %d\n%s", code, out)
	}
	if code := <-done; code != 6 {
		t.Errorf("the start ended with %d, want 6 (stopped)", code)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(h.repo), "worktrees", "far")); err == nil {
		t.Error("the worktree is still there")
	}
	if got := h.git("for-each-ref", "--format=%(refname)", "refs/agents/removed/far"); got == "" {
		t.Error("no recoverable ref was written")
	}
	h.gone()
}
