package service

import (
	"context"
	"strings"

	"agentprocess/internal/workspace"
)

// noteRuns is the note of a journal entry that names the runs a deed hid.
const noteRuns = "runs"

// Undo takes back what a command did to the repository, the newest deed for 0.
// What somebody changed since is refused, whole, unless force says to take that
// back too; the journal keeps it.
func (s *Service) Undo(ctx context.Context, dir string, id int, force bool) (workspace.Undone, error) {
	repo, err := s.open(ctx, dir)
	if err != nil {
		return workspace.Undone{}, err
	}
	return repo.Undo(ctx, id, force, func(e workspace.Entry) error { return s.undoRecords(ctx, repo, e) })
}

// undoRecords brings back what a deed did besides git. It may be done again:
// a crash after it, and before git's part, leaves the entry as it is.
func (s *Service) undoRecords(ctx context.Context, repo *workspace.Repository, e workspace.Entry) error {
	if err := s.undoConversation(repo, e); err != nil {
		return err
	}
	return s.hideRuns(ctx, strings.Fields(e.Notes[noteRuns]), e.Reverse)
}

// Deeds lists what can be undone, newest first.
func (s *Service) Deeds(ctx context.Context, dir string) ([]workspace.Entry, error) {
	repo, err := s.open(ctx, dir)
	if err != nil {
		return nil, err
	}
	return repo.Entries(ctx)
}
