package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"agentprocess/internal/agent"
	"agentprocess/internal/audit"
	"agentprocess/internal/projecthook"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/workspace"
)

// Cleaned says what Cleanup did about one run.
type Cleaned struct {
	Name string
	What string
}

// Cleanup finds every run directory that no living supervisor holds, brings
// home the work in it, and removes what is left of the run. It needs no
// database. One run's trouble does not keep it from the next.
func (s *Service) Cleanup(ctx context.Context) ([]Cleaned, error) {
	entries, err := os.ReadDir(s.runs())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for runs: %w", err)
	}
	var done []Cleaned
	var errs []error
	for _, e := range entries {
		what, err := s.recover(ctx, e.Name())
		switch {
		case errors.Is(err, errRunAlive):
		case err != nil:
			errs = append(errs, fmt.Errorf("run %q: %w", e.Name(), err))
		default:
			done = append(done, Cleaned{Name: e.Name(), What: what})
		}
	}
	builds, err := s.cleanBuilds(ctx)
	done, errs = append(done, builds...), append(errs, err)
	if _, err := workspace.PrunePristine(ctx, s.workspaceConfig(), keptCheckouts); err != nil {
		errs = append(errs, err)
	}
	return done, errors.Join(errs...)
}

// keptCheckouts is how many shared checkouts Cleanup leaves: the most recently
// used ones.
const keptCheckouts = 20

// recover brings one dead run to its end and says what it found.
func (s *Service) recover(ctx context.Context, id string) (string, error) {
	path := filepath.Join(s.runs(), id)
	dir, err := lockRunDir(path)
	if err != nil {
		return "", err
	}
	what, err := s.recoverLocked(ctx, dir, id)
	if err != nil {
		dir.close()
		return "", err
	}
	return what, dir.remove()
}

func (s *Service) recoverLocked(ctx context.Context, dir *runDir, id string) (string, error) {
	run, ok, err := loadRun(dir.path)
	if err != nil {
		return "", err
	}
	rt, err := s.runtimeOf(run)
	if err != nil {
		return "", err
	}
	for _, box := range append(projecthook.Boxes(id), id, id+importSuffix, id+rescueSuffix) {
		if err := rt.Cleanup(ctx, box); err != nil {
			return "", err
		}
	}
	if !ok {
		return "removed what was left of a start", err
	}
	repo, err := s.open(ctx, run.Repository)
	if err != nil {
		return "", fmt.Errorf("its repository: %w", err)
	}
	res, notes, err := s.salvage(ctx, repo, dir, run)
	if err != nil {
		return "", err
	}
	return s.conclude(ctx, repo, run, res, notes)
}

// runtimeOf is what a run's sandboxes were made by. A run of an earlier version
// says nothing, and was native.
func (s *Service) runtimeOf(run sandbox.Run) (sandbox.Runtime, error) {
	b := run.Backend
	b.Runtime = cmp.Or(b.Runtime, runtimeNative)
	return s.Open(b)
}

// salvage commits and imports what a dead run left in its tree. A run that
// never got a workspace has none.
func (s *Service) salvage(ctx context.Context, repo *workspace.Repository, dir *runDir, run sandbox.Run) (*workspace.ImportResult, []string, error) {
	ws, err := repo.Reopen(ctx, dir.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	identity, err := s.Identity()
	if err != nil {
		return nil, nil, errors.Join(err, ws.Close())
	}
	rt, err := s.runtimeOf(run)
	if err != nil {
		return nil, nil, errors.Join(err, ws.Close())
	}
	var notes []string
	k := &keeper{
		runtime: rt, ws: ws, id: run.ID, identity: identity,
		message: commitMessage(run.Name, run.Goal, coAuthor(run.Agent.Kind)),
		notice:  func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) },
	}
	if err := s.keepOf(repo, dir, run); err != nil {
		notes = append(notes, fmt.Sprintf("what was said last is not kept: %v", err))
	}
	res, err := k.rescue(ctx)
	return &res, notes, errors.Join(err, ws.Close())
}

// keepOf keeps the conversation of a dead run, as far as it got.
func (s *Service) keepOf(repo *workspace.Repository, dir *runDir, run sandbox.Run) error {
	if run.Session == "" || run.Agent.Kind != agent.KindClaude {
		return nil
	}
	kept, err := s.takeConversation(repo, run.Name)
	if err != nil {
		return err
	}
	_, err = keepConversation(kept, agent.Claude{}, filepath.Join(dir.path, "home"), run.Session)
	return errors.Join(err, kept.Close())
}

// conclude ends the run's record and takes away what a run takes away at its
// end. A branch without commits goes, like that of a run that changed nothing.
func (s *Service) conclude(ctx context.Context, repo *workspace.Repository, run sandbox.Run, res *workspace.ImportResult, notes []string) (string, error) {
	gone, err := repo.RemoveWorktree(ctx, run.Name, "")
	if err != nil {
		return "", err
	}
	if res != nil {
		run.Tip, run.Stat = res.Tip, res.Stat
	}
	back, resolving, err := repo.PutBack(ctx, run.Name)
	if err != nil {
		return "", err
	}
	if resolving {
		if err := putBack(ctx, repo, &run, back); err != nil {
			return "", err
		}
		notes = append(notes, backText(run.Name, back))
	}
	what := fmt.Sprintf("brought home %d commits on %s", run.Stat.Commits, run.Branch)
	if run.Stat.Commits == 0 {
		what = "no work in it"
		if err := repo.Unclaim(ctx, run.Name, run.Base); err != nil {
			return "", err
		}
	}
	if gone.Kept != "" {
		what += "; " + keptText(run.Worktree, gone)
	}
	run.State, run.PID, run.Ended = sandbox.StateFinished, 0, s.Now().UTC()
	if run.Outcome == "" {
		run.Outcome, run.Reason = sandbox.OutcomeFailed, "its supervisor died"
	}
	return what, s.record(ctx, run, append(notes, "recovered: "+what))
}

// record puts the end of a dead run where its record is.
func (s *Service) record(ctx context.Context, run sandbox.Run, notes []string) error {
	var last audit.Event
	err := s.Store.Follow(ctx, run.ID, 0, func() bool { return false }, func(e audit.Event) error {
		last = e
		return nil
	})
	if err != nil {
		return err
	}
	sink := s.Store.Sink(ctx)
	rec := audit.Resume(last, run.ID, s.Now, sink)
	for _, n := range notes {
		rec.Record(audit.Notice{Level: audit.Warn, Text: n})
	}
	rec.Record(audit.Outcome{Outcome: run.Outcome, Reason: run.Reason, Run: run})
	return errors.Join(rec.Err(), sink.Close(), s.Store.PutRun(ctx, run))
}
