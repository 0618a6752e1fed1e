package workspace

import (
	"context"
	"fmt"
	"strings"

	"agentprocess/internal/sandbox"
)

// Tip is the commit that an agent's branch is at; false when there is no branch.
func (r *Repository) Tip(ctx context.Context, name string) (string, bool, error) {
	if err := sandbox.ValidateName(name); err != nil {
		return "", false, err
	}
	refs, err := r.refs(ctx, branchRef(name))
	if err != nil {
		return "", false, err
	}
	tip := refs[branchRef(name)]
	return tip, tip != "", nil
}

// Compare counts what tip changes against base, and lists what of it is to be
// looked at.
func (r *Repository) Compare(ctx context.Context, base, tip string) (sandbox.DiffStat, []Flag, error) {
	stat, flags, err := r.git.inspect(ctx, r.common(), base, tip)
	if err != nil {
		return stat, flags, fmt.Errorf("compare %s with %s: %w", tip, base, err)
	}
	return stat, flags, nil
}

// Reclaim takes the name of an agent that goes on: its branch must be at tip
// still, and be checked out nowhere. Releasing it leaves a branch that is not at
// base.
func (r *Repository) Reclaim(ctx context.Context, name string, base Base, tip string) (*Claim, error) {
	return r.reclaim(ctx, name, base, tip, nil)
}

// reclaim is Reclaim with what else is done to refs in the same step.
func (r *Repository) reclaim(ctx context.Context, name string, base Base, tip string, also func(refs map[string]string) string) (*Claim, error) {
	c := &Claim{Name: name, Branch: Branch(name), Existed: true, repo: r, base: base}
	err := r.locked(ctx, func() error {
		if err := r.checkNotCheckedOut(name); err != nil {
			return err
		}
		if err := r.checkFree(ctx, c); err != nil {
			return err
		}
		refs, err := r.refs(ctx, branchRef(name), strings.TrimSuffix(pinPrefix(name), "/"))
		if err != nil {
			return err
		}
		if refs[branchRef(name)] != tip {
			return sandbox.Fail(sandbox.CodeBusy, fmt.Errorf("branch %q has just been moved", c.Branch), "try again")
		}
		if refs[pinPrefix(name)+resolvingTip] != "" {
			return resolving(name)
		}
		script := ""
		if also != nil {
			script = also(refs)
		}
		if refs[pinPrefix(name)+"base"] != base.Commit {
			script += "update " + pinPrefix(name) + "base " + base.Commit + "\n"
		}
		if script == "" {
			return nil
		}
		return r.updateRefs(ctx, "agent-process: resume "+name, script)
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Key names the repository in directories of ours.
func (r *Repository) Key() string { return r.key() }
