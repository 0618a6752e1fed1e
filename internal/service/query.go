package service

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"agentprocess/internal/audit"
	"agentprocess/internal/patch"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/store"
	"agentprocess/internal/workspace"
)

// List gives the agents of the repository that dir is in, newest first, as
// they really are: those that run or crashed, and those whose branches have
// commits. With all it gives every run of every repository.
func (s *Service) List(ctx context.Context, dir string, all bool) ([]sandbox.Run, error) {
	if all {
		runs, err := s.Store.Runs(ctx, store.RunFilter{})
		out := make([]sandbox.Run, 0, len(runs)) // never nil, so that JSON has a list
		for _, run := range runs {
			out = append(out, s.truth(run))
		}
		return out, err
	}
	repo, err := s.open(ctx, dir)
	if err != nil {
		return nil, err
	}
	agents, err := repo.Agents(ctx)
	if err != nil {
		return nil, err
	}
	runs, err := s.Store.Runs(ctx, store.RunFilter{Repository: repo.CommonDir})
	if err != nil {
		return nil, err
	}
	held, err := heldCounts(repo, "")
	if err != nil {
		return nil, err
	}
	return s.reconcile(repo, agents, runs, held), nil
}

// reconcile puts together what the record says of runs and what git says of
// branches: a branch that nobody recorded is there, one that was removed is
// not, and one that was moved counts as it is. Held counts what is held of each.
func (s *Service) reconcile(repo *workspace.Repository, agents []workspace.Agent, runs []sandbox.Run, held map[string]int) []sandbox.Run {
	branches := map[string]workspace.Agent{}
	for _, a := range agents {
		branches[a.Name] = a
	}
	listed := map[string]bool{}
	out := make([]sandbox.Run, 0, len(agents))
	for _, run := range runs {
		run = s.truth(run)
		branch, ok := branches[run.Name]
		if ok {
			run.Tip, run.Stat = branch.Tip, branch.Stat
			run.Base = cmp.Or(branch.Base, run.Base)
		}
		run.Held = held[run.Name]
		ended := run.State == sandbox.StateFinished
		if listed[run.Name] || ended && (!ok || run.Stat.Commits == 0) && run.Held == 0 {
			continue
		}
		listed[run.Name] = true
		out = append(out, run)
	}
	for _, a := range agents {
		if !listed[a.Name] && a.Stat.Commits > 0 {
			out = append(out, sandbox.Run{
				Name: a.Name, Repository: repo.CommonDir, Branch: a.Branch, Worktree: repo.WorktreePath(a.Name), Base: a.Base, Tip: a.Tip,
				State: sandbox.StateFinished, Created: a.Date, Stat: a.Stat, Held: held[a.Name],
			})
		}
	}
	return out
}

// truth corrects a run's record by what is so: only a living supervisor is
// running.
func (s *Service) truth(run sandbox.Run) sandbox.Run {
	if run.State != sandbox.StateFinished && !alive(s.runs(), run.ID) {
		run.State, run.PID = sandbox.StateCrashed, 0
		run.Reason = "its supervisor is gone; `agent-process cleanup` brings its work home"
	}
	return run
}

// find gives the newest run of an agent in the repository that dir is in.
func (s *Service) find(ctx context.Context, dir, name string) (sandbox.Run, error) {
	repo, err := s.open(ctx, dir)
	if err != nil {
		return sandbox.Run{}, err
	}
	run, err := s.Store.RunByName(ctx, repo.CommonDir, name)
	if err != nil {
		return sandbox.Run{}, err
	}
	return s.truth(run), nil
}

// Show gives an agent's newest run and its whole record.
func (s *Service) Show(ctx context.Context, dir, name string) (sandbox.Run, []audit.Event, error) {
	repo, err := s.open(ctx, dir)
	if err != nil {
		return sandbox.Run{}, nil, err
	}
	run, err := s.Store.RunByName(ctx, repo.CommonDir, name)
	if err != nil {
		return run, nil, err
	}
	run = s.truth(run)
	held, err := heldCounts(repo, name)
	if err != nil {
		return run, nil, err
	}
	run.Held = held[name]
	var events []audit.Event
	err = s.events(ctx, run.ID, func() bool { return false }, func(e audit.Event) error {
		events = append(events, e)
		return nil
	})
	return run, events, err
}

// Logs shows the record of an agent's newest run to view; with follow it goes
// on until the run has ended.
func (s *Service) Logs(ctx context.Context, dir, name string, follow bool, view audit.Sink) error {
	run, err := s.find(ctx, dir, name)
	if err != nil {
		return err
	}
	return s.events(ctx, run.ID, func() bool { return follow && alive(s.runs(), run.ID) }, view.Write)
}

// events hands every event of a run to use, typed; more are waited for while
// more says that somebody writes them.
func (s *Service) events(ctx context.Context, id string, more func() bool, use func(audit.Event) error) error {
	return s.Store.Follow(ctx, id, 0, more, func(e audit.Event) error {
		var err error
		if e.Payload, err = audit.Decode(e); err != nil {
			return fmt.Errorf("record of run %q: %w", id, err)
		}
		return use(e)
	})
}

// Conflicts says how the work of this repository's agents would come home onto
// what is checked out in dir.
func (s *Service) Conflicts(ctx context.Context, dir string) (workspace.Forecast, error) {
	repo, err := s.open(ctx, dir)
	if err != nil {
		return workspace.Forecast{}, err
	}
	return repo.Forecast(ctx)
}

// Diff is what an agent changed, what to look at first coming first.
func (s *Service) Diff(ctx context.Context, dir, name string) ([]patch.File, error) {
	repo, err := s.open(ctx, dir)
	if err != nil {
		return nil, err
	}
	base, tip, err := repo.Ends(ctx, name)
	if err != nil {
		return nil, err
	}
	files, err := diffOf(ctx, repo, base, tip)
	if err != nil {
		return nil, fmt.Errorf("diff %s: %w", workspace.Branch(name), err)
	}
	return files, nil
}

func diffOf(ctx context.Context, repo *workspace.Repository, base, tip string) ([]patch.File, error) {
	changed, text, err := repo.Patch(ctx, base, tip)
	if err != nil {
		return nil, err
	}
	files := make([]patch.File, len(changed))
	for i, c := range changed {
		files[i] = patch.File{
			Path: c.Path, From: c.From, Status: c.Status, OldMode: c.OldMode, NewMode: c.NewMode, Flag: c.Flag,
			Key: strings.Join([]string{c.From, c.OldMode, c.OldID, c.NewMode, c.NewID}, " "),
		}
	}
	if files, err = patch.Parse(text, files); err != nil {
		return nil, err
	}
	slices.SortStableFunc(files, func(a, b patch.File) int { return flaggedLast(a) - flaggedLast(b) })
	return files, nil
}

func flaggedLast(f patch.File) int {
	if f.Flag != "" {
		return 0
	}
	return 1
}
