package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"agentprocess/internal/conversation"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/workspace"
)

// Notes of a rewind's journal entry: the conversation before and after.
const (
	noteBefore = "conversation_before"
	noteAfter  = "conversation_after"
)

// mark writes down a place that the agent can be taken back to: where its branch
// is, and how far its conversation has got. At the end of a run the agent's last
// words may be new, and the place the same.
func (x *session) mark(ctx context.Context, m conversation.Mark, res workspace.ImportResult) {
	if res.Tip == "" || res.Diverged || res.Tip == x.run.Base {
		return
	}
	note, err := json.Marshal(m)
	if err == nil {
		x.talk.mu.Lock()
		c := workspace.Checkpoint{Tip: res.Tip, Base: x.run.Base, Text: x.talk.said, Note: note}
		if ended := x.run.State == sandbox.StateFinishing; ended && x.talk.step.Tip == res.Tip {
			c.Step = x.talk.step.Step
		}
		x.talk.mu.Unlock()
		if c.Step, err = x.chk.repo.Checkpoint(ctx, x.run.Name, c); err == nil {
			x.talk.mu.Lock()
			x.talk.step = c
			x.talk.mu.Unlock()
		}
	}
	if err != nil {
		x.warn("this turn cannot be gone back to: %v", err)
	}
}

// Checkpoints lists the places that an agent can be taken back to.
func (s *Service) Checkpoints(ctx context.Context, dir, name string) ([]workspace.Checkpoint, error) {
	repo, err := s.open(ctx, dir)
	if err != nil {
		return nil, err
	}
	if _, err := s.find(ctx, dir, name); err != nil {
		return nil, err
	}
	return repo.Checkpoints(ctx, name)
}

// Rewound says what a rewind did.
type Rewound struct {
	To    workspace.Checkpoint
	Entry int // of the journal: undo takes it back
}

// Rewind takes an agent that is not at work to a checkpoint: its branch, and its
// conversation, from where resume goes on. Undo takes it back.
func (s *Service) Rewind(ctx context.Context, dir, name string, step int) (out Rewound, err error) {
	repo, err := s.open(ctx, dir)
	if err != nil {
		return out, err
	}
	if _, err := s.settled(ctx, dir, name); err != nil {
		return out, err
	}
	kept, err := s.takeConversation(repo, name)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, kept.Close()) }()
	if out.To, err = repo.FindCheckpoint(ctx, name, step); err != nil {
		return out, err
	}
	if err := removeWorktree(ctx, repo, name); err != nil {
		return out, err
	}
	var m conversation.Mark
	if err := json.Unmarshal(out.To.Note, &m); err != nil {
		return out, fmt.Errorf("checkpoint %d of %q: %w", step, name, err)
	}
	after, err := kept.Cut(m)
	if err != nil {
		return out, err
	}
	notes, err := headNotes(kept.Head(), after)
	if err != nil {
		return out, err
	}
	e, err := repo.Rewind(ctx, name, out.To, notes, func() error { return kept.Use(after) })
	out.Entry = e.ID
	return out, err
}

func headNotes(before, after conversation.Head) (map[string]string, error) {
	b, err := json.Marshal(before)
	if err != nil {
		return nil, err
	}
	a, err := json.Marshal(after)
	return map[string]string{noteBefore: string(b), noteAfter: string(a)}, err
}

// undoConversation brings back the conversation that a rewind took back, or
// takes it back again.
func (s *Service) undoConversation(repo *workspace.Repository, e workspace.Entry) error {
	note := noteBefore
	if e.Reverse {
		note = noteAfter
	}
	text, ok := e.Notes[note]
	if !ok {
		return nil
	}
	var h conversation.Head
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return fmt.Errorf("journal entry %d: %w", e.ID, err)
	}
	kept, err := s.takeConversation(repo, e.Agent)
	if err != nil {
		return err
	}
	return errors.Join(kept.Use(h), kept.Close())
}
