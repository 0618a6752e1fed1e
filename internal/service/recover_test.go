package service

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"agentprocess/internal/execx"
	"agentprocess/internal/sandbox"
)

func TestCleanupWithoutRuns(t *testing.T) {
	done, err := newService(t, &host{}).Cleanup(t.Context())
	if err != nil || len(done) > 0 {
		t.Errorf("Cleanup() = %+v, %v, want nothing", done, err)
	}
}

// A living run is left alone, what is left of a start goes, and a run that
// cannot be read keeps nobody from the next one.
func TestCleanup(t *testing.T) {
	h := &host{}
	s := newService(t, h)
	claim(t, s, sandbox.Run{ID: "living-1", Name: "living", State: sandbox.StateRunning})
	claim(t, s, sandbox.Run{ID: "damaged-1", Name: "damaged", State: sandbox.StateRunning}).close()
	if err := os.WriteFile(filepath.Join(s.runs(), "damaged-1", "run.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.runs(), "unclaimed-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	done, err := s.Cleanup(t.Context())
	if err == nil {
		t.Error("the damaged run is no error")
	}
	if len(done) != 1 || done[0].Name != "unclaimed-1" {
		t.Errorf("Cleanup() = %+v, want unclaimed-1 alone", done)
	}
	for name, there := range map[string]bool{"living-1": true, "damaged-1": true, "unclaimed-1": false} {
		if _, err := os.Lstat(filepath.Join(s.runs(), name)); errors.Is(err, fs.ErrNotExist) == there {
			t.Errorf("%s: %v, want it there: %t", name, err, there)
		}
	}
	if slices.ContainsFunc(h.cleaned, func(id string) bool { return id[:7] == "living-" }) {
		t.Errorf("the sandbox of a living run was cleaned up: %q", h.cleaned)
	}
	for _, id := range []string{"unclaimed-1", "unclaimed-1" + importSuffix, "unclaimed-1" + rescueSuffix} {
		if !slices.Contains(h.cleaned, id) {
			t.Errorf("sandbox %q was not cleaned up", id)
		}
	}
}

// A supervisor that is gone is not signalled: its process id may be another's.
func TestSignalReachesNobodyWhenTheLockIsFree(t *testing.T) {
	another, err := execx.Start(t.Context(), execx.Cmd{Argv: []string{"sleep", "60"}})
	if err != nil {
		t.Fatal(err)
	}
	s := newService(t, &host{})
	run := sandbox.Run{ID: "gone-1", Name: "gone", State: sandbox.StateRunning, PID: another.PID()}
	claim(t, s, run).close()
	if err := errors.Join(s.signal(run, true), s.waitGone(t.Context(), run), another.Signal(syscall.SIGKILL)); err != nil {
		t.Error(err)
	}
	err = another.Wait()
	if got := another.State().Sys().(syscall.WaitStatus).Signal(); got != syscall.SIGKILL {
		t.Errorf("another's process ended by %v (%v), want only our own %v", got, err, syscall.SIGKILL)
	}
}
