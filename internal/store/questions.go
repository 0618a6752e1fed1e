package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"agentprocess/internal/approval"
)

// maxUnattended is how many unattended questions of one run stay open: an
// agent that asks by the thousand must not bury what a person should see.
const maxUnattended = 200

// PutQuestion implements approval.Book.
func (s *Store) PutQuestion(ctx context.Context, q approval.Question) error {
	record, err := json.Marshal(q)
	if err != nil {
		return fmt.Errorf("encode question %q: %w", q.ID, err)
	}
	err = s.transact(ctx, func(tx *sql.Tx) error {
		if q.Unattended {
			if known, err := knownUnattended(ctx, tx, q); err != nil || known {
				return err
			}
		}
		_, err := tx.ExecContext(ctx,
			"INSERT INTO questions (id, run, rule, key, unattended, deadline, record) VALUES (?, ?, ?, ?, ?, ?, ?)",
			q.ID, q.Run, q.Rule, q.Key, q.Unattended, nanoseconds(q.Deadline), string(record))
		if resultCode(err) == sqlite3.SQLITE_CONSTRAINT {
			return fmt.Errorf("question %q: %w", q.ID, approval.ErrTaken)
		}
		return err
	})
	if errors.Is(err, approval.ErrTaken) {
		return err
	}
	if err != nil {
		return s.explain("put question in", err)
	}
	return nil
}

// knownUnattended reports whether an open question is the same as q, or there
// are so many that q is one too many.
func knownUnattended(ctx context.Context, tx *sql.Tx, q approval.Question) (bool, error) {
	var same, all int
	err := tx.QueryRowContext(ctx, `
		SELECT coalesce(sum(rule = ? AND key = ? AND key <> ''), 0), count(*)
		FROM questions WHERE run = ? AND unattended = 1 AND taken = 0 AND answer IS NULL`,
		q.Rule, q.Key, q.Run).Scan(&same, &all)
	return same > 0 || all >= maxUnattended, err
}

// nanoseconds is a time as it is stored; 0 for none.
func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// question is a stored question and its answer.
type question struct {
	seq    int64
	q      approval.Question
	answer *approval.Answer
}

// questionByID finds the open question with an id, or the newest one.
func questionByID(ctx context.Context, from querier, id string) (question, error) {
	var found question
	var record []byte
	var answer sql.NullString
	err := from.QueryRowContext(ctx,
		"SELECT seq, record, answer FROM questions WHERE id = ? ORDER BY answer IS NULL DESC, seq DESC LIMIT 1", id).
		Scan(&found.seq, &record, &answer)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return found, approval.AnswerError(id, approval.ErrUnknown, approval.Answer{})
	case err != nil:
		return found, err
	}
	if err := json.Unmarshal(record, &found.q); err != nil || !answer.Valid {
		return found, err
	}
	found.answer = &approval.Answer{}
	return found, json.Unmarshal([]byte(answer.String), found.answer)
}

// Question implements approval.Book.
func (s *Store) Question(ctx context.Context, id string) (approval.Question, *approval.Answer, error) {
	found, err := questionByID(ctx, s.db, id)
	if err != nil {
		return approval.Question{}, nil, s.explainAnswer("read question from", err)
	}
	return found.q, found.answer, nil
}

// AnswerQuestion implements approval.Book.
func (s *Store) AnswerQuestion(ctx context.Context, id string, a approval.Answer) error {
	if a.At.IsZero() {
		return fmt.Errorf("answer %q: it has no time", id)
	}
	if a.Allow && !a.ByPerson() {
		return fmt.Errorf("answer %q: only a person allows, not %q", id, a.By)
	}
	var late error
	err := s.transact(ctx, func(tx *sql.Tx) error {
		found, err := questionByID(ctx, tx, id)
		if err != nil {
			return err
		}
		if found.answer != nil {
			return answered(id, *found.answer)
		}
		if d := found.q.Deadline; !d.IsZero() && a.At.After(d) {
			// Who asked may be gone; then this is what closes the question.
			a = approval.Answer{By: approval.ByDeadline, At: d}
			late = answered(id, a)
		}
		return writeAnswer(ctx, tx, found.seq, a)
	})
	if err != nil {
		return s.explainAnswer("answer question in", err)
	}
	return late
}

// answered says why a question that has an answer takes no other.
func answered(id string, first approval.Answer) error {
	switch first.By {
	case approval.ByDeadline:
		return approval.AnswerError(id, approval.ErrExpired, first)
	case approval.ByClosed, approval.ByError:
		return approval.AnswerError(id, approval.ErrClosed, first)
	}
	return approval.AnswerError(id, approval.ErrAnswered, first)
}

func writeAnswer(ctx context.Context, tx *sql.Tx, seq int64, a approval.Answer) error {
	text, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	_, err = tx.ExecContext(ctx, "UPDATE questions SET answer = ? WHERE seq = ?", string(text), seq)
	return err
}

// explainAnswer leaves what a person is told about an answer as it is.
func (s *Store) explainAnswer(operation string, err error) error {
	for _, why := range []error{approval.ErrUnknown, approval.ErrAnswered, approval.ErrExpired, approval.ErrClosed} {
		if errors.Is(err, why) {
			return err
		}
	}
	return s.explain(operation, err)
}

// TakeAnswer implements approval.Book.
func (s *Store) TakeAnswer(ctx context.Context, q approval.Question) (*approval.Answer, error) {
	if q.Key == "" {
		return nil, nil //nolint:nilnil // no answer is no error
	}
	answer, err := s.untaken(ctx, s.db, q) // nearly always there is none, and then nothing needs the write lock
	if err != nil || answer == nil {
		return nil, err
	}
	err = s.transact(ctx, func(tx *sql.Tx) (err error) {
		if answer, err = s.untaken(ctx, tx, q); err != nil || answer == nil {
			return err
		}
		_, err = tx.ExecContext(ctx,
			"UPDATE questions SET taken = 1 WHERE run = ? AND rule = ? AND key = ? AND unattended = 1 AND taken = 0 AND answer IS NOT NULL",
			q.Run, q.Rule, q.Key)
		return err
	})
	if err != nil {
		return nil, s.explain("take answer from", err)
	}
	return answer, nil
}

func (s *Store) untaken(ctx context.Context, from querier, q approval.Question) (*approval.Answer, error) {
	var text []byte
	err := from.QueryRowContext(ctx, `
		SELECT answer FROM questions
		WHERE run = ? AND rule = ? AND key = ? AND unattended = 1 AND taken = 0 AND answer IS NOT NULL
		ORDER BY seq DESC LIMIT 1`, q.Run, q.Rule, q.Key).Scan(&text)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil //nolint:nilnil // no answer is no error
	case err != nil:
		return nil, s.explain("read answer from", err)
	}
	answer := &approval.Answer{}
	if err := json.Unmarshal(text, answer); err != nil {
		return nil, fmt.Errorf("decode answer: %w", err)
	}
	return answer, nil
}

// PendingQuestions gives what waits for a person in all runs, oldest first:
// questions whose deadline is still to come, and those of unattended agents.
func (s *Store) PendingQuestions(ctx context.Context, now time.Time) ([]approval.Question, error) {
	rows, err := s.db.QueryContext(ctx,
		"SELECT record FROM questions WHERE answer IS NULL AND (deadline = 0 OR deadline > ?) ORDER BY seq", now.UnixNano())
	return collect(s, rows, err, func(rows *sql.Rows) (q approval.Question, err error) {
		var record []byte
		if err := rows.Scan(&record); err != nil {
			return q, err
		}
		return q, json.Unmarshal(record, &q)
	})
}

// CloseQuestions ends what is open of a run that is over or removed.
func (s *Store) CloseQuestions(ctx context.Context, run string, at time.Time) error {
	text, err := json.Marshal(approval.Answer{By: approval.ByClosed, At: at})
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	_, err = s.db.ExecContext(ctx, "UPDATE questions SET answer = ?, taken = 1 WHERE run = ? AND answer IS NULL", string(text), run)
	if err != nil {
		return s.explain("close questions in", err)
	}
	return nil
}
