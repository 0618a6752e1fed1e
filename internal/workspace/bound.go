package workspace

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// refusal is what one import keeps back.
type refusal struct {
	// tip is the end of the branch as the agent has it, or of what it left
	// uncommitted on that; empty when only other branches are refused.
	tip string
	// from is the last commit before tip that is not refused.
	from     string
	snapshot bool              // tip is a snapshot of what is uncommitted
	more     map[string]string // other refs of the agent, as in incoming
	commits  []HeldCommit
	cut      []HeldFile // in a commit of ours at the end of tip
	count    int
}

// bound takes what is outside the scope out of in: the branch ends before it,
// and other branches that have it are left out. It gives what that was, nil
// when nothing.
func (w *Workspace) bound(ctx context.Context, in *incoming) (*refusal, error) {
	if w.scope.Everything() {
		return nil, nil
	}
	j, err := w.newJudge(ctx, w.scope, in.tips())
	if err != nil {
		return nil, err
	}
	ref := &refusal{more: map[string]string{}}
	tip := in.tip
	if !j.fits(tip) {
		if in.tip, err = w.landing(ctx, j, tip); err != nil {
			return nil, err
		}
		if j.commits[tip] != nil {
			ref.tip, ref.from = tip, firstOf(j.last(tip), w.rec.Start.Commit)
		}
	}
	ref.takeSnapshot(j, in, tip)
	for name, id := range in.more {
		if j.refused(id) {
			ref.more[name] = id
			delete(in.more, name)
		}
	}
	if ref.tip == "" && len(ref.more) == 0 {
		return nil, nil
	}
	return ref, w.describeRefusal(ctx, j, ref, in)
}

// landing is where the branch ends when tip is refused. It does not go back
// for that: what is published already stays.
func (w *Workspace) landing(ctx context.Context, j *judge, tip string) (string, error) {
	last := j.last(tip)
	if last == "" {
		return w.Tip(), nil
	}
	behind, err := w.isAncestor(ctx, last, w.Tip())
	if err != nil {
		return "", fmt.Errorf("compare with what was imported: %w", err)
	}
	if behind {
		return w.Tip(), nil
	}
	return last, nil
}

// takeSnapshot takes what was left uncommitted because it is outside the scope
// out of in. It is the agent's to write, and so judged like everything else.
func (ref *refusal) takeSnapshot(j *judge, in *incoming, tip string) {
	id := in.more[outsideName]
	c := j.commits[id]
	switch {
	case c == nil || !c.refused: // nothing, or nothing that would not be there
		delete(in.more, outsideName)
	case len(c.parents) == 1 && c.parents[0] == tip:
		delete(in.more, outsideName)
		ref.from = firstOf(ref.from, tip)
		ref.tip, ref.snapshot = id, true
	}
}

// maxHeldCommits is how many commits of a refusal are described.
const maxHeldCommits = 50

// describeRefusal lists the commits that do not come home.
func (w *Workspace) describeRefusal(ctx context.Context, j *judge, ref *refusal, in *incoming) error {
	home, held := map[string]bool{}, map[string]bool{}
	j.mark(home, in.tips()...)
	j.mark(held, ref.tip)
	for _, id := range ref.more {
		j.mark(held, id)
	}
	for _, c := range j.order {
		if !held[c.id] || home[c.id] {
			continue
		}
		if ref.count++; ref.count <= maxHeldCommits {
			ref.commits = append(ref.commits, HeldCommit{ID: c.id, Outside: c.strays.paths, Count: c.strays.count})
		}
	}
	return w.subjects(ctx, ref.commits)
}

// mark marks the new commits that ids have in their history.
func (j *judge) mark(seen map[string]bool, ids ...string) {
	for todo := ids; len(todo) > 0; {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if c := j.commits[id]; c != nil && !seen[id] {
			seen[id] = true
			todo = append(todo, c.parents...)
		}
	}
}

// subjects fills in the subjects of commits.
func (w *Workspace) subjects(ctx context.Context, commits []HeldCommit) error {
	args := []string{"rev-list", "--no-walk=unsorted", "--no-commit-header", "--format=%H %<(200,trunc)%s"}
	for _, c := range commits {
		args = append(args, c.ID)
	}
	out, err := w.repo.git.run(ctx, w.quarantine(args...))
	if err != nil {
		return fmt.Errorf("read what is held: %w", err)
	}
	return fillSubjects(out, commits)
}

// fillSubjects reads lines of a commit and its subject.
func fillSubjects(out []byte, commits []HeldCommit) error {
	for line := range strings.Lines(string(out)) {
		id, subject, _ := strings.Cut(line, " ")
		i := slices.IndexFunc(commits, func(c HeldCommit) bool { return c.ID == id })
		if i < 0 {
			return fmt.Errorf("commit line %q is not understood", line)
		}
		commits[i].Subject = strings.TrimSpace(subject)
	}
	return nil
}
