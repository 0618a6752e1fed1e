package e2e

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// brokenStart is what came of a start on a broken runtime.
type brokenStart struct {
	status int
	output string
}

func startBroken(h *attacked, probe, kind, canary string) brokenStart {
	cmd := h.command(h.t.Context(), probe, "broken", kind, "proved", canary)
	out, err := cmd.CombinedOutput()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		return brokenStart{-1, err.Error()}
	}
	return brokenStart{cmd.ProcessState.ExitCode(), string(out)}
}

// TestAttackProof starts agents on a runtime that forgot one protection each.
// The start must find out before the agent's first instruction, say which, and
// leave nothing.
func TestAttackProof(t *testing.T) { //nolint:tparallel // what it starts is parallel already
	probe, err := buildProbe()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ kind, names string }{
		{"network of the host", "unlisted name through the proxy"},
		{"redirect leads elsewhere", "raw IPv4 address"},
		{"proxy is somebody else's", "somebody refused it, but not our gateway"},
		{"proxy is open", "unlisted name through the proxy"},
		{"resolver is open", "unlisted DNS name"},
		{"hooks allow", "canary"},
		{"no probe", "proof"},
	} {
		h := newMachine(t, nil)
		refs := h.git("for-each-ref")
		canary := filepath.Join(h.dir, "canary")
		// All at once, whatever -parallel says: most of the time they wait for
		// a record that does not come.
		result := make(chan brokenStart, 1)
		go func() { result <- startBroken(h, probe, tt.kind, canary) }()
		t.Run(tt.kind, func(t *testing.T) {
			t.Parallel()
			h.t = t
			got := <-result
			if got.status != 16 || !strings.Contains(got.output, tt.names) {
				t.Errorf("%s: status %d, it says %q, want it to name %q", saysProof, got.status, got.output, tt.names)
			}
			if _, err := os.Lstat(canary); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the agent ran: %v", err)
			}
			if got := h.git("for-each-ref"); got != refs {
				t.Errorf("refs: %q, before %q", got, refs)
			}
			if out := h.git("worktree", "list"); strings.Contains(out, "proved") {
				t.Errorf("worktrees: %q", out)
			}
			if out := h.product("list"); strings.Contains(out, "proved") {
				t.Errorf("list: %q", out)
			}
			runs, err := filepath.Glob(filepath.Join(h.home, ".local/state/agent-process/runs/*"))
			if err != nil || len(runs) > 0 {
				t.Errorf("runs: %q %v", runs, err)
			}
			if left := leftovers(h.dir); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
	t.Run("nothing is broken", func(t *testing.T) {
		h := newAttacked(t, nil)
		canary := filepath.Join(h.dir, "canary")
		if status, out := h.try(probe, "broken", "nothing", "proved", canary); status != 0 {
			t.Errorf("status %d: %s", status, out)
		}
		if _, err := os.Lstat(canary); err != nil {
			t.Errorf("the agent did not run: %v", err)
		}
	})
}
