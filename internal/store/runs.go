package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"agentprocess/internal/sandbox"
)

// PutRun writes the whole record of a run, new or known.
func (s *Store) PutRun(ctx context.Context, run sandbox.Run) error {
	record, err := json.Marshal(run)
	if err != nil {
		return fmt.Errorf("encode run %q: %w", run.ID, err)
	}
	_, err = s.db.ExecContext(ctx, `
		INSERT INTO runs (id, repository, name, state, created, record) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET repository = excluded.repository, name = excluded.name,
			state = excluded.state, created = excluded.created, record = excluded.record`,
		run.ID, run.Repository, run.Name, string(run.State), run.Created.UnixNano(), string(record))
	if err != nil {
		return s.explain("write run in", err)
	}
	return nil
}

// RunFilter says which runs are wanted; the zero value wants all that the user
// has not removed.
type RunFilter struct {
	ID, Repository, Name string
	States               []sandbox.State
	// Removed adds those that DeleteRun hid.
	Removed bool
	// Limit is the most there can be; 0 is no limit.
	Limit int
}

// Run gives the run with an id, removed ones too.
func (s *Store) Run(ctx context.Context, id string) (sandbox.Run, error) {
	return s.one(ctx, RunFilter{ID: id, Removed: true}, fmt.Sprintf("run %q", id))
}

// RunByName gives the newest run of a name in a repository (its common git
// directory) that was not removed.
func (s *Store) RunByName(ctx context.Context, repository, name string) (sandbox.Run, error) {
	return s.one(ctx, RunFilter{Repository: repository, Name: name}, fmt.Sprintf("agent %q", name))
}

func (s *Store) one(ctx context.Context, f RunFilter, what string) (sandbox.Run, error) {
	f.Limit = 1
	runs, err := s.Runs(ctx, f)
	switch {
	case err != nil:
		return sandbox.Run{}, err
	case len(runs) == 0:
		return sandbox.Run{}, sandbox.Fail(sandbox.CodeNotFound, fmt.Errorf("%s is not known", what),
			"`agent-process list` shows the agents of this repository")
	}
	return runs[0], nil
}

// Runs gives the runs that f asks for, newest first.
func (s *Store) Runs(ctx context.Context, f RunFilter) ([]sandbox.Run, error) {
	where, args := f.where()
	//nolint:gosec // G202: the clause is made of constants, values travel apart
	rows, err := s.db.QueryContext(ctx, "SELECT record FROM runs"+where+" ORDER BY created DESC, id DESC LIMIT ?",
		append(args, limit(f.Limit))...)
	return collect(s, rows, err, func(rows *sql.Rows) (run sandbox.Run, err error) {
		var record []byte
		if err := rows.Scan(&record); err != nil {
			return run, err
		}
		return run, json.Unmarshal(record, &run)
	})
}

func (f RunFilter) where() (string, []any) {
	c := conditions{}
	c.equal("id", f.ID)
	c.equal("repository", f.Repository)
	c.equal("name", f.Name)
	if !f.Removed {
		c.add("archived = 0")
	}
	if len(f.States) > 0 {
		args := make([]any, len(f.States))
		for i, state := range f.States {
			args[i] = string(state)
		}
		c.add("state IN (?"+strings.Repeat(", ?", len(args)-1)+")", args...)
	}
	return c.clause()
}

// DeleteRun hides a run from Runs and RunByName. Its record and events stay.
func (s *Store) DeleteRun(ctx context.Context, id string) error { return s.archive(ctx, id, true) }

// RestoreRun shows a run again that DeleteRun hid.
func (s *Store) RestoreRun(ctx context.Context, id string) error { return s.archive(ctx, id, false) }

func (s *Store) archive(ctx context.Context, id string, archived bool) error {
	result, err := s.db.ExecContext(ctx, "UPDATE runs SET archived = ? WHERE id = ?", archived, id)
	if err != nil {
		return s.explain("write run in", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return s.explain("write run in", err)
	}
	if n == 0 {
		return sandbox.Fail(sandbox.CodeNotFound, fmt.Errorf("run %q is not known", id), "")
	}
	return nil
}

// conditions are the parts of a WHERE clause. Their texts are constants of
// this package; values travel as parameters.
type conditions struct {
	texts []string
	args  []any
}

func (c *conditions) add(text string, args ...any) {
	c.texts = append(c.texts, text)
	c.args = append(c.args, args...)
}

// equal asks for a value, if there is one.
func (c *conditions) equal(column, value string) {
	if value != "" {
		c.add(column+" = ?", value)
	}
}

func (c *conditions) clause() (string, []any) {
	if len(c.texts) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(c.texts, " AND "), c.args
}

// limit is n as SQLite wants it: negative is none.
func limit(n int) int {
	if n <= 0 {
		return -1
	}
	return n
}

// collect reads all rows at once, so that the one connection is free again.
func collect[T any](s *Store, rows *sql.Rows, err error, scan func(*sql.Rows) (T, error)) ([]T, error) {
	if err != nil {
		return nil, s.explain("query", err)
	}
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, s.explain("read", errors.Join(err, rows.Close()))
		}
		all = append(all, one)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, s.explain("read", err)
	}
	return all, nil
}
