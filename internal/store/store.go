package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"agentprocess/internal/sandbox"
)

// busyTimeout is how long a write waits for those of other processes.
const busyTimeout = 20 * time.Second

// Store is an open database. It is safe for concurrent use.
type Store struct {
	db   *sql.DB
	path string
}

// Open opens the database at path, makes it when it does not exist, and brings
// an older one up to date.
func Open(ctx context.Context, path string) (*Store, error) {
	if err := prepareDir(path); err != nil {
		return nil, sandbox.Fail(sandbox.CodeInternal, fmt.Errorf("state database %q: %w", path, err),
			"set XDG_STATE_HOME to a directory that you can write to")
	}
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return nil, fmt.Errorf("state database %q: %w", path, err)
	}
	// One connection: SQLite has one writer anyway, and each connection costs
	// a page cache. Closing the last one checkpoints, so it is never idled out.
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	s := &Store{db: db, path: path}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(s.explain("open", err), db.Close())
	}
	return s, nil
}

// Close closes the database. Sinks must be closed before.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return s.explain("close", err)
	}
	return nil
}

// Path is where the database is.
func (s *Store) Path() string { return s.path }

// dsn spells out every setting: small caches, because each idle supervisor
// holds them, and BEGIN IMMEDIATE, because a read that turns into a write
// cannot wait for another writer.
func dsn(path string) string {
	q := url.Values{}
	q.Set("_txlock", "immediate")
	for _, pragma := range []string{
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
		"cache_size(-512)", // KiB
		"mmap_size(0)",
		"synchronous(normal)",
		"journal_size_limit(4194304)",
		"trusted_schema(off)",
		"foreign_keys(on)",
	} {
		q.Add("_pragma", pragma)
	}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()
}

// prepareDir makes the directory, and refuses what is no database file.
func prepareDir(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("is a %s, not a regular file", info.Mode().Type())
	}
	return nil
}

// protect makes the database file private. SQLite gives its side files the
// same mode when it makes them, which is after this.
func protect(path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	return os.Chmod(path, 0o600)
}
