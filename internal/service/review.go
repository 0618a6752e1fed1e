package service

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"agentprocess/internal/patch"
	"agentprocess/internal/review"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/workspace"
)

// Review is an agent's work and what a person thinks of it so far.
type Review struct {
	Name  string
	Tip   string
	Files []patch.File
	Book  *review.Book // close it
	// Listens is set when the agent can be told of it.
	Listens bool
}

// Review opens the review of an agent's work, as it is on its branch now.
func (s *Service) Review(ctx context.Context, dir, name string) (Review, error) {
	repo, run, _, err := s.homeward(ctx, dir, name)
	if err != nil {
		return Review{Name: name}, err
	}
	return s.openReview(ctx, repo, run, name)
}

func (s *Service) openReview(ctx context.Context, repo *workspace.Repository, run sandbox.Run, name string) (Review, error) {
	r := Review{Name: name, Listens: listens(run)}
	base, tip, err := repo.Ends(ctx, name)
	if err != nil {
		return r, err
	}
	r.Tip = tip
	if r.Files, err = diffOf(ctx, repo, base, tip); err != nil {
		return r, fmt.Errorf("review %s: %w", workspace.Branch(name), err)
	}
	if len(r.Files) == 0 {
		return r, sandbox.Fail(sandbox.CodeNotFound, fmt.Errorf("%s changes nothing", workspace.Branch(name)), "")
	}
	first, err := s.firstRun(ctx, run)
	if err != nil {
		return r, err
	}
	r.Book, err = review.Open(filepath.Join(s.Paths.State, "reviews", repo.Key()), name, first)
	if errors.Is(err, review.ErrBusy) {
		return r, sandbox.Fail(sandbox.CodeBusy, err, "finish it there")
	}
	if err == nil {
		r.Book.Run, r.Book.Now = run.ID, s.Now
	}
	return r, err
}

// firstRun is the run that an agent began with, whatever it was resumed since.
func (s *Service) firstRun(ctx context.Context, run sandbox.Run) (string, error) {
	const longest = 1000 // of a chain; no more is believed
	for range longest {
		if run.Previous == "" {
			break
		}
		before, err := s.Store.Run(ctx, run.Previous)
		if sandbox.ErrorCode(err) == sandbox.CodeNotFound {
			return run.Previous, nil
		}
		if err != nil {
			return "", err
		}
		run = before
	}
	return run.ID, nil
}

// reviewed is what of an agent's work a review left out, of the commit that was
// looked at. What nobody has decided about is no part of anything.
func (s *Service) reviewed(ctx context.Context, repo *workspace.Repository, run sandbox.Run, name string) (tip string, without []string, err error) {
	r, err := s.openReview(ctx, repo, run, name)
	if err != nil {
		return "", nil, err
	}
	defer func() { err = errors.Join(err, r.Book.Close()) }()
	if rest := r.Book.Undecided(r.Files); len(rest) > 0 {
		const most = 10
		text := strings.Join(rest[:min(len(rest), most)], ", ")
		if more := len(rest) - most; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		return "", nil, sandbox.Fail(sandbox.CodeConflict, fmt.Errorf("not reviewed yet: %s", text), "`agent-process review "+name+"` goes on with these")
	}
	return r.Tip, r.Book.Without(r.Files), nil
}
