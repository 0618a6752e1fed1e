package service

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"agentprocess/internal/sandbox"
	"agentprocess/internal/workspace"
)

// MergeOptions say what Merge is to do.
type MergeOptions struct {
	Name string
	How  workspace.How
	// Remove removes branch and worktree once they are merged.
	Remove bool
	NoSign bool
	// Reviewed takes the files alone that a review accepted.
	Reviewed bool
}

// ApplyOptions say what Apply is to do.
type ApplyOptions struct {
	Name     string
	Index    bool // also stage what comes
	Reviewed bool // take the files alone that a review accepted
}

// Home is an agent's work that was brought into the person's own.
type Home struct {
	workspace.Landed
	Name   string `json:"name"`
	Branch string `json:"branch"`
	// Running is set when the agent is at it still: there may be more.
	Running bool `json:"running,omitempty"`
	// Held are commands that show what was not let in.
	Held []string `json:"held,omitempty"`
	// Left are changed files that were not taken, because a review rejected them.
	Left []string `json:"left,omitempty"`
	// Removed is set when branch and worktree are gone.
	Removed *Removed `json:"removed,omitempty"`
}

// Merge brings an agent's work onto what is checked out in dir, or refuses and
// changes nothing.
func (s *Service) Merge(ctx context.Context, dir string, o MergeOptions) (Home, error) {
	repo, run, home, err := s.homeward(ctx, dir, o.Name)
	if err != nil {
		return home, err
	}
	if home.Running && o.Remove {
		return home, sandbox.Fail(sandbox.CodeBusy, fmt.Errorf("agent %q is running", o.Name), "merge without --rm, or `agent-process stop "+o.Name+"` first")
	}
	work, err := repo.Work(ctx, o.Name)
	if err != nil {
		return home, err
	}
	options := workspace.MergeOptions{Name: o.Name, How: o.How, Message: mergeMessage(o, run, work), NoSign: o.NoSign}
	if o.Reviewed {
		if options.Tip, options.Without, err = s.reviewed(ctx, repo, run, o.Name); err != nil {
			return home, err
		}
	}
	home.Landed, err = repo.Merge(ctx, options)
	home.Left = options.Without
	if err != nil || !o.Remove {
		return home, err
	}
	removed, err := s.Remove(ctx, dir, o.Name, false)
	if err != nil {
		return home, fmt.Errorf("%s is merged; remove it: %w", home.Branch, err)
	}
	home.Removed = &removed
	return home, nil
}

// Apply brings what an agent did into the files in dir, without a commit.
func (s *Service) Apply(ctx context.Context, dir string, o ApplyOptions) (Home, error) {
	repo, run, home, err := s.homeward(ctx, dir, o.Name)
	if err != nil {
		return home, err
	}
	options := workspace.ApplyOptions{Name: o.Name, Index: o.Index}
	if o.Reviewed {
		if options.Tip, options.Without, err = s.reviewed(ctx, repo, run, o.Name); err != nil {
			return home, err
		}
	}
	home.Landed, err = repo.Apply(ctx, options)
	home.Left = options.Without
	return home, err
}

// Checkout switches the worktree in dir to an agent's branch.
func (s *Service) Checkout(ctx context.Context, dir, name string) (workspace.CheckedOut, error) {
	repo, _, _, err := s.homeward(ctx, dir, name)
	if err != nil {
		return workspace.CheckedOut{}, err
	}
	return repo.Checkout(ctx, name)
}

// homeward makes sure that what a dead run left is on its branch, and says what
// else a person should know of it. A branch without a run is as good.
func (s *Service) homeward(ctx context.Context, dir, name string) (*workspace.Repository, sandbox.Run, Home, error) {
	home := Home{Name: name, Branch: workspace.Branch(name)}
	if err := sandbox.ValidateName(name); err != nil {
		return nil, sandbox.Run{}, home, err
	}
	repo, err := s.open(ctx, dir)
	if err != nil {
		return nil, sandbox.Run{}, home, err
	}
	run, err := s.find(ctx, dir, name)
	if sandbox.ErrorCode(err) == sandbox.CodeNotFound {
		return repo, sandbox.Run{Name: name}, home, nil
	}
	if err != nil {
		return repo, run, home, err
	}
	if home.Running = running(run); !home.Running {
		if run, err = s.quiet(ctx, dir, run, false); err != nil {
			return repo, run, home, err
		}
	}
	held, err := repo.Held(name)
	for _, h := range held {
		if h.Look != "" {
			home.Held = append(home.Held, h.Look)
		}
	}
	return repo, run, home, err
}

// mergeMessage is the message of the commit that a merge makes: what the agent
// was asked to do, and what it says it did.
func mergeMessage(o MergeOptions, run sandbox.Run, work workspace.Work) workspace.Message {
	by := coAuthor(run.Agent.Kind)
	if o.How == workspace.HowSquash {
		if len(work.Commits) == 1 {
			return workspace.Message{Subject: work.Commits[0].Subject, Body: withoutTrailers(work.Commits[0].Body), CoAuthor: by}
		}
		m := commitMessage(o.Name, run.Goal, by)
		m.Body = strings.TrimSpace(m.Body + "\n\n" + subjects(work))
		return m
	}
	goal := commitMessage(o.Name, run.Goal, by)
	m := workspace.Message{Subject: "Merge branch '" + workspace.Branch(o.Name) + "'", CoAuthor: by}
	if run.Goal != "" {
		m.Body = strings.TrimSpace(goal.Subject + "\n\n" + goal.Body)
	}
	return m
}

// withoutTrailers leaves out what the message will have again.
func withoutTrailers(body string) string {
	var kept []string
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, "Agent: ") && !strings.HasPrefix(line, "Co-authored-by: ") {
			kept = append(kept, line)
		}
	}
	return strings.TrimSpace(strings.Join(kept, ""))
}

// subjects lists what the agent's commits say.
func subjects(work workspace.Work) string {
	var b strings.Builder
	for _, c := range work.Commits {
		b.WriteString("- " + c.Subject + "\n")
	}
	return strings.TrimSpace(b.String())
}

// RemoveMerged removes the agents all of whose work is in what is checked out
// in dir; those that run, and whose worktree has something of a person's, stay.
func (s *Service) RemoveMerged(ctx context.Context, dir string) ([]Removed, error) {
	forecast, err := s.Conflicts(ctx, dir)
	if err != nil {
		return nil, err
	}
	var removed []Removed
	var errs []error
	for _, o := range forecast.Agents {
		if o.Landed == "" {
			continue
		}
		r, err := s.Remove(ctx, dir, o.Name, false)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", o.Name, err))
			continue
		}
		removed = append(removed, r)
	}
	return removed, errors.Join(errs...)
}
