package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"agentprocess/internal/sandbox"
)

// PutLaunch keeps how a run was started, and opens it for messages.
func (s *Store) PutLaunch(ctx context.Context, run string, options []byte) error {
	_, err := s.db.ExecContext(ctx, `
		INSERT INTO launches (run, options) VALUES (?, ?)
		ON CONFLICT (run) DO UPDATE SET options = excluded.options`, run, string(options))
	if err != nil {
		return s.explain("write launch in", err)
	}
	return nil
}

// Launch gives what PutLaunch kept.
func (s *Store) Launch(ctx context.Context, run string) ([]byte, error) {
	var options string
	err := s.db.QueryRowContext(ctx, "SELECT options FROM launches WHERE run = ?", run).Scan(&options)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, sandbox.Fail(sandbox.CodeNotFound, fmt.Errorf("how run %q was started is not known", run), "start a new agent from its branch: --base")
	case err != nil:
		return nil, s.explain("read launch from", err)
	}
	return []byte(options), nil
}

// Message is what a person has to say to an agent.
type Message struct {
	Seq  int64
	Text string
	Sent time.Time
}

// ErrClosed says that a run takes no more messages.
var ErrClosed = errors.New("the run takes no more messages")

// Send queues a message for the agent of a run, unless the run is closed. Once
// it has returned, the message is there until it was delivered.
func (s *Store) Send(ctx context.Context, run sandbox.Run, m Message) error {
	result, err := s.db.ExecContext(ctx, `
		INSERT INTO messages (repository, name, text, sent)
		SELECT ?, ?, ?, ? FROM launches WHERE run = ? AND closed = 0`,
		run.Repository, run.Name, m.Text, m.Sent.UnixNano(), run.ID)
	if err != nil {
		return s.explain("write message in", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return s.explain("write message in", err)
	}
	if n == 0 {
		return fmt.Errorf("run %q: %w", run.ID, ErrClosed)
	}
	return nil
}

// Waiting gives an agent's messages that were not delivered, oldest first.
func (s *Store) Waiting(ctx context.Context, repository, name string) ([]Message, error) {
	rows, err := s.db.QueryContext(ctx,
		"SELECT seq, text, sent FROM messages WHERE repository = ? AND name = ? AND delivered = 0 ORDER BY seq", repository, name)
	return collect(s, rows, err, func(rows *sql.Rows) (m Message, err error) {
		var sent int64
		err = rows.Scan(&m.Seq, &m.Text, &sent)
		m.Sent = time.Unix(0, sent)
		return m, err
	})
}

// Delivered notes that the agent has messages.
func (s *Store) Delivered(ctx context.Context, messages []Message, at time.Time) error {
	if len(messages) == 0 {
		return nil
	}
	args := []any{at.UnixNano()}
	for _, m := range messages {
		args = append(args, m.Seq)
	}
	//nolint:gosec // G202: the clause is made of constants, values travel apart
	_, err := s.db.ExecContext(ctx, "UPDATE messages SET delivered = ? WHERE seq IN (?"+strings.Repeat(", ?", len(messages)-1)+")", args...)
	if err != nil {
		return s.explain("write message in", err)
	}
	return nil
}

// CloseInbox lets a run take no more messages, and gives those that it has not
// had: they wait for the agent's next run.
func (s *Store) CloseInbox(ctx context.Context, run sandbox.Run) ([]Message, error) {
	if _, err := s.db.ExecContext(ctx, "UPDATE launches SET closed = 1 WHERE run = ?", run.ID); err != nil {
		return nil, s.explain("write launch in", err)
	}
	return s.Waiting(ctx, run.Repository, run.Name)
}
