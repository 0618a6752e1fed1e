package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"agentprocess/internal/sandbox"
)

//go:embed migrations/*.sql
var migrations embed.FS

// walRetry is the pause between tries to switch a new database to WAL, for
// which SQLite does not use its busy timeout.
const walRetry = 5 * time.Millisecond

// migrate brings the database to the version of this binary: the number of
// migrations there are.
func (s *Store) migrate(ctx context.Context) error {
	names, err := fs.Glob(migrations, "migrations/*.sql") // sorted
	if err != nil {
		return fmt.Errorf("list migrations: %w", err)
	}
	version, err := s.version(ctx, s.db, len(names))
	if err != nil {
		return err
	}
	if err := protect(s.path); err != nil || version == len(names) {
		return err
	}
	if err := s.useWAL(ctx); err != nil {
		return err
	}
	return s.transact(ctx, func(tx *sql.Tx) error {
		// Another process may have done it in between.
		version, err := s.version(ctx, tx, len(names))
		if err != nil {
			return err
		}
		for i, name := range names[version:] {
			if err := apply(ctx, tx, name, version+i+1); err != nil {
				return err
			}
		}
		return nil
	})
}

// querier is what *sql.DB and *sql.Tx have in common.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (s *Store) version(ctx context.Context, q querier, known int) (int, error) {
	var version int
	if err := q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return 0, fmt.Errorf("read version: %w", err)
	}
	if version > known {
		return 0, sandbox.Fail(sandbox.CodeUsage,
			fmt.Errorf("it has version %d, and this agent-process knows versions up to %d", version, known),
			"it was written by a newer agent-process: use that one, or set XDG_STATE_HOME to another directory")
	}
	return version, nil
}

// useWAL switches the database to write-ahead logging, which it remembers. It
// needs the database for itself for a moment, and then may find that another
// process has done it.
func (s *Store) useWAL(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, busyTimeout)
	defer cancel()
	ticker := time.NewTicker(walRetry)
	defer ticker.Stop()
	for {
		var mode string
		err := s.db.QueryRowContext(ctx, "PRAGMA journal_mode=WAL").Scan(&mode)
		switch {
		case err == nil && strings.EqualFold(mode, "wal"):
			return nil
		case err == nil:
			return fmt.Errorf("write-ahead logging is not to be had: journal mode is %q", mode)
		case !busy(err):
			return fmt.Errorf("switch to write-ahead logging: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("switch to write-ahead logging: %w", errors.Join(ctx.Err(), err))
		case <-ticker.C:
		}
	}
}

func apply(ctx context.Context, tx *sql.Tx, name string, version int) error {
	script, err := migrations.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read migration: %w", err)
	}
	if _, err := tx.ExecContext(ctx, string(script)); err != nil {
		return fmt.Errorf("apply %q: %w", name, err)
	}
	// A pragma takes no parameters; version is ours.
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version)); err != nil {
		return fmt.Errorf("set version: %w", err)
	}
	return nil
}

// transact runs fn in a transaction that holds the write lock from its start.
func (s *Store) transact(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
