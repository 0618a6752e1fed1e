package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"agentprocess/internal/execx"
)

// maxPatch bounds the patches that are compared to find a squashed merge.
const maxPatch = 32 << 20

// HasLanded says whether the work of an agent is in what is checked out here:
// LandedMerged, LandedSquashed (also when its commits were rebased), or empty.
func (r *Repository) HasLanded(ctx context.Context, name string) (string, error) {
	base, tip, err := r.Ends(ctx, name)
	if err != nil {
		return "", err
	}
	head, err := r.git.line(ctx, r.here("rev-parse", "--verify", "-q", "HEAD^{commit}"))
	if execx.ExitCode(err) == 1 {
		return "", nil // there is nothing yet
	}
	if err != nil {
		return "", err
	}
	merged, err := r.git.isAncestor(ctx, r.common(), tip, head)
	if err != nil {
		return "", err
	}
	if merged {
		return LandedMerged, nil
	}
	m, err := r.tryMerge(ctx, mergePair{ours: head, theirs: tip, base: base})
	if err != nil {
		return "", err
	}
	tree, err := r.git.line(ctx, r.here("rev-parse", "--verify", "-q", head+"^{tree}"))
	if err != nil {
		return "", err
	}
	squashed := len(m.conflicts) == 0 && m.tree == tree
	if len(m.conflicts) > 0 {
		squashed, err = r.squashed(ctx, Agent{Name: name, Base: base, Tip: tip}, head)
	}
	if err != nil || !squashed {
		return "", err
	}
	return LandedSquashed, nil
}

// tryMerge merges one pair and leaves nothing.
func (r *Repository) tryMerge(ctx context.Context, p mergePair) (m mergeResult, err error) {
	s, err := r.newScratch()
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	results, err := r.mergeTrees(ctx, s, []mergePair{p})
	return first(results), err
}

// squashed reports whether a commit of head since the agent's base makes the
// same changes as all of the agent's commits together, or one for each of them
// does: then the work is there, though later commits may have changed it again.
func (r *Repository) squashed(ctx context.Context, a Agent, head string) (bool, error) {
	whole, err := r.patchIDs(ctx, safeDiff("-r", "-p", "--full-index", a.Base, a.Tip))
	if err != nil || len(whole) != 1 {
		return false, err
	}
	e, err := r.git.diff(ctx, r.common(), a.Base, a.Tip)
	if err != nil || len(e.changes) == 0 {
		return false, err
	}
	log := []string{"log", "-p", "--full-index", "--no-merges", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--full-diff", "--max-count=500", head, "^" + a.Base, "--", ":(top,literal)" + e.changes[0].path}
	there, err := r.patchIDs(ctx, log)
	if err != nil {
		return false, err
	}
	for id := range whole {
		if there[id] {
			return true, nil
		}
	}
	out, err := r.git.line(ctx, r.common("cherry", head, a.Tip, a.Base))
	return err == nil && out != "" && !strings.Contains("\n"+out, "\n+"), err
}

// patchIDs are the patch ids of what a command of git shows; more than
// maxPatch of it is none.
func (r *Repository) patchIDs(ctx context.Context, args []string) (map[string]bool, error) {
	c := r.common(args...)
	patch := &limitedBuffer{limit: maxPatch}
	c.stdout = patch
	err := r.git.runInto(ctx, c)
	if patch.exceeded {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("compare patches: %w", err)
	}
	c = r.common("patch-id", "--stable")
	c.stdin = bytes.NewReader(patch.Bytes())
	out, err := r.git.run(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("compare patches: %w", err)
	}
	ids := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		if id, _, found := strings.Cut(line, " "); found {
			ids[id] = true
		}
	}
	return ids, nil
}
