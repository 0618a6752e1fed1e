package service

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"agentprocess/internal/sandbox"
	"agentprocess/internal/workspace"
)

// runDir is the directory of one run: everything of it on the host but the
// branch, the worktree and the record.
//
//	<state>/runs/<id>/lock         held by the supervisor while it lives
//	<state>/runs/<id>/run.json     the run as it was claimed, for recovery
//	<state>/runs/<id>/changes.jsonl  what a person changed of what it may reach
//	<state>/runs/<id>/...          the workspace's, see package workspace
type runDir struct {
	path string
	lock *os.File
}

// newRunID makes an id that starts with the agent's name and is new.
func newRunID(name string) (string, error) {
	var b [4]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("draw a run id: %w", err)
	}
	return name + "-" + hex.EncodeToString(b[:]), nil
}

// createRunDir makes the directory of a new run and takes its lock.
func createRunDir(runs string, run sandbox.Run) (*runDir, error) {
	path := filepath.Join(runs, run.ID)
	if err := os.MkdirAll(runs, 0o700); err != nil {
		return nil, fmt.Errorf("runs directory: %w", err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	d, err := lockRunDir(path)
	if err != nil {
		return nil, err
	}
	return d, d.save(run)
}

// errRunAlive says that a living supervisor holds the run.
var errRunAlive = errors.New("its supervisor is running")

// lockRunDir takes the lock of a run's directory, or answers errRunAlive. The
// kernel lets go of it when the holder dies, however it dies.
func lockRunDir(path string) (*runDir, error) {
	f, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("run lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close() // the error that matters is the lock's
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errRunAlive
		}
		return nil, fmt.Errorf("run lock: %w", err)
	}
	return &runDir{path: path, lock: f}, nil
}

// save writes the run for recovery without the database.
func (d *runDir) save(run sandbox.Run) error {
	data, err := json.MarshalIndent(run, "", "  ")
	if err != nil {
		return fmt.Errorf("encode run: %w", err)
	}
	tmp := filepath.Join(d.path, "run.json.new")
	if err := os.WriteFile(tmp, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("save run: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(d.path, "run.json")); err != nil {
		return fmt.Errorf("save run: %w", err)
	}
	return nil
}

// loadRun reads what save wrote; false when the run never got that far.
func loadRun(path string) (sandbox.Run, bool, error) {
	var run sandbox.Run
	data, err := os.ReadFile(filepath.Join(path, "run.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return run, false, nil
	case err != nil:
		return run, false, fmt.Errorf("read run: %w", err)
	}
	if err := json.Unmarshal(data, &run); err != nil {
		return run, false, fmt.Errorf("read run %q: %w", path, err)
	}
	return run, true, nil
}

// alive reports whether a supervisor holds the run's lock. It asks with a
// shared lock, so that any number may ask at once.
func alive(runs, id string) bool {
	f, err := os.Open(filepath.Join(runs, id, "lock"))
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // nothing was written through it
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// close lets go of the lock; the directory stays.
func (d *runDir) close() {
	_ = d.lock.Close() // closing releases the lock, and nothing was written through it
}

// remove removes the directory and everything the agent left in it, then lets
// go of the lock.
func (d *runDir) remove() error {
	err := workspace.RemoveTree(d.path)
	d.close()
	return err
}

// makeOwned makes a directory that belongs to the agent.
func makeOwned(path string, who sandbox.Identity) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	return os.Lchown(path, who.UID, who.GID)
}

func pid() int { return os.Getpid() }
