package workspace

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// fileLock is a held flock(2); the kernel drops it when the process dies.
type fileLock struct{ f *os.File }

// lockFile takes the lock of path in mode unix.LOCK_SH or unix.LOCK_EX, waiting
// as long as ctx lasts.
func lockFile(ctx context.Context, path string, mode int) (*fileLock, error) {
	l, err := openLock(path)
	if err != nil {
		return nil, err
	}
	if err := l.convert(ctx, mode); err != nil {
		return nil, errors.Join(err, l.unlock())
	}
	return l, nil
}

// openLock opens the file of a lock without taking it.
func openLock(path string) (*fileLock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	return &fileLock{f: f}, nil
}

// convert changes the mode of the lock. It polls, since a blocked flock(2)
// cannot be called off.
func (l *fileLock) convert(ctx context.Context, mode int) error {
	wait := time.Millisecond
	for {
		taken, err := l.try(mode)
		if err != nil || taken {
			return err
		}
		if err := pause(ctx, wait); err != nil {
			return fmt.Errorf("wait for lock %q: %w", l.f.Name(), err)
		}
		wait = min(2*wait, 50*time.Millisecond)
	}
}

// try takes the lock if it is free.
func (l *fileLock) try(mode int) (bool, error) {
	for {
		err := unix.Flock(int(l.f.Fd()), mode|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		default:
			return false, fmt.Errorf("lock %q: %w", l.f.Name(), err)
		}
	}
}

// unlock lets go.
func (l *fileLock) unlock() error {
	if l == nil {
		return nil
	}
	return l.f.Close()
}

// key names the repository in our own directories.
func (r *Repository) key() string {
	sum := sha256.Sum256([]byte(r.CommonDir))
	return hex.EncodeToString(sum[:8])
}

// locked runs f while no other process of ours changes the repository. The lock
// is a file of ours: the repository itself is not littered.
func (r *Repository) locked(ctx context.Context, f func() error) (err error) {
	l, err := lockFile(ctx, filepath.Join(r.cfg.StateDir, "locks", r.key()+".lock"), unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.unlock()) }()
	return f()
}
