package workspace

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"agentprocess/internal/execx"
	"agentprocess/internal/sandbox"
)

// opResolve is what the journal calls the rebasing of an agent's branch.
const opResolve = "resolve"

// Names below an agent's own refs: where it was before it began to rebase, and
// what came of rebasings that were put back.
const (
	resolvingTip  = "resolving/tip"
	resolvingBase = "resolving/base"
	unresolved    = "unresolved-"
)

// Refs of the private git directory of an agent that rebases: what it is to
// stand on, and where its work began until now.
const (
	ontoRef = "refs/agent-process/onto"
	fromRef = "refs/agent-process/from"
)

// Place is the commit that an agent's branch is at, and the one where its work
// begins; empty is that there is none.
func (r *Repository) Place(ctx context.Context, name string) (tip, base string, err error) {
	if err := sandbox.ValidateName(name); err != nil {
		return "", "", err
	}
	refs, err := r.refs(ctx, branchRef(name), pinPrefix(name)+"base")
	return refs[branchRef(name)], refs[pinPrefix(name)+"base"], err
}

// ReclaimOnto is Reclaim for an agent that is to rebase its branch onto base.
// Where it is now is pinned in the same step: until [Repository.Resolved] or
// [Repository.PutBack] there is a way back, whatever happens.
func (r *Repository) ReclaimOnto(ctx context.Context, name string, base Base, tip string) (*Claim, error) {
	return r.reclaim(ctx, name, base, tip, func(refs map[string]string) string {
		pins := pinPrefix(name)
		return "create " + pins + resolvingTip + " " + tip + "\ncreate " + pins + resolvingBase + " " + refs[pins+"base"] + "\n"
	})
}

// Resolving reports whether the branch of an agent is being rebased, or a crash
// left it so.
func (r *Repository) Resolving(ctx context.Context, name string) (bool, error) {
	ref := pinPrefix(name) + resolvingTip
	refs, err := r.refs(ctx, ref)
	return refs[ref] != "", err
}

// resolving refuses what wants the branch as it is.
func resolving(name string) error {
	return sandbox.Fail(sandbox.CodeBusy, fmt.Errorf("%s is being rebased", Branch(name)), "wait for it, or take it back: agent-process resolve "+name+" --abort")
}

// Resolved ends a rebasing that came to its end, at tip. The journal has what
// branch and base were, so that undo brings both back.
func (r *Repository) Resolved(ctx context.Context, name, tip string) (Entry, error) {
	var e Entry
	err := r.locked(ctx, func() error {
		refs, err := r.refs(ctx, branchRef(name), strings.TrimSuffix(pinPrefix(name), "/"))
		if err != nil {
			return err
		}
		pins, branch := pinPrefix(name), branchRef(name)
		was, base := refs[pins+resolvingTip], refs[pins+resolvingBase]
		if was == "" || refs[branch] != tip {
			return sandbox.Fail(sandbox.CodeConflict, fmt.Errorf("somebody else moved %s", Branch(name)), "")
		}
		e, err = r.journal(ctx, Deed{
			Op: opResolve, Agent: name, Text: fmt.Sprintf("rebase %s onto %s", Branch(name), refs[pins+"base"][:12]),
			Refs:   map[string]string{branch: tip, pins + "base": refs[pins+"base"]},
			before: map[string]string{branch: was, pins + "base": base},
		})
		if err != nil {
			return err
		}
		return r.updateRefs(ctx, "agent-process: "+e.Text, unpin(name, was, base))
	})
	if err != nil {
		return e, fmt.Errorf("rebase %s: %w", Branch(name), err)
	}
	return e, nil
}

// unpin is the end of a rebasing, in lines of update-ref.
func unpin(name, tip, base string) string {
	return "delete " + pinPrefix(name) + resolvingTip + " " + tip + "\ndelete " + pinPrefix(name) + resolvingBase + " " + base + "\n"
}

// PutBack says what an agent's branch is again.
type PutBack struct {
	Tip  string
	Base string
	// Kept is a ref with what the rebasing had come to; empty when that is
	// nothing.
	Kept string
	// Moved is set when somebody else moved the branch, which was left alone.
	Moved bool
}

// PutBack ends a rebasing that did not come to its end, in one step: the branch
// and the commit where its work begins are what they were. It is false when
// nothing was being rebased.
func (r *Repository) PutBack(ctx context.Context, name string) (PutBack, bool, error) {
	var out PutBack
	err := r.locked(ctx, func() error {
		refs, err := r.refs(ctx, branchRef(name), strings.TrimSuffix(pinPrefix(name), "/"))
		if err != nil {
			return err
		}
		pins, branch := pinPrefix(name), branchRef(name)
		out.Tip, out.Base = refs[pins+resolvingTip], refs[pins+resolvingBase]
		if out.Tip == "" {
			return nil
		}
		script := unpin(name, out.Tip, out.Base) + "update " + pins + "base " + out.Base + "\n"
		switch now := refs[branch]; now {
		case out.Tip:
		case refs[pins+"imported"]: // ours
			out.Kept = freeRef(refs, pins+unresolved)
			script += "update " + branch + " " + out.Tip + " " + now + "\ncreate " + out.Kept + " " + now + "\n"
		case "":
			script += "create " + branch + " " + out.Tip + "\n"
		default:
			out.Moved = true
		}
		return r.updateRefs(ctx, "agent-process: put "+Branch(name)+" back", script)
	})
	if err != nil {
		return out, false, fmt.Errorf("put %s back: %w", Branch(name), err)
	}
	return out, out.Tip != "", nil
}

// PutBack is that of the repository, after which the workspace is at the branch.
func (w *Workspace) PutBack(ctx context.Context) (PutBack, error) {
	out, _, err := w.repo.PutBack(ctx, w.rec.Name)
	if err != nil || out.Moved {
		return out, err
	}
	return out, w.update(func(r *record) { r.Tip = out.Tip })
}

// ground is what an agent's commits are built on: where it started, or what it
// rebases them onto.
func (w *Workspace) ground() string {
	if w.rec.Rebases != "" {
		return w.rec.Base.Commit
	}
	return w.rec.Start.Commit
}

// deep is how many commits of history an agent gets whose history is cut: all of
// its own at least, which it is to rebase.
func (w *Workspace) deep(ctx context.Context) (int, error) {
	if w.rec.Rebases == "" {
		return w.rec.Depth, nil
	}
	own, err := w.repo.git.count(ctx, w.repo.common(), w.rec.Rebases, w.Tip())
	return max(w.rec.Depth, own+1), err
}

// unfinished is what git has in the middle of a rebase, a merge and the like.
const unfinished = `cd "$GIT_DIR" || exit 2
for f in rebase-merge rebase-apply MERGE_HEAD CHERRY_PICK_HEAD REVERT_HEAD; do
	if [ -e "$f" ] || [ -L "$f" ]; then exit 1; fi
done`

// Unfinished reports whether git inside is in the middle of something. It is the
// agent's word: who wants to deceive commits nonsense at once.
func (w *Workspace) Unfinished(ctx context.Context, box Execer) (bool, error) {
	g := &insideGit{box: box, dir: w.rec.Dir, env: w.insideEnv()}
	exit, complaint, err := g.exec(ctx, "", "sh", "-c", unfinished)
	if err == nil && exit > 1 {
		err = fmt.Errorf("look for an unfinished rebase: %s", complaint)
	}
	return exit != 0, err
}

// WhyUnresolved says in a few words what is wrong with a branch that was to be
// rebased; empty when it stands on its new base, has commits, and no mark of a
// conflict that was not there before.
func (w *Workspace) WhyUnresolved(ctx context.Context, tip string) (string, error) {
	d, c, base := w.repo.git, w.repo.common(), w.rec.Base.Commit
	on, err := d.isAncestor(ctx, c, base, tip)
	switch {
	case err != nil:
		return "", err
	case !on:
		return "its branch does not stand on " + base[:12], nil
	case tip == base:
		return "nothing of its work is left", nil
	}
	marks, err := w.repo.conflictMarks(ctx, base, tip)
	if err != nil || len(marks) == 0 {
		return "", err
	}
	before, err := w.repo.conflictMarks(ctx, w.rec.Rebases, w.rec.Start.Commit)
	if err != nil {
		return "", err
	}
	for path := range before { // the agent means it
		delete(marks, path)
	}
	if len(marks) == 0 {
		return "", nil
	}
	return "marks of conflicts are left in " + list(slices.Sorted(maps.Keys(marks))), nil
}

// conflictMarks are the files of tip, as git quotes them, with marks of conflicts
// that base does not have.
func (r *Repository) conflictMarks(ctx context.Context, base, tip string) (map[string]bool, error) {
	c := r.common(safeDiff("-r", "--check", base, tip)...)
	c.config = map[string]string{"core.whitespace": "-blank-at-eol,-blank-at-eof,-space-before-tab"}
	out, err := r.git.run(ctx, c)
	if err != nil && execx.ExitCode(err) != 2 { // 2: it found something
		return nil, fmt.Errorf("look for marks of conflicts: %w", err)
	}
	return parseMarks(out), nil
}

// parseMarks reads lines "path:number: leftover conflict marker".
func parseMarks(out []byte) map[string]bool {
	marks := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		place, found := strings.CutSuffix(strings.TrimSuffix(line, "\n"), ": leftover conflict marker")
		if !found {
			continue
		}
		if i := strings.LastIndexByte(place, ':'); i > 0 {
			marks[place[:i]] = true
		}
	}
	return marks
}

// Stands reports whether a commit has another in its history.
func (r *Repository) Stands(ctx context.Context, tip, on string) (bool, error) {
	return r.git.isAncestor(ctx, r.common(), on, tip)
}
