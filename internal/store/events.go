package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"agentprocess/internal/audit"
)

// followEvery is how often Follow looks for new events.
const followEvery = 100 * time.Millisecond

// followBatch is how many events Follow reads at once.
const followBatch = 500

// AppendEvents adds events, all or none.
func (s *Store) AppendEvents(ctx context.Context, events ...audit.Event) error {
	err := s.transact(ctx, func(tx *sql.Tx) (err error) {
		insert, err := tx.PrepareContext(ctx,
			"INSERT INTO events (run, seq, time, kind, data, prev, hash) VALUES (?, ?, ?, ?, ?, ?, ?)")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, insert.Close()) }()
		for _, e := range events {
			_, err := insert.ExecContext(ctx, e.Run, e.Seq, e.Time.Format(time.RFC3339Nano), e.Kind, string(e.Data), e.Prev, e.Hash)
			if err != nil {
				return fmt.Errorf("event %d of run %q: %w", e.Seq, e.Run, err)
			}
		}
		return nil
	})
	if err != nil {
		return s.explain("append to", err)
	}
	return nil
}

// Events gives up to limit events of a run after a sequence number, in order;
// a limit of 0 is none.
func (s *Store) Events(ctx context.Context, run string, after int64, most int) ([]audit.Event, error) {
	rows, err := s.db.QueryContext(ctx,
		"SELECT run, seq, time, kind, data, prev, hash FROM events WHERE run = ? AND seq > ? ORDER BY seq LIMIT ?",
		run, after, limit(most))
	return collect(s, rows, err, scanEvent)
}

// LastSeq is the sequence number of the last event of a run, 0 when it has none.
func (s *Store) LastSeq(ctx context.Context, run string) (int64, error) {
	var seq int64
	if err := s.db.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM events WHERE run = ?", run).Scan(&seq); err != nil {
		return 0, s.explain("read events from", err)
	}
	return seq, nil
}

func scanEvent(rows *sql.Rows) (audit.Event, error) {
	var e audit.Event
	var at string
	var data []byte
	if err := rows.Scan(&e.Run, &e.Seq, &at, &e.Kind, &data, &e.Prev, &e.Hash); err != nil {
		return e, err
	}
	e.Data = data
	var err error
	e.Time, err = time.Parse(time.RFC3339Nano, at)
	return e, err
}

// Follow hands the events of a run after a sequence number to yield, waiting
// for more until the run's outcome came by, or alive says that nobody writes
// any more and nothing is left.
func (s *Store) Follow(ctx context.Context, run string, after int64, alive func() bool, yield func(audit.Event) error) error {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		writing := alive() // asked before reading, so that the last events are not missed
		events, err := s.Events(ctx, run, after, followBatch)
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := yield(e); err != nil {
				return err
			}
			after = e.Seq
			if e.Kind == (audit.Outcome{}).EventKind() {
				return nil
			}
		}
		switch {
		case len(events) == followBatch:
			continue
		case !writing:
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// RequestFilter says which requests are wanted.
type RequestFilter struct {
	Run, ID, Host string
	Verdict       string // audit.Allow or audit.Deny
	Limit         int
}

// Request is a recorded request and where it stands in the record.
type Request struct {
	Run  string    `json:"run"`
	Seq  int64     `json:"seq"`
	Time time.Time `json:"time"`
	audit.Request
}

// Requests gives the requests that f asks for, in order.
func (s *Store) Requests(ctx context.Context, f RequestFilter) ([]Request, error) {
	c := conditions{}
	c.equal("r.run", f.Run)
	c.equal("r.id", f.ID)
	c.equal("r.host", f.Host)
	c.equal("r.verdict", f.Verdict)
	where, args := c.clause()
	//nolint:gosec // G202: the clause is made of constants, values travel apart
	rows, err := s.db.QueryContext(ctx, `
		SELECT e.run, e.seq, e.time, e.kind, e.data, e.prev, e.hash
		FROM requests r JOIN events e ON e.run = r.run AND e.seq = r.seq`+where+` ORDER BY e.time, e.seq LIMIT ?`,
		append(args, limit(f.Limit))...)
	return collect(s, rows, err, func(rows *sql.Rows) (Request, error) {
		e, p, err := scanPayload[audit.Request](rows)
		return Request{Run: e.Run, Seq: e.Seq, Time: e.Time, Request: p}, err
	})
}

// VerdictFilter says which verdicts are wanted.
type VerdictFilter struct {
	Run, ToolUseID string
	Decision       string // audit.Allow or audit.Deny
	Limit          int
}

// Verdict is a recorded verdict and where it stands in the record.
type Verdict struct {
	Run  string    `json:"run"`
	Seq  int64     `json:"seq"`
	Time time.Time `json:"time"`
	audit.Verdict
}

// Verdicts gives the verdicts that f asks for, in order.
func (s *Store) Verdicts(ctx context.Context, f VerdictFilter) ([]Verdict, error) {
	c := conditions{}
	c.equal("v.run", f.Run)
	c.equal("v.tool_use_id", f.ToolUseID)
	c.equal("v.decision", f.Decision)
	where, args := c.clause()
	//nolint:gosec // G202: the clause is made of constants, values travel apart
	rows, err := s.db.QueryContext(ctx, `
		SELECT e.run, e.seq, e.time, e.kind, e.data, e.prev, e.hash
		FROM verdicts v JOIN events e ON e.run = v.run AND e.seq = v.seq`+where+` ORDER BY e.time, e.seq LIMIT ?`,
		append(args, limit(f.Limit))...)
	return collect(s, rows, err, func(rows *sql.Rows) (Verdict, error) {
		e, p, err := scanPayload[audit.Verdict](rows)
		return Verdict{Run: e.Run, Seq: e.Seq, Time: e.Time, Verdict: p}, err
	})
}

func scanPayload[P audit.Payload](rows *sql.Rows) (audit.Event, P, error) {
	var none P
	e, err := scanEvent(rows)
	if err != nil {
		return e, none, err
	}
	payload, err := audit.Decode(e)
	if err != nil {
		return e, none, err
	}
	p, ok := payload.(P)
	if !ok {
		return e, none, fmt.Errorf("event %d of run %q is a %q", e.Seq, e.Run, e.Kind)
	}
	return e, p, nil
}
