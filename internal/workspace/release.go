package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"agentprocess/internal/sandbox"
)

// ReleasedHeld says where refused work is after a person let it in.
type ReleasedHeld struct {
	// Tip is the end of it, and Ref a ref that has it; both are empty when only
	// further refs were held.
	Tip string
	Ref string
	// Moved is set when Ref is the agent's branch. Otherwise that has other
	// commits, or is checked out: Why says which, and `git merge` of Ref does
	// the rest.
	Moved bool
	Why   string
	// Stat and Flagged compare Tip with the base, as an import does.
	Stat    sandbox.DiffStat
	Flagged []Flag
	// More are the refs of what else was held.
	More []string
	// Entry takes the moving of the branch back; 0 when it did not move. What was
	// held is kept by the journal then.
	Entry int
}

// ReleaseHeld brings what is held of a run into the repository, as an import
// without a scope would have: the agent's branch moves to it, if that can be
// without a loss. Then nothing is held any more.
func (r *Repository) ReleaseHeld(ctx context.Context, name, run string) (ReleasedHeld, error) {
	var out ReleasedHeld
	err := r.withHeld(ctx, name, run, func(h Held) (err error) {
		if out, err = r.letIn(ctx, h); err != nil {
			return err
		}
		return r.removeHeld(ctx, h)
	})
	return out, err
}

// DiscardHeld removes what is held of a run, for good.
func (r *Repository) DiscardHeld(ctx context.Context, name, run string) error {
	return r.withHeld(ctx, name, run, func(h Held) error { return r.removeHeld(ctx, h) })
}

// withHeld runs f, under the repository's lock, with what is held of a run.
func (r *Repository) withHeld(ctx context.Context, name, run string, f func(Held) error) error {
	if err := errors.Join(sandbox.ValidateName(name), validRun(run)); err != nil {
		return err
	}
	return r.locked(ctx, func() error {
		h, ok, err := r.heldOf(run)
		if err != nil {
			return err
		}
		if !ok || h.Name != name {
			return sandbox.Fail(sandbox.CodeNotFound, fmt.Errorf("nothing is held of run %q of agent %q: %w", run, name, fs.ErrNotExist),
				"see what is: agent-process show "+shellQuote(name))
		}
		return f(h)
	})
}

// letIn fetches what is held and moves the branch.
func (r *Repository) letIn(ctx context.Context, h Held) (ReleasedHeld, error) {
	out := ReleasedHeld{Tip: h.Tip}
	to := pinPrefix(h.Name) + "held/" + h.Run + "/"
	var refspecs []string
	if h.Tip != "" {
		out.Ref = to + "tip"
		refspecs = append(refspecs, "+"+heldTip+":"+out.Ref)
	}
	for _, m := range append(append([]HeldRef{}, h.More...), h.Before...) {
		ref := to + filepath.Base(filepath.Dir(m.Ref)) + "-" + filepath.Base(m.Ref)
		refspecs = append(refspecs, "+"+m.Ref+":"+ref)
		out.More = append(out.More, ref)
	}
	if len(refspecs) == 0 {
		return out, nil
	}
	if err := r.carry(ctx, h.GitDir, r.common(), refspecs...); err != nil {
		return out, err
	}
	if h.Tip == "" {
		return out, nil
	}
	var err error
	if out.Stat, out.Flagged, err = r.git.inspect(ctx, r.common(), h.Base, h.Tip); err != nil {
		return out, fmt.Errorf("inspect what was held of %q: %w", h.Name, err)
	}
	return out, r.moveReleased(ctx, h, &out)
}

// moveReleased moves the agent's branch to what is released, or says why not.
func (r *Repository) moveReleased(ctx context.Context, h Held, out *ReleasedHeld) error {
	branch, base := branchRef(h.Name), pinPrefix(h.Name)+"base"
	refs, err := r.refs(ctx, branch)
	if err != nil {
		return err
	}
	old := refs[branch]
	if old != "" && old != h.Tip {
		on, err := r.git.isAncestor(ctx, r.common(), old, h.Tip)
		switch {
		case err != nil:
			return err
		case !on:
			out.Why = Branch(h.Name) + " has commits that this is not built on"
			return nil
		}
		if err := r.checkNotCheckedOut(h.Name); err != nil {
			out.Why = err.Error()
			return nil //nolint:nilerr // told in Why
		}
	}
	script, after := "start\nupdate "+branch+" "+h.Tip+" "+firstOf(old, r.zero())+"\ndelete "+out.Ref+" "+h.Tip+"\n", map[string]string{branch: h.Tip}
	if old == "" {
		script += "update " + base + " " + h.Base + "\n"
		after[base] = h.Base
	}
	if old != h.Tip {
		e, err := r.journal(ctx, Deed{Op: "release", Agent: h.Name, Text: "let in what was held of " + Branch(h.Name), Refs: after})
		if err != nil {
			return err
		}
		out.Entry = e.ID
	}
	if err := r.updateRefs(ctx, "agent-process: release what was held of "+h.Name, script+"prepare\ncommit\n"); err != nil {
		return err
	}
	out.Ref, out.Moved = branch, true
	return nil
}
