package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// T-B5: twenty starts at the same instant on one repository while `git fetch`
// loops in it: no failure, no orphan branch.
func TestTwentyStartsAtOnce(t *testing.T) {
	const agents = 20
	h := newHost(t, map[string]string{"a.txt": "a\n"})
	h.git("clone", "-q", "--bare", ".", "../upstream.git")
	h.git("remote", "add", "origin", "../upstream.git")
	stop, fetched := make(chan struct{}), make(chan string, 1)
	go func() { fetched <- h.fetchUntil(stop) }()
	var wg sync.WaitGroup
	failed := make(chan string, agents)
	for i := range agents {
		wg.Go(func() {
			out, err := h.command("agent-process", "start", fmt.Sprintf("p%d", i), "Goal", "--agent", "exec", "--",
				"/bin/sh", "-c", fmt.Sprintf("echo %d > work.txt", i)).CombinedOutput()
			if err != nil {
				failed <- fmt.Sprintf("p%d: %v\n%s", i, err, out)
			}
		})
	}
	wg.Wait()
	close(stop)
	close(failed)
	if msg := <-fetched; msg != "" {
		t.Errorf("the person's fetch failed: %s", msg)
	}
	for msg := range failed {
		t.Error(msg)
	}
	for i := range agents {
		if got := h.git("show", fmt.Sprintf("agent--p%d:work.txt", i)); got != fmt.Sprint(i) {
			t.Errorf("agent--p%d has %q", i, got)
		}
	}
	if n := len(strings.Fields(h.git("for-each-ref", "--format=%(refname)", "refs/heads/agent--*"))); n != agents {
		t.Errorf("%d branches of agents, want %d", n, agents)
	}
	if got := h.git("worktree", "list"); strings.Contains(got, "worktrees/") {
		t.Errorf("worktrees are left:\n%s", got)
	}
	h.git("fsck", "--strict")
	h.gone()
}

// fetchUntil fetches over and over, and says what failed.
func (h *host) fetchUntil(stop <-chan struct{}) string {
	for {
		select {
		case <-stop:
			return ""
		default:
		}
		cmd := exec.CommandContext(h.tb.Context(), "git", "fetch", "-q", "--prune", "origin")
		cmd.Dir, cmd.Env = h.repo, h.env
		if out, err := cmd.CombinedOutput(); err != nil {
			return string(out)
		}
	}
}
