package approval_test

import (
	"context"
	"sync"

	"agentprocess/internal/approval"
)

// entry is a question in a memory and what came of it.
type entry struct {
	q      approval.Question
	answer *approval.Answer
	taken  bool
}

// memory is a Book for one process.
type memory struct {
	mu      sync.Mutex
	entries []*entry
	broken  error // every method gives it
}

func (m *memory) breaks(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = err
}

// open lists what has no answer.
func (m *memory) open() []approval.Question {
	m.mu.Lock()
	defer m.mu.Unlock()
	var open []approval.Question
	for _, e := range m.entries {
		if e.answer == nil {
			open = append(open, e.q)
		}
	}
	return open
}

func (m *memory) find(id string) *entry {
	var found *entry
	for _, e := range m.entries {
		if e.q.ID == id && (found == nil || found.answer != nil) {
			found = e
		}
	}
	return found
}

// PutQuestion implements approval.Book.
func (m *memory) PutQuestion(_ context.Context, q approval.Question) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries {
		switch {
		case e.answer != nil:
		case e.q.ID == q.ID:
			return approval.ErrTaken
		case q.Unattended && e.q.Unattended && e.q.Key == q.Key && q.Key != "":
			return nil
		}
	}
	m.entries = append(m.entries, &entry{q: q})
	return m.broken
}

// AnswerQuestion implements approval.Book.
func (m *memory) AnswerQuestion(_ context.Context, id string, a approval.Answer) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.find(id)
	switch {
	case m.broken != nil:
		return m.broken
	case e == nil:
		return approval.AnswerError(id, approval.ErrUnknown, approval.Answer{})
	case e.answer != nil:
		return approval.AnswerError(id, approval.ErrAnswered, *e.answer)
	case !e.q.Deadline.IsZero() && a.At.After(e.q.Deadline):
		return approval.AnswerError(id, approval.ErrExpired, a)
	}
	e.answer = &a
	return nil
}

// Question implements approval.Book.
func (m *memory) Question(_ context.Context, id string) (approval.Question, *approval.Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.find(id)
	switch {
	case m.broken != nil:
		return approval.Question{}, nil, m.broken
	case e == nil:
		return approval.Question{}, nil, approval.AnswerError(id, approval.ErrUnknown, approval.Answer{})
	}
	return e.q, e.answer, nil
}

// TakeAnswer implements approval.Book.
func (m *memory) TakeAnswer(_ context.Context, q approval.Question) (*approval.Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries {
		if e.q.Unattended && !e.taken && e.answer != nil && e.q.Run == q.Run && e.q.Rule == q.Rule && e.q.Key == q.Key && q.Key != "" {
			e.taken = true
			return e.answer, m.broken
		}
	}
	return nil, m.broken
}
