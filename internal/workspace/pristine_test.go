//go:build linux

package workspace

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestPrunePristine(t *testing.T) {
	f := newFixture(t, "p")
	old := f.start("old", nil)
	f.write("x", "x")
	f.git("add", "-A")
	f.git("commit", "-q", "-m", "x")
	young := f.start("young", nil)
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(old.ws.pristine.dir, past, past); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(f.cfg.CacheDir, "pristine", ".new-half")
	if err := os.MkdirAll(filepath.Join(half, "tree"), 0o700); err != nil {
		t.Fatal(err)
	}
	prune := func(keep, want int) {
		t.Helper()
		if n, err := PrunePristine(t.Context(), f.cfg, keep); err != nil || n != want {
			t.Errorf("pruned %d, %v, wants %d", n, err, want)
		}
	}
	prune(2, 1) // what a crash left
	prune(0, 0) // both in use
	if err := old.ws.Close(); err != nil {
		t.Fatal(err)
	}
	if err := young.ws.Close(); err != nil {
		t.Fatal(err)
	}
	prune(1, 1)
	if _, err := os.Stat(young.ws.pristine.index()); err != nil {
		t.Error("the younger one is gone:", err)
	}
	prune(0, 1)
	// A workspace whose checkout is gone is as good as before.
	ws, err := f.open(f.dir).Reopen(t.Context(), filepath.Join(f.root, "runs", "young"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(ws.Mounts()[0].Lower, "x")); err != nil {
		t.Error(err)
	}
	if err := ws.Close(); err != nil {
		t.Error(err)
	}
}

func TestInsideDir(t *testing.T) {
	for path, want := range map[string]string{
		"/home/u/worktrees/x": "/home/u/worktrees/x", "/usr/src/worktrees/x": "/workspace", "/optional/x": "/optional/x", "/etc/worktrees/x": "/workspace",
	} {
		if got := insideDir(path); got != want {
			t.Errorf("%q is at %q inside, wants %q", path, got, want)
		}
	}
}
