package service

import (
	"context"
	"errors"
	"fmt"
	"io"

	"agentprocess/internal/sandbox"
	"agentprocess/internal/workspace"
)

// heldCount is how many commits and files are held.
func heldCount(h *workspace.Held) int {
	if !holds(h) {
		return 0
	}
	n := max(h.Count, len(h.Commits)) + len(h.Cut)
	if len(h.Cut) > 0 && n > len(h.Cut) {
		n-- // the commit that has the files
	}
	return max(n, len(h.More), 1)
}

// heldCounts counts what is held of an agent, or of all when name is empty.
func heldCounts(repo *workspace.Repository, name string) (map[string]int, error) {
	list, err := repo.Held(name)
	counts := map[string]int{}
	for i := range list {
		counts[list[i].Name] += heldCount(&list[i])
	}
	return counts, err
}

// Held lists what of an agent's work was not let in, oldest first.
func (s *Service) Held(ctx context.Context, dir, name string) ([]workspace.Held, error) {
	repo, list, err := s.held(ctx, dir, name)
	if err == nil && len(list) == 0 {
		err = sandbox.Fail(sandbox.CodeNotFound, fmt.Errorf("nothing is held of agent %q in %q", name, repo.Top), "`agent-process list` shows what is held")
	}
	return list, err
}

func (s *Service) held(ctx context.Context, dir, name string) (*workspace.Repository, []workspace.Held, error) {
	if err := sandbox.ValidateName(name); err != nil {
		return nil, nil, err
	}
	repo, err := s.open(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	list, err := repo.Held(name)
	return repo, list, err
}

// DiffHeld writes the patch of what is held; it is the agent's text.
func (s *Service) DiffHeld(ctx context.Context, dir string, h workspace.Held, out io.Writer) error {
	repo, err := s.open(ctx, dir)
	if err != nil {
		return err
	}
	return repo.DiffHeld(ctx, h, out)
}

// Release lets what is held of an agent into the repository, oldest first.
func (s *Service) Release(ctx context.Context, dir string, held []workspace.Held) ([]workspace.ReleasedHeld, error) {
	repo, err := s.open(ctx, dir)
	if err != nil {
		return nil, err
	}
	var out []workspace.ReleasedHeld
	var errs []error
	for _, h := range held {
		if err := s.apart(ctx, repo, h); err != nil {
			return out, err
		}
		released, err := repo.ReleaseHeld(ctx, h.Name, h.Run)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, released)
	}
	return out, errors.Join(errs...)
}

// Discard removes what is held of an agent, for good.
func (s *Service) Discard(ctx context.Context, dir string, held []workspace.Held) error {
	repo, err := s.open(ctx, dir)
	if err != nil {
		return err
	}
	for _, h := range held {
		if err := errors.Join(s.apart(ctx, repo, h), repo.DiscardHeld(ctx, h.Name, h.Run)); err != nil {
			return err
		}
	}
	return nil
}

// apart refuses to touch what a living run may still add to.
func (s *Service) apart(ctx context.Context, repo *workspace.Repository, h workspace.Held) error {
	run, err := s.Store.RunByName(ctx, repo.CommonDir, h.Name)
	if sandbox.ErrorCode(err) == sandbox.CodeNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if running(s.truth(run)) {
		return sandbox.Fail(sandbox.CodeBusy, fmt.Errorf("agent %q is running, and what is held of it changes", h.Name),
			"wait for it, or `agent-process stop "+h.Name+"`")
	}
	return nil
}
