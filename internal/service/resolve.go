package service

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"agentprocess/internal/audit"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/workspace"
)

// ResolveOptions say how an agent's branch is rebased.
type ResolveOptions struct {
	ResumeOptions
	// Argv does it in the place of an agent that is a command.
	Argv []string
	// Force has it done though there are no conflicts.
	Force bool
}

// rebasing is what an agent's branch is to stand on.
type rebasing struct {
	onto      workspace.Base
	name      string // of onto, for people
	from      string // where its work began until now
	conflicts []string
	launch    []byte // how the run before was started
}

// Resolve lets an agent rebase its branch onto what is checked out in dir, in its
// sandbox and in its conversation. Branch and base are what they were unless all
// of it worked; then undo takes it back. Rules and hooks are those of the commit
// that it is rebased onto.
func (s *Service) Resolve(ctx context.Context, o ResolveOptions, view audit.Sink) (sandbox.Run, error) {
	repo, err := s.open(ctx, o.Dir)
	if err != nil {
		return sandbox.Run{}, err
	}
	run, err := s.settled(ctx, o.Dir, o.Name)
	if err != nil {
		return run, err
	}
	rebase, err := s.planRebase(ctx, repo, run, o)
	if err != nil {
		return run, err
	}
	kept, err := s.takeConversation(repo, o.Name)
	if err != nil {
		return run, err
	}
	start, err := s.resumption(ctx, repo, run, o.ResumeOptions)
	if err != nil {
		return run, errors.Join(err, kept.Close())
	}
	start.resume.kept, start.resume.rebase = kept, rebase
	start.Base, start.Argv = rebase.onto.Commit, o.Argv
	return s.Start(ctx, start, view)
}

// planRebase refuses what needs no rebasing, or cannot be rebased.
func (s *Service) planRebase(ctx context.Context, repo *workspace.Repository, run sandbox.Run, o ResolveOptions) (*rebasing, error) {
	switch {
	case !listens(run) && len(o.Argv) == 0:
		return nil, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("agent %q is a command, which cannot be told to rebase", o.Name),
			"say what does it: agent-process resolve "+o.Name+" -- COMMAND; inside, refs/agent-process/onto and refs/agent-process/from name the commits")
	case listens(run) && len(o.Argv) > 0:
		return nil, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("agent %q rebases by itself", o.Name), "leave the command out")
	}
	forecast, err := repo.Forecast(ctx)
	if err != nil {
		return nil, err
	}
	onto, err := repo.Resolve(ctx, "HEAD")
	if err != nil {
		return nil, err
	}
	tip, base, err := repo.Place(ctx, o.Name)
	if err != nil {
		return nil, err
	}
	r := &rebasing{onto: onto, name: forecast.Onto, from: base}
	outlook, known := forecast.Of(o.Name)
	r.conflicts = outlook.Conflicts
	stands, err := repo.Stands(ctx, tip, onto.Commit)
	switch {
	case err != nil:
		return nil, err
	case !known || outlook.Landed != "":
		return nil, nothingToResolve(o.Name, r.name+" has all of its work", "")
	case stands:
		return nil, nothingToResolve(o.Name, "it stands on "+r.name+" already", "agent-process merge "+o.Name)
	case len(r.conflicts) == 0 && !o.Force:
		return nil, nothingToResolve(o.Name, "it has no conflicts with "+r.name, "agent-process merge "+o.Name+"; --force has it rebased all the same")
	}
	r.launch, err = s.Store.Launch(ctx, run.ID)
	return r, err
}

func nothingToResolve(name, why, hint string) error {
	return sandbox.Fail(sandbox.CodeNotFound, fmt.Errorf("there is nothing to resolve on %s: %s", workspace.Branch(name), why), hint)
}

// task is what the agent is told.
func (r *rebasing) task(name string) string {
	text := fmt.Sprintf(`The branch that your work is for, %s, has moved on. Rebase your branch %s onto its commit %s and resolve the conflicts:

    git rebase --onto %s %s

`, r.name, workspace.Branch(name), r.onto.Commit, r.onto.Commit, r.from)
	if len(r.conflicts) > 0 {
		const most = 50
		text += "Both sides changed: " + strings.Join(r.conflicts[:min(len(r.conflicts), most)], ", ") + ".\n\n"
	}
	return text + `Keep what both sides meant: look at what changed on the other side (git log, git diff) before you decide, and take neither side blindly. Finish the rebase (git add, git rebase --continue) with no mark of a conflict left, check that the result works as before, and commit nothing else. Do not merge, squash or drop commits.`
}

// rebases is where the work of an agent began that is to rebase it; empty when it
// is not.
func (r *resumption) rebases() string {
	if r == nil || r.rebase == nil {
		return ""
	}
	return r.rebase.from
}

func (x *session) rebases() bool { return x.opts.resume.rebases() != "" }

// unfinished reports whether git inside is in the middle of its rebase, also when
// that cannot be told.
func (x *session) unfinished(ctx context.Context) bool {
	in, err := x.ws.Unfinished(ctx, x.box)
	return in || err != nil
}

// unclaim gives back the name of an agent that did not start.
func (x *session) unclaim(ctx context.Context) error {
	if x.rebases() {
		_, _, err := x.chk.repo.PutBack(ctx, x.opts.Name)
		return err
	}
	if x.claim.Existed {
		return nil
	}
	return x.claim.Release(ctx)
}

// endRebase keeps what a rebasing came to when all of it worked, or puts the
// branch back. It says why, when that is not how the run ended.
func (x *session) endRebase(ctx context.Context, f facts, unfinished bool) (why string, err error) {
	if why = "the rebase was not finished"; !unfinished {
		if why, err = x.ws.WhyUnresolved(ctx, x.run.Tip); err != nil {
			why = err.Error()
		}
	}
	if outcome, _ := f.outcome(); why == "" && (outcome == sandbox.OutcomeDone || outcome == sandbox.OutcomeHeld) {
		if err := x.sign(ctx); err != nil {
			x.warn("%v", err)
		}
		e, err := x.chk.repo.Resolved(ctx, x.opts.Name, x.run.Tip)
		if err == nil {
			x.note("%s stands on %s now; agent-process undo %d takes that back", x.run.Branch, x.opts.resume.rebase.name, e.ID)
			return "", nil
		}
		why = err.Error()
	}
	back, err := x.ws.PutBack(ctx)
	if err != nil {
		return why, err
	}
	x.warn("%s", backText(x.opts.Name, back))
	return why, putBack(ctx, x.chk.repo, &x.run, back)
}

// putBack puts the record of a run back, as its branch was.
func putBack(ctx context.Context, repo *workspace.Repository, run *sandbox.Run, back workspace.PutBack) (err error) {
	run.Base = back.Base
	if back.Moved {
		return nil
	}
	run.Tip = back.Tip
	run.Stat, _, err = repo.Compare(ctx, back.Base, back.Tip)
	return err
}

// backText says what became of a branch that was not rebased.
func backText(name string, back workspace.PutBack) string {
	text := workspace.Branch(name) + " is as it was before"
	if back.Moved {
		text = "somebody else moved " + workspace.Branch(name) + ", and it was left alone"
	}
	if back.Kept != "" {
		text += "; what the agent made of it is kept at " + back.Kept
	}
	return text
}

// AbortResolve ends the rebasing of an agent's branch, which is as it was then.
func (s *Service) AbortResolve(ctx context.Context, dir, name string) (string, error) {
	repo, err := s.open(ctx, dir)
	if err != nil {
		return "", err
	}
	run, err := s.find(ctx, dir, name)
	if err != nil {
		return "", err
	}
	resolving, err := repo.Resolving(ctx, name)
	if err != nil {
		return "", err
	}
	if !resolving {
		return "", sandbox.Fail(sandbox.CodeNotFound, fmt.Errorf("%s is not being rebased", run.Branch), "`agent-process undo` takes back a rebase that has ended")
	}
	if _, err := s.quiet(ctx, dir, run, true); err != nil { // which puts it back
		return "", err
	}
	back, left, err := repo.PutBack(ctx, name)
	if err != nil || !left {
		return run.Branch + " is as it was before", err
	}
	return backText(name, back), nil
}
