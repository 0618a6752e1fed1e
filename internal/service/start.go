package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/store"
	"agentprocess/internal/workspace"
)

// tearDownTime bounds the clean-up after a run, which goes on when the
// person's context is over.
const tearDownTime = 2 * time.Minute

// session is one run while its supervisor lives.
type session struct {
	svc    *Service
	opts   StartOptions
	chk    *checked // what check decided
	run    sandbox.Run
	dir    *runDir
	claim  *workspace.Claim
	ws     *workspace.Workspace
	keeper *keeper
	sink   *store.Sink
	rec    *audit.Recorder
	tally  *tally
	net    *network
	box    sandbox.Sandbox
	tree   *worktree
	env    []string // of the agent and of checks
	start  time.Time

	beside sync.WaitGroup         // what goes on beside the run
	mu     sync.Mutex             // over run, while a turn is saved
	talk   *talk                  // what is said
	last   workspace.ImportResult // of the end of the run
}

// Start runs one agent from its goal to its branch. view is shown everything
// as it happens. The error is for a run that could not be started or recorded;
// how a run ended is its Outcome.
func (s *Service) Start(ctx context.Context, o StartOptions, view audit.Sink) (sandbox.Run, error) {
	begin := s.Now()
	said := &talk{}
	if o.resume != nil {
		said.kept, said.session = o.resume.kept, o.resume.kept.Head().Session
	}
	chk, err := s.check(ctx, o)
	if err != nil {
		return sandbox.Run{}, errors.Join(err, said.close())
	}
	x := &session{svc: s, opts: o, chk: chk, start: begin, tally: newTally(), talk: said}
	if err := x.create(ctx, view); err != nil {
		return sandbox.Run{}, errors.Join(err, x.abandon(ctx))
	}
	if err := x.launch(ctx); err != nil {
		return sandbox.Run{}, errors.Join(err, x.abandon(ctx))
	}
	end := x.runAgent(ctx)
	return x.finish(ctx, end)
}

// create takes the name, the run directory and the record, then makes the
// workspace.
func (x *session) create(ctx context.Context, view audit.Sink) error {
	s, o := x.svc, x.opts
	id, err := newRunID(o.Name)
	if err != nil {
		return err
	}
	x.run = sandbox.Run{
		ID: id, Name: o.Name, Goal: o.Goal,
		Repository: x.chk.repo.CommonDir, Worktree: x.chk.repo.WorktreePath(o.Name),
		Branch: workspace.Branch(o.Name), Base: x.chk.base.Commit, Tip: x.chk.from.Commit, Stat: x.chk.stat,
		Agent: x.chk.plan.Info, Scope: o.Scope, Lineage: sandbox.Lineage{Backend: x.chk.chosen.backend}, State: sandbox.StatePreparing, Created: x.start.UTC(), PID: pid(),
	}
	if o.resume != nil {
		x.run.Previous, x.run.Session = o.resume.run.ID, x.talk.session
	} else if x.talk.kept, err = s.takeConversation(x.chk.repo, o.Name); err != nil {
		return err
	}
	if x.dir, err = createRunDir(s.runs(), x.run); err != nil {
		return err
	}
	if o.resume != nil {
		x.claim, err = x.claimAgain(ctx)
	} else {
		x.claim, err = x.chk.repo.Claim(ctx, o.Name, x.chk.base)
	}
	if err != nil {
		return err
	}
	how, err := launched(o)
	if err := errors.Join(err, s.Store.PutRun(ctx, x.run), s.Store.PutLaunch(ctx, x.run.ID, how)); err != nil {
		return err
	}
	x.sink = s.Store.Sink(ctx)
	x.rec = audit.NewRecorder(id, s.Now, x.sink, x.tally, view)
	x.header()
	return x.phase("workspace", func() (string, error) { return x.makeWorkspace(ctx) })
}

// header records what was decided before the record existed.
func (x *session) header() {
	for _, n := range append(x.chk.notices, x.claim.Notices...) {
		x.warn("%s", n)
	}
	x.note("%s", x.chk.chosen.line())
	if x.rebases() {
		x.note("rebases onto %s, where both sides changed: %s", x.opts.resume.rebase.name, strings.Join(x.opts.resume.rebase.conflicts, ", "))
	}
	for _, s := range x.chk.suggestions {
		x.note("%s", s)
	}
	for _, w := range x.opts.weakenings() {
		x.note("%s", w)
	}
	x.rec.Record(audit.Phase{Name: "checked", Detail: x.chk.detail(), Duration: x.svc.Now().Sub(x.start)})
}

// makeWorkspace prepares the private clone and the tree.
func (x *session) makeWorkspace(ctx context.Context) (string, error) {
	strict, depth, err := history(x.opts.History)
	if err != nil {
		return "", err
	}
	ws, err := x.chk.repo.Prepare(ctx, workspace.Options{
		Name: x.opts.Name, Base: x.chk.base, Start: x.chk.from, RunDir: x.dir.path, Owner: x.chk.identity, Overlay: x.chk.chosen.overlay, Scope: x.opts.Scope,
		Strict: strict, Depth: depth, Rebases: x.opts.resume.rebases(), NoVerify: x.opts.NoVerify, Inspect: x.svc.Config.Import.Narrow(x.chk.supplied.imports),
	})
	if err != nil {
		return "", err
	}
	x.ws = ws
	for _, n := range ws.Notices {
		x.warn("%s", n)
	}
	x.tellIncluded(ws.Included)
	x.keeper = &keeper{
		runtime: x.chk.chosen.runtime, ws: ws, id: x.run.ID, identity: x.chk.identity, notice: x.warn,
		message: commitMessage(x.opts.Name, x.opts.Goal, coAuthor(x.chk.plan.Info.Kind)),
	}
	if x.chk.chosen.overlay {
		return "overlay on cached checkout", nil
	}
	return "own checkout", nil
}

// tellIncluded says which ignored files came along, and which did not.
func (x *session) tellIncluded(in workspace.Included) {
	if len(in.Copied) > 0 {
		x.note("brought along by .worktreeinclude, and never committed: %s", strings.Join(in.Copied, ", "))
	}
	for _, skipped := range in.Skipped {
		x.warn(".worktreeinclude: %s was left out: %s", skipped.Path, skipped.Why)
	}
	for _, pattern := range in.Unmatched {
		x.warn(".worktreeinclude: %q names no ignored file", pattern)
	}
}

// phase records a step and how long it took; the error is the step's.
func (x *session) phase(name string, step func() (detail string, err error)) error {
	begin := x.svc.Now()
	detail, err := step()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	x.rec.Record(audit.Phase{Name: name, Detail: detail, Duration: x.svc.Now().Sub(begin)})
	return nil
}

// setState moves the run on, in the database and for recovery.
func (x *session) setState(ctx context.Context, state sandbox.State) error {
	x.run.State = state
	return errors.Join(x.dir.save(x.run), x.svc.Store.PutRun(ctx, x.run))
}

func (x *session) warn(format string, args ...any) {
	x.rec.Record(audit.Notice{Level: audit.Warn, Text: fmt.Sprintf(format, args...)})
}

func (x *session) note(format string, args ...any) {
	x.rec.Record(audit.Notice{Level: audit.Info, Text: fmt.Sprintf(format, args...)})
}

// abandon undoes a start that came to nothing before the agent's first
// instruction: there is no work yet, so everything goes.
func (x *session) abandon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tearDownTime)
	defer cancel()
	x.beside.Wait()
	errs := []error{x.closeInside(), x.tree.remove(ctx), x.talk.close()}
	if x.claim != nil {
		errs = append(errs, x.unclaim(ctx))
	}
	if x.sink != nil {
		errs = append(errs, x.sink.Close(), x.svc.Store.DeleteRun(ctx, x.run.ID))
	}
	if x.dir != nil {
		errs = append(errs, x.dir.remove())
	}
	return errors.Join(errs...)
}
