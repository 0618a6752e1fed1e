package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/conversation"
	"agentprocess/internal/hook"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/workspace"
)

// saveTime bounds one commit and import.
const saveTime = 10 * time.Minute

// turn saves at the end of a turn. A failure is told and nothing else: the end
// of the run saves again, with more means.
func (x *session) turn(ctx context.Context, c hook.Call) {
	x.talk.saying(c.Said)
	said, err := x.keep()
	if err != nil {
		x.warn("what was said is not kept yet: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	if x.rebases() && x.unfinished(ctx) {
		return // to commit now would put marks of conflicts into its history
	}
	x.describe(x.talk.lastSaid())
	res, err := x.keeper.save(ctx, x.box)
	if err != nil {
		x.warn("the work of this turn is not committed yet: %v", err)
		return
	}
	x.imported(ctx, res)
	if said.Session != "" { // else there is no place in a conversation to go back to
		x.mark(ctx, said, res)
	}
}

// describe calls what is committed next by what the agent says of it.
func (x *session) describe(said string) {
	x.keeper.describe(summaryMessage(x.opts.Name, x.opts.Goal, coAuthor(x.chk.plan.Info.Kind), said))
}

// imported records what an import brought, and shows it in the worktree.
func (x *session) imported(ctx context.Context, res workspace.ImportResult) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !res.Changed || res.Tip == x.run.Tip {
		return
	}
	x.run.Tip, x.run.Stat = res.Tip, res.Stat
	x.rec.Record(audit.Commit{ID: res.Tip, Subject: x.keeper.subject(), Stat: res.Stat})
	if err := errors.Join(x.dir.save(x.run), x.svc.Store.PutRun(ctx, x.run)); err != nil {
		x.warn("%v", err)
	}
	x.tree.update(ctx)
}

// finish brings the work home, computes the outcome and tears down.
func (x *session) finish(ctx context.Context, end ending) (sandbox.Run, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime+tearDownTime)
	defer cancel()
	f := facts{end: end, claims: x.talk.claims, unwritten: x.rec.Err()}
	errs := []error{x.setState(ctx, sandbox.StateFinishing)}
	unfinished := x.rebases() && x.unfinished(ctx) // before the rest is committed
	begin := x.svc.Now()
	if end.outcome == "" && end.err == nil {
		x.verify(ctx)
	}
	if end.outcome == "" && f.claims == "" && end.exit.Code == 0 {
		x.describe(x.talk.lastSaid())
	} else {
		x.describe("") // it was in the middle of something
	}
	f.unsaved = x.saveAll(ctx)
	if !x.rebases() {
		errs = append(errs, x.sign(ctx))
	}
	x.rec.Record(audit.Phase{Name: "saved", Duration: x.svc.Now().Sub(begin)})
	switch said, err := x.keep(); {
	case err != nil && !errors.Is(err, conversation.ErrNone):
		x.warn("what was said last is not kept: %v", err)
	case err == nil && said.Session != "":
		x.mark(ctx, said, x.last)
	}
	if x.run.Tip != x.chk.from.Commit {
		f.commits = x.run.Stat.Commits
	}
	if end.outcome == "" && end.err == nil && f.unsaved == nil {
		f.checks = append(x.keeper.hooked.failing(), x.runChecks(ctx)...)
	}
	f.usage, f.held = x.box.Usage(), x.last.Held
	errs = append(errs, x.closeInside())
	if x.rebases() {
		var err error
		f.unresolved, err = x.endRebase(ctx, f, unfinished)
		errs = append(errs, err)
	}
	x.run.Outcome, x.run.Reason = f.outcome()
	errs = append(errs, x.tearDown(ctx, f.unsaved))
	return x.run, errors.Join(errs...)
}

// saveAll saves in the agent's sandbox, and without it if that does not do.
func (x *session) saveAll(ctx context.Context) error {
	res, err := x.keeper.save(ctx, x.box)
	if err != nil {
		if err := x.closeInside(); err != nil {
			return err
		}
		if res, err = x.keeper.rescue(ctx); err != nil {
			return err
		}
	}
	x.imported(ctx, res)
	x.last = res
	x.run.Held = heldCount(res.Held)
	x.tellHeld(res.Held)
	return nil
}

// sign has the person's git sign what came home, if it signs.
func (x *session) sign(ctx context.Context) error {
	if x.last.Diverged {
		return nil
	}
	signed, err := x.ws.Sign(ctx)
	if err != nil {
		return err
	}
	if signed.Why != "" {
		x.warn("the commits are not signed, as git is configured to: %s; what signs them: %s", signed.Why, signed.Hint)
	}
	if signed.Tip == "" {
		return nil
	}
	x.note("signed with your key: %d commits", signed.Commits)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.run.Tip, x.last.Tip = signed.Tip, signed.Tip
	return errors.Join(x.dir.save(x.run), x.svc.Store.PutRun(ctx, x.run))
}

// tellHeld records the commits that were not let in, because they change what
// is outside the scope, and the files that were taken out of others.
func (x *session) tellHeld(h *workspace.Held) {
	if !holds(h) {
		return
	}
	for _, c := range h.Commits {
		why := "outside --scope " + strings.Join(h.Scope, ", ")
		switch {
		case c.ID == h.Tip && len(h.Cut) > 0:
			continue // its files are told below
		case len(c.Outside) == 0:
			why = "it follows a commit that is held"
		}
		x.rec.Record(audit.Held{ID: c.ID, Subject: c.Subject, Paths: c.Outside, More: max(0, c.Count-len(c.Outside)), Reason: why})
	}
	for _, f := range h.Cut {
		x.rec.Record(audit.Held{ID: h.Tip, Subject: f.Path, Paths: []string{f.Path}, Reason: f.Reason, Kind: string(f.Kind)})
	}
	x.note("what was held is kept outside the repository: agent-process release %s", h.Name)
	if h.Look != "" {
		x.note("see it with: %s", h.Look)
	}
}

// strayed reports whether commits were refused for leaving the scope.
func strayed(h *workspace.Held) bool {
	if !holds(h) || len(h.Scope) == 0 {
		return false
	}
	for _, c := range h.Commits {
		if c.ID != h.Tip || len(h.Cut) == 0 || c.Count > 0 {
			return true
		}
	}
	return false
}

// holds reports whether there is work that was not let in.
func holds(h *workspace.Held) bool { return h != nil && (h.Tip != "" || len(h.More) > 0) }

// runChecks runs the person's checks inside and names those that failed.
func (x *session) runChecks(ctx context.Context) []string {
	var failed []string
	for _, check := range x.opts.Checks {
		begin := x.svc.Now()
		out := &lines{stream: "check", rec: x.rec}
		exit, err := x.exec(ctx, sandbox.Command{
			Argv: []string{"/bin/sh", "-c", check}, Env: x.env, Dir: x.ws.Dir(), Stdout: out, Stderr: out,
		})
		out.flush()
		detail := fmt.Sprintf("%s: exit status %d", check, exit.Code)
		if err != nil {
			detail = fmt.Sprintf("%s: %v", check, err)
		}
		x.rec.Record(audit.Phase{Name: "check", Detail: detail, Duration: x.svc.Now().Sub(begin)})
		if err != nil || exit.Code != 0 {
			failed = append(failed, check)
		}
	}
	return failed
}

// tearDown removes everything but the branch, the record and, when work could
// not be brought home, the run directory, for cleanup to try again.
func (x *session) tearDown(ctx context.Context, unsaved error) error {
	errs := []error{x.tree.finish(ctx, x.opts.Keep)}
	errs = append(errs, x.ws.Close())
	if x.run.Stat.Commits == 0 && unsaved == nil && !x.opts.Keep {
		errs = append(errs, x.claim.Release(ctx))
	}
	x.beside.Wait()
	denials, cost := x.tally.read()
	x.run.State, x.run.Cost, x.run.Ended, x.run.PID = sandbox.StateFinished, cost, x.svc.Now().UTC(), 0
	x.rec.Record(audit.Outcome{Outcome: x.run.Outcome, Reason: x.run.Reason, Run: x.run, Flagged: flagNames(x.last.Flagged), Denials: denials})
	errs = append(errs, x.talk.close(), x.rec.Err(), x.sink.Close(), x.svc.Store.PutRun(ctx, x.run))
	if unsaved != nil {
		x.dir.close()
		errs = append(errs, fmt.Errorf("the work is kept in %q: %w", x.dir.path, unsaved))
	} else {
		errs = append(errs, x.dir.remove())
	}
	return errors.Join(errs...)
}

func flagNames(flags []workspace.Flag) []string {
	names := make([]string, 0, len(flags))
	for _, f := range flags {
		names = append(names, f.Path+": "+f.Reason)
	}
	return names
}
