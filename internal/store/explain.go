package store

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"agentprocess/internal/sandbox"
)

// resultCode is SQLite's primary result code of err, 0 when it has none.
func resultCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

func busy(err error) bool {
	code := resultCode(err)
	return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
}

// explain says what was tried on which database, and what a person can do. An
// error that has a code already keeps it.
func (s *Store) explain(operation string, err error) error {
	err = fmt.Errorf("%s state database %q: %w", operation, s.path, err)
	if _, ok := errors.AsType[*sandbox.Error](err); ok {
		return sandbox.Fail(sandbox.ErrorCode(err), err, sandbox.ErrorHint(err))
	}
	return sandbox.Fail(sandbox.CodeInternal, err, s.hint(resultCode(err)))
}

func (s *Store) hint(code int) string {
	switch code {
	case sqlite3.SQLITE_FULL:
		return fmt.Sprintf("the disk is full: make room on the file system of %q", s.path)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "another process has held the database for too long: see `agent-process list` for what runs"
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Sprintf("the database is damaged: move %q away to start a new one; branches are not affected", s.path)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH:
		return fmt.Sprintf("make %q and its directory writable, or set XDG_STATE_HOME to a directory that is", s.path)
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL:
		return fmt.Sprintf("check the disk of %q; network file systems cannot hold it: set XDG_STATE_HOME to a local directory", s.path)
	default:
		return ""
	}
}

// errClosed is the answer of a sink that was closed.
var errClosed = errors.New("write to a closed record")
