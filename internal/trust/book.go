package trust

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"agentprocess/internal/sandbox"
)

const (
	// maxBook bounds the file, in bytes.
	maxBook = 16 << 20
	// bookVersion is the form of the file.
	bookVersion = 1
	// lockRetry is the pause between two tries to take the lock.
	lockRetry = 20 * time.Millisecond
)

// Pin is what a person has agreed to.
type Pin struct {
	Hash  string    `json:"hash"`
	When  time.Time `json:"when"`
	By    string    `json:"by"`
	Paths int       `json:"paths"` // how many files it was
}

// Book is the file with the pins of a user, per repository and kind. The
// repository's key is the absolute path of its common git directory. A Book
// holds no state, and any number of processes may use one file.
type Book struct {
	path string
	// Now is time.Now when nil.
	Now func() time.Time
}

// Open names the book at path; the file need not be there.
func Open(path string) *Book { return &Book{path: path} }

// pages is the form of the file.
type pages struct {
	Version      int                     `json:"version"`
	Repositories map[string]map[Kind]Pin `json:"repositories"`
}

// Check sorts items into those that are exactly as they were pinned, and the
// others, with Was set where there is a pin of other content. With an error,
// all items are untrusted.
func (b *Book) Check(repo string, items []Item) (trusted, untrusted []Item, err error) {
	pins, err := b.Pins(repo)
	for _, item := range items {
		pin, known := pins[item.Kind]
		switch {
		case known && pin.Hash == item.Hash:
			trusted = append(trusted, item)
		case known:
			item.Was = &pin
			untrusted = append(untrusted, item)
		default:
			untrusted = append(untrusted, item)
		}
	}
	return trusted, untrusted, err
}

// Pins are the pins of a repository, by kind.
func (b *Book) Pins(repo string) (map[Kind]Pin, error) {
	p, err := b.read()
	if err != nil {
		return nil, err
	}
	return p.Repositories[repo], nil
}

// Pin trusts items of a repository as they are, in the name of by. Kinds that
// are not among the items keep their pins.
func (b *Book) Pin(ctx context.Context, repo, by string, items []Item) error {
	if !filepath.IsAbs(repo) {
		return fmt.Errorf("trust: repository %q is not an absolute path", repo)
	}
	now := time.Now
	if b.Now != nil {
		now = b.Now
	}
	return b.change(ctx, func(p *pages) {
		if p.Repositories[repo] == nil {
			p.Repositories[repo] = map[Kind]Pin{}
		}
		for _, item := range items {
			p.Repositories[repo][item.Kind] = Pin{Hash: item.Hash, When: now().UTC(), By: by, Paths: len(item.Files)}
		}
	})
}

// Unpin forgets all pins of a repository, or those of some kinds.
func (b *Book) Unpin(ctx context.Context, repo string, kinds ...Kind) error {
	return b.change(ctx, func(p *pages) {
		for _, k := range kinds {
			delete(p.Repositories[repo], k)
		}
		if len(kinds) == 0 || len(p.Repositories[repo]) == 0 {
			delete(p.Repositories, repo)
		}
	})
}

// read reads the file. One that another user could have written says nothing.
func (b *Book) read() (pages, error) {
	p := pages{Version: bookVersion, Repositories: map[string]map[Kind]Pin{}}
	f, err := os.OpenFile(b.path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p, nil
	case err != nil:
		return p, b.fail(err)
	}
	defer f.Close() //nolint:errcheck // only read
	if err := private(f); err != nil {
		return p, b.fail(err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxBook+1))
	switch {
	case err != nil:
		return p, b.fail(err)
	case len(data) > maxBook:
		return p, b.fail(fmt.Errorf("it is over %d bytes", maxBook))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return pages{}, b.fail(err)
	}
	if p.Version != bookVersion {
		return pages{}, b.fail(fmt.Errorf("version %d: want %d", p.Version, bookVersion))
	}
	if p.Repositories == nil {
		p.Repositories = map[string]map[Kind]Pin{}
	}
	return p, nil
}

// private says what is wrong with a file that somebody else may have written.
func private(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case !st.Mode().IsRegular():
		return fmt.Errorf("it is %v, not a file", st.Mode().Type())
	case st.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others may write it (mode %04o)", st.Mode().Perm())
	case ok && int(sys.Uid) != os.Geteuid():
		return fmt.Errorf("it belongs to user %d", sys.Uid)
	}
	return nil
}

func (b *Book) fail(err error) error {
	return sandbox.Fail(sandbox.CodePolicy, fmt.Errorf("trust: read %q: %w", b.path, err),
		"nothing that a repository brings is trusted until the file is good again: mend or remove it, then run `agent-process trust`")
}

// change changes the book under its lock, whole or not at all.
func (b *Book) change(ctx context.Context, f func(*pages)) error {
	if err := os.MkdirAll(filepath.Dir(b.path), 0o700); err != nil {
		return fmt.Errorf("trust: %w", err)
	}
	unlock, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	p, err := b.read()
	if err != nil {
		return err
	}
	f(&p)
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("trust: encode: %w", err)
	}
	return b.write(append(data, '\n'))
}

// write puts data in the place of the file.
func (b *Book) write(data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(b.path), ".trust-*") // mode 0600
	if err != nil {
		return fmt.Errorf("trust: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("trust: write %q: %w", b.path, err), os.Remove(f.Name()))
		}
	}()
	if _, err = f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if err = f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), b.path)
}

// lock takes the lock of the book, or gives up with ctx.
func (b *Book) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(b.path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("trust: lock: %w", err)
	}
	tick := time.NewTicker(lockRetry)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = f.Close() }, nil // closing gives the lock back
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return nil, errors.Join(fmt.Errorf("trust: lock %q: %w", f.Name(), err), f.Close())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("trust: wait for lock %q: %w", f.Name(), ctx.Err()), f.Close())
		}
	}
}
