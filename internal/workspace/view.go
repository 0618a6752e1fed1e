package workspace

import "agentprocess/internal/sandbox"

// View shows the agent's tree, as it is now, to another sandbox, at the same
// path; without .git. What the agent changes while it is used may or may not
// show. It is read-only, unless upper and work name two directories for an
// overlay that takes what the other sandbox writes. A workspace that is no
// overlay, because the host has none, is read-only in any case.
func (w *Workspace) View(upper, work string) sandbox.Mount {
	if !w.rec.Overlay {
		return sandbox.Mount{Kind: sandbox.MountBind, Source: w.path(treeName), Target: w.rec.Dir, ReadOnly: true}
	}
	return sandbox.Mount{
		Kind: sandbox.MountOverlay, Lowers: []string{w.path(upperName)}, Lower: w.pristine.tree(), Target: w.rec.Dir,
		Upper: upper, Work: work, ReadOnly: upper == "",
	}
}
