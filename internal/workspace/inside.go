package workspace

import "context"

// InsideDir is where the tree of the agent called name will be inside.
func (r *Repository) InsideDir(name string) string { return insideDir(r.WorktreePath(name)) }

// Unclaim is Claim.Release with no memory of the claim: branch and pin of an
// agent go away, unless the branch moved on from base.
func (r *Repository) Unclaim(ctx context.Context, name, base string) error {
	c := &Claim{Name: name, Branch: Branch(name), repo: r, base: Base{Commit: base}}
	return c.Release(ctx)
}
