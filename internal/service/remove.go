package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"agentprocess/internal/sandbox"
	"agentprocess/internal/store"
	"agentprocess/internal/workspace"
)

// stopEvery is how often Stop looks whether a supervisor has gone.
const stopEvery = 50 * time.Millisecond

// stopTime bounds the wait for a supervisor that was asked to stop: the
// agent's grace, one save, and the tear-down.
const stopTime = graceTime + saveTime + tearDownTime

// Stop asks a running agent's supervisor to end the run and waits until it
// has. With now the agent is killed at once; its work is kept all the same.
func (s *Service) Stop(ctx context.Context, dir, name string, now bool) (sandbox.Run, error) {
	run, err := s.find(ctx, dir, name)
	if err != nil {
		return run, err
	}
	if !running(run) {
		return run, sandbox.Fail(sandbox.CodeNotFound, fmt.Errorf("agent %q is not running: it is %s", name, run.State),
			"`agent-process list` shows who runs")
	}
	if err := s.signal(run, now); err != nil {
		return run, err
	}
	if err := s.waitGone(ctx, run); err != nil {
		return run, err
	}
	return s.Store.Run(ctx, run.ID)
}

// running reports whether a living supervisor has the run.
func running(run sandbox.Run) bool {
	return run.State != sandbox.StateFinished && run.State != sandbox.StateCrashed
}

// signal asks a supervisor to stop, as Ctrl-C does; with now it asks twice, by
// two signals because two alike would be seen as one. The lock that it holds
// says that the process id is still its own.
func (s *Service) signal(run sandbox.Run, now bool) error {
	signals := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !now {
		signals = signals[:1]
	}
	for _, sig := range signals {
		if !alive(s.runs(), run.ID) {
			return nil
		}
		if err := syscall.Kill(run.PID, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop the supervisor of %q, process %d: %w", run.Name, run.PID, err)
		}
	}
	return nil
}

// waitGone waits until the run's supervisor has let go of it.
func (s *Service) waitGone(ctx context.Context, run sandbox.Run) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	tick := time.NewTicker(stopEvery)
	defer tick.Stop()
	for alive(s.runs(), run.ID) {
		select {
		case <-ctx.Done():
			return sandbox.Fail(sandbox.CodeBusy, fmt.Errorf("agent %q, process %d, does not end: %w", run.Name, run.PID, ctx.Err()),
				"`agent-process logs "+run.Name+"` shows what it does")
		case <-tick.C:
		}
	}
	return nil
}

// Removed says what Remove took away.
type Removed struct {
	Name string `json:"name"`
	// UndoCommand brings the branch back, with nothing but git; empty when
	// there was no branch.
	UndoCommand string `json:"undo_command,omitempty"`
	// Entry is what Undo takes to bring all of it back; 0 when nothing went.
	Entry int `json:"undo,omitempty"`
	// More are refs that keep what else the agent made.
	More []string `json:"more,omitempty"`
	// Landed says that all of its work is in what is checked out, "merged", or
	// "squashed", by other commits; empty when it is not, or cannot be told.
	Landed string `json:"landed,omitempty"`
	// Held are commands that show what was not let in, which stays.
	Held []string `json:"held,omitempty"`
}

// Remove removes an agent: its branch, worktree and run. What was on the
// branch stays under a ref. A running agent is refused, or with force stopped
// first.
func (s *Service) Remove(ctx context.Context, dir, name string, force bool) (Removed, error) {
	out := Removed{Name: name}
	repo, err := s.open(ctx, dir)
	if err != nil {
		return out, err
	}
	run, err := s.find(ctx, dir, name)
	known := err == nil
	if err != nil && sandbox.ErrorCode(err) != sandbox.CodeNotFound {
		return out, err
	}
	if known {
		if run, err = s.quiet(ctx, dir, run, force); err != nil {
			return out, err
		}
	}
	if out.Landed, err = repo.HasLanded(ctx, name); err != nil {
		out.Landed = "" // a git too old to tell, or no branch: nothing depends on it
	}
	if err := removeWorktree(ctx, repo, name); err != nil {
		return out, err
	}
	runs, err := s.runsOf(ctx, repo, name)
	if err != nil {
		return out, err
	}
	trash, err := repo.Trash(ctx, name, map[string]string{noteRuns: strings.Join(runs, " ")})
	switch {
	case err == nil:
		out.Entry, out.UndoCommand, out.More = trash.Entry, trash.UndoCommand, trash.More
	case sandbox.ErrorCode(err) != sandbox.CodeNotFound || !known:
		return out, err
	}
	held, err := repo.Held(name)
	if err != nil {
		return out, err
	}
	for _, h := range held {
		if h.Look != "" {
			out.Held = append(out.Held, h.Look)
		}
	}
	if !known {
		return out, nil
	}
	return out, errors.Join(s.Store.CloseQuestions(ctx, run.ID, s.Now().UTC()), s.hideRuns(ctx, runs, true))
}

// runsOf are the ids of the runs of an agent, which may have been resumed.
func (s *Service) runsOf(ctx context.Context, repo *workspace.Repository, name string) ([]string, error) {
	runs, err := s.Store.Runs(ctx, store.RunFilter{Repository: repo.CommonDir, Name: name})
	ids := make([]string, len(runs))
	for i, run := range runs {
		ids[i] = run.ID
	}
	return ids, err
}

// hideRuns hides runs, or shows them again.
func (s *Service) hideRuns(ctx context.Context, ids []string, hide bool) error {
	change := s.Store.RestoreRun
	if hide {
		change = s.Store.DeleteRun
	}
	var errs []error
	for _, id := range ids {
		errs = append(errs, change(ctx, id))
	}
	return errors.Join(errs...)
}

// quiet makes sure that nobody works on a run any more and that its work is
// home: a running agent is stopped with force, a crashed one is recovered.
func (s *Service) quiet(ctx context.Context, dir string, run sandbox.Run, force bool) (sandbox.Run, error) {
	if running(run) {
		if !force {
			return run, sandbox.Fail(sandbox.CodeBusy, fmt.Errorf("agent %q is running", run.Name),
				"`agent-process stop "+run.Name+"` first, or --force")
		}
		return s.Stop(ctx, dir, run.Name, false)
	}
	path := s.Paths.RunDir(run.ID)
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return run, nil
	}
	if err == nil {
		_, err = s.recover(ctx, run.ID)
	}
	return run, err
}

// removeWorktree removes the worktree on the host, unless a person changed
// something in it.
func removeWorktree(ctx context.Context, repo *workspace.Repository, name string) error {
	gone, err := repo.RemoveWorktree(ctx, name, "")
	if err != nil {
		return err
	}
	if gone.Kept != "" {
		return sandbox.Fail(sandbox.CodeBusy, errors.New(keptText(repo.WorktreePath(name), gone)),
			"save or remove what is yours in it, then try again")
	}
	return nil
}
