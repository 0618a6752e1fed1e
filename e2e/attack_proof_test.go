package e2e

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAttackProof starts agents on a runtime that forgot one protection each.
// The start must find out before the agent's first instruction, say which, and
// leave nothing.
func TestAttackProof(t *testing.T) {
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
		t.Run(tt.kind, func(t *testing.T) {
			t.Parallel()
			h := newAttacked(t, nil)
			refs := h.git("for-each-ref")
			canary := filepath.Join(h.dir, "canary")
			status, out := h.try(probe, "broken", tt.kind, "proved", canary)
			if status != 16 || !strings.Contains(out, tt.names) {
				t.Errorf("%s: status %d, it says %q, want it to name %q", saysProof, status, out, tt.names)
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
