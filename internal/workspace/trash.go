package workspace

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"agentprocess/internal/sandbox"
)

// Removed says where the work of a removed agent is.
type Removed struct {
	Ref         string
	Tip         string
	UndoCommand string
	// More are refs that keep what else the agent made.
	More []string
	// Entry is the journal's: Undo of it brings everything back.
	Entry int
}

// Trash removes the branch of an agent and what was pinned for it. Before
// anything goes, another ref has it, in one transaction, and the journal has all
// of it; notes are for that.
func (r *Repository) Trash(ctx context.Context, name string, notes map[string]string) (Removed, error) {
	if err := sandbox.ValidateName(name); err != nil {
		return Removed{}, err
	}
	var removed Removed
	err := r.locked(ctx, func() error {
		if err := r.checkNotCheckedOut(name); err != nil {
			return err
		}
		pins := strings.TrimSuffix(pinPrefix(name), "/")
		refs, err := r.refs(ctx, branchRef(name), pins, "refs/agents/"+trashName+"/"+name)
		if err != nil {
			return err
		}
		tip := refs[branchRef(name)]
		if tip == "" {
			return noBranch(name)
		}
		var script string
		var after map[string]string
		removed, script, after = trashScript(name, tip, r.trashRef(name, refs), refs)
		e, err := r.journal(ctx, Deed{Op: "rm", Agent: name, Text: "remove agent " + name, Refs: after, Notes: notes})
		if err != nil {
			return err
		}
		removed.Entry = e.ID
		return r.updateRefs(ctx, "agent-process: remove "+name, script)
	})
	if err != nil {
		return Removed{}, err
	}
	return removed, nil
}

// trashRef is a name for what is removed now, which no ref has.
func (r *Repository) trashRef(name string, refs map[string]string) string {
	ref := "refs/agents/" + trashName + "/" + name + "/" + r.cfg.Now().UTC().Format("20060102T150405Z")
	taken := func(ref string) bool {
		for have := range refs {
			if have == ref || strings.HasPrefix(have, ref+"-") {
				return true
			}
		}
		return false
	}
	if !taken(ref) {
		return ref
	}
	for n := 2; ; n++ {
		if next := fmt.Sprintf("%s.%d", ref, n); !taken(next) {
			return next
		}
	}
}

// trashScript moves the branch and what was kept beside it, and says what the
// refs will be; the base is in the branch's history, or in nobody's interest,
// and checkpoints are kept by the journal alone.
func trashScript(name, tip, ref string, refs map[string]string) (removed Removed, script string, after map[string]string) {
	removed = Removed{Ref: ref, Tip: tip, UndoCommand: "git branch " + Branch(name) + " " + ref}
	after = map[string]string{ref: tip, branchRef(name): ""}
	for old, id := range refs {
		pin, ok := strings.CutPrefix(old, pinPrefix(name))
		if !ok {
			continue
		}
		after[old] = ""
		if pin == "base" || id == tip || strings.HasPrefix(pin, checkpointName+"/") {
			continue
		}
		to := ref + "-" + strings.ReplaceAll(pin, "/", "-")
		for slices.Contains(removed.More, to) { // heads/a-b and heads/a/b
			to += "-"
		}
		removed.More = append(removed.More, to)
		after[to] = id
	}
	slices.Sort(removed.More)
	var b strings.Builder
	b.WriteString("start\n")
	for to, id := range after {
		if id != "" {
			b.WriteString("create " + to + " " + id + "\n")
		} else {
			b.WriteString("delete " + to + " " + refs[to] + "\n")
		}
	}
	b.WriteString("prepare\ncommit\n")
	return removed, b.String(), after
}

// checkNotCheckedOut refuses to pull a branch from under a worktree.
func (r *Repository) checkNotCheckedOut(name string) error {
	registered, err := r.registered()
	if err != nil {
		return err
	}
	if !r.Bare {
		registered = append(registered, registration{path: r.Top, head: headRef(r.CommonDir)})
	}
	for _, g := range registered {
		if g.head != branchRef(name) {
			continue
		}
		// What stands registered but is gone holds nothing back.
		if _, err := os.Lstat(g.path); err == nil {
			return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("branch %q is checked out in %q", Branch(name), g.path),
				"check out another branch there, or remove it: git worktree remove "+shellQuote(g.path))
		}
	}
	return nil
}
