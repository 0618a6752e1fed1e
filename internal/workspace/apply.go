package workspace

import (
	"context"
	"fmt"
	"strings"

	"agentprocess/internal/sandbox"
)

// ApplyOptions say what Apply is to do.
type ApplyOptions struct {
	Name string
	// Tip is the commit that the branch must be at; empty is any.
	Tip string
	// Index stages what comes; else the index stays as it is.
	Index bool
	// Without are changed paths that stay as they are: what a review rejected.
	Without []string
}

// Apply brings what an agent did into the files here, without a commit. Like
// Merge it works in memory first and refuses before anything is written.
func (r *Repository) Apply(ctx context.Context, o ApplyOptions) (out Landed, err error) {
	err = r.locked(ctx, func() error {
		a, err := r.approachAt(ctx, o.Name, o.Tip)
		if err != nil {
			return err
		}
		if r.Here == "" {
			return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("%q has no files", r.Top), "run this in a worktree")
		}
		out = Landed{Onto: a.onto(), Detached: a.ref == "", From: a.head, To: a.head}
		merged, err := r.mergeTree(ctx, a.pair(), o.Without)
		if err != nil {
			return err
		}
		if len(merged.conflicts) > 0 {
			return a.conflict(merged.conflicts)
		}
		tree, err := a.withoutPaths(ctx, merged.tree, o.Without)
		if err != nil {
			return err
		}
		t, err := r.newTransition(ctx, a.head, tree)
		if err != nil {
			return err
		}
		if len(t.changes) == 0 {
			out.Nothing = true
			return nil
		}
		if err := t.check(ctx); err != nil {
			return err
		}
		if out.Entry, err = a.apply(ctx, t, o.Index); err != nil {
			return err
		}
		out.Paths = t.paths()
		return r.describe(ctx, &out, t)
	})
	if err != nil {
		return out, fmt.Errorf("apply %s: %w", Branch(o.Name), err)
	}
	return out, nil
}

// apply writes files and index, and takes the index back when it is to stay.
func (a *approach) apply(ctx context.Context, t *transition, index bool) (int, error) {
	e, err := a.r.journal(ctx, a.deed(opApply, "apply "+Branch(a.name)+" to "+a.onto(), a.head, t))
	if err != nil {
		return 0, err
	}
	if err := t.run(ctx); err != nil {
		return 0, err
	}
	if !index {
		if err := a.r.git.retry(ctx, a.r.inTree("update-index", "-z", "--index-info"), undoing(t.changes)); err != nil {
			return 0, fmt.Errorf("leave the index of %q as it was: %w", a.r.Here, err)
		}
	}
	return e.ID, a.r.seal(ctx, e)
}

// CheckedOut says what Checkout did.
type CheckedOut struct {
	Branch   string   `json:"branch"`
	From     string   `json:"from"` // the branch that was checked out, or a commit
	Flagged  []Flag   `json:"flagged"`
	Filtered []string `json:"filtered,omitempty"`
}

// Checkout switches the worktree here to an agent's branch, with whatever is in
// no commit kept as it is, or refuses.
func (r *Repository) Checkout(ctx context.Context, name string) (out CheckedOut, err error) {
	err = r.locked(ctx, func() error {
		a, err := r.approach(ctx, name)
		if err != nil {
			return err
		}
		if r.Here == "" {
			return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("%q has no files", r.Top), "run this in a worktree")
		}
		out = CheckedOut{Branch: Branch(name), From: firstOf(strings.TrimPrefix(a.ref, "refs/heads/"), a.head)}
		if a.ref == branchRef(name) {
			return nil
		}
		if err := r.checkNotCheckedOut(name); err != nil {
			return err
		}
		t, err := r.newTransition(ctx, a.head, a.tip)
		if err != nil {
			return err
		}
		if err := t.check(ctx); err != nil {
			return err
		}
		if err := a.checkout(ctx, t, out.From); err != nil {
			return err
		}
		landed := Landed{}
		err = r.describe(ctx, &landed, t)
		out.Flagged, out.Filtered = landed.Flagged, landed.Filtered
		return err
	})
	if err != nil {
		return out, fmt.Errorf("check out %s: %w", Branch(name), err)
	}
	return out, nil
}

// checkout moves files, index and HEAD. The journal has it only as long as it
// lasts: the way back is git's own, `git switch -`, which reads the reflog.
func (a *approach) checkout(ctx context.Context, t *transition, from string) error {
	e, err := a.r.journal(ctx, a.deed(opCheckout, "check out "+Branch(a.name), a.head, t))
	if err != nil {
		return err
	}
	if err := t.run(ctx); err != nil {
		return err
	}
	c := a.r.here("symbolic-ref", "-m", "checkout: moving from "+from+" to "+Branch(a.name), "HEAD", branchRef(a.name))
	if err := a.r.git.retry(ctx, c, ""); err != nil {
		return fmt.Errorf("move HEAD: %w", err)
	}
	return a.r.forget(ctx, e)
}
