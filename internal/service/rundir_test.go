package service

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"agentprocess/internal/sandbox"
)

func TestRunDirOfALivingRun(t *testing.T) {
	runs := filepath.Join(t.TempDir(), "runs")
	run := sandbox.Run{ID: "docs-1", Name: "docs", Goal: "Write\ndocs", State: sandbox.StatePreparing, Created: time.Unix(1, 0).UTC()}
	dir, err := createRunDir(runs, run)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // asking takes nothing away
		if !alive(runs, run.ID) {
			t.Error("a run whose lock is held is not alive")
		}
	}
	if _, err := lockRunDir(dir.path); !errors.Is(err, errRunAlive) {
		t.Errorf("a second lock: %v, want %v", err, errRunAlive)
	}
	if _, err := createRunDir(runs, run); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second run of the same id: %v, want %v", err, fs.ErrExist)
	}
	run.State = sandbox.StateRunning
	if err := dir.save(run); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := loadRun(dir.path); err != nil || !ok || !reflect.DeepEqual(got, run) {
		t.Errorf("loadRun() = %+v, %t, %v, want %+v", got, ok, err, run)
	}
	info, err := os.Stat(dir.path)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, %v, want 0700", info.Mode(), err)
	}
}

func TestRunDirOfADeadRun(t *testing.T) {
	runs := filepath.Join(t.TempDir(), "runs")
	dir, err := createRunDir(runs, sandbox.Run{ID: "docs-1"})
	if err != nil {
		t.Fatal(err)
	}
	dir.close()
	if alive(runs, "docs-1") {
		t.Error("a run whose lock was let go of is alive")
	}
	if dir, err = lockRunDir(dir.path); err != nil {
		t.Fatalf("lock of a dead run: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(dir.path, "upper", "deep"), 0o500); err != nil {
		t.Fatal(err)
	}
	if err := dir.remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(dir.path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
	if alive(runs, "docs-1") {
		t.Error("a run without a directory is alive")
	}
}

func TestLockRunDirFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "elsewhere")
	if err := os.Symlink(target, filepath.Join(dir, "lock")); err != nil {
		t.Fatal(err)
	}
	if _, err := lockRunDir(dir); err == nil {
		t.Error("a lock that is a link was taken")
	}
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the link was followed: %v", err)
	}
}

func TestLoadRun(t *testing.T) {
	tests := []struct {
		name, content string
		ok, fails     bool
	}{
		{"never claimed", "", false, false},
		{"whole", `{"id":"docs-1"}`, true, false},
		{"cut", `{"id":"do`, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.content != "" {
				if err := os.WriteFile(filepath.Join(dir, "run.json"), []byte(tt.content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, ok, err := loadRun(dir); ok != tt.ok || (err != nil) != tt.fails {
				t.Errorf("loadRun() = %t, %v", ok, err)
			}
		})
	}
}

func TestNewRunID(t *testing.T) {
	first, err1 := newRunID("docs")
	second, err2 := newRunID("docs")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if first == second || !strings.HasPrefix(first, "docs-") {
		t.Errorf("newRunID() = %q, then %q", first, second)
	}
}
