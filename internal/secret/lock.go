package secret

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockEvery is how often a lock that somebody has is tried again.
const lockEvery = 50 * time.Millisecond

// Alone runs do while nobody else does the same for the secret of that name, in
// this process or another: what gives a secret may use something up, such as a
// token that refreshes once.
func (s Store) Alone(ctx context.Context, name string, do func() error) (err error) {
	if !plainName(name) {
		return noSecret(name)
	}
	if err := s.prepare(); err != nil {
		return fmt.Errorf("lock secret: %w", err)
	}
	path := filepath.Join(s.Dir, namedPrefix+name+".lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("lock secret: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }() // which lets go of it
	tick := time.NewTicker(lockEvery)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return do()
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("lock secret %q: %w", name, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for another run that asks for secret %q: %w", name, ctx.Err())
		}
	}
}
