package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"agentprocess/internal/execx"
	"agentprocess/internal/sandbox"
)

// approach is what a person has checked out, and an agent's work beside it.
type approach struct {
	r    *Repository
	name string
	tip  string // of the agent's branch
	base string // where its work begins
	head string // the commit that is checked out
	ref  string // the branch of HEAD, empty when it is detached
	// based is set when head has base in its history, so that a merge brings
	// nothing but the agent's work.
	based bool
}

// onto is what is checked out, in a word.
func (a *approach) onto() string {
	if a.ref == "" {
		return "the detached HEAD at " + a.head[:12]
	}
	return strings.TrimPrefix(a.ref, "refs/heads/")
}

// approach looks at both sides. The repository's lock is held.
func (r *Repository) approach(ctx context.Context, name string) (*approach, error) {
	if err := sandbox.ValidateName(name); err != nil {
		return nil, err
	}
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	a := &approach{r: r, name: name}
	refs, err := r.refs(ctx, branchRef(name), pinPrefix(name)+"base", pinPrefix(name)+resolvingTip)
	if err != nil {
		return nil, err
	}
	if refs[pinPrefix(name)+resolvingTip] != "" {
		return nil, resolving(name)
	}
	if a.tip = refs[branchRef(name)]; a.tip == "" {
		return nil, noBranch(name)
	}
	if err := r.checkHere(); err != nil {
		return nil, err
	}
	if err := a.lookAtHead(ctx); err != nil {
		return nil, err
	}
	a.base = refs[pinPrefix(name)+"base"]
	if a.base == "" { // a branch of that name that somebody made
		a.base, err = r.git.line(ctx, r.common("merge-base", a.head, a.tip))
		if err != nil {
			return nil, fmt.Errorf("%s and %s have no history in common: %w", a.onto(), Branch(name), err)
		}
	}
	a.based, err = r.git.isAncestor(ctx, r.common(), a.base, a.head)
	return a, err
}

// approachAt is approach for a branch that must be at tip, if one is given.
func (r *Repository) approachAt(ctx context.Context, name, tip string) (*approach, error) {
	a, err := r.approach(ctx, name)
	if err == nil && tip != "" && a.tip != tip {
		err = sandbox.Fail(sandbox.CodeConflict, fmt.Errorf("%s has moved to %s since it was looked at", Branch(name), a.tip[:12]), "nothing was changed; look at what is new, and try again")
	}
	return a, err
}

// checkHere refuses where a person is in the middle of something, and where no
// worktree would follow.
func (r *Repository) checkHere() error {
	if r.Here == "" && !r.Bare {
		return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("%q is not in a worktree", r.GitDir), "go to the files: cd "+shellQuote(r.Top))
	}
	for file, what := range map[string]string{
		"MERGE_HEAD": "a merge", "rebase-merge": "a rebase", "rebase-apply": "a rebase", "CHERRY_PICK_HEAD": "a cherry-pick", "REVERT_HEAD": "a revert",
	} {
		if _, err := os.Lstat(filepath.Join(r.GitDir, file)); !errors.Is(err, fs.ErrNotExist) {
			return sandbox.Fail(sandbox.CodeConflict, fmt.Errorf("%q is in the middle of %s", firstOf(r.Here, r.GitDir), what), "finish or abort it first: git status")
		}
	}
	return nil
}

// lookAtHead finds what is checked out.
func (a *approach) lookAtHead(ctx context.Context) error {
	r := a.r
	ref, err := r.git.line(ctx, r.here("symbolic-ref", "-q", "HEAD"))
	if err != nil && execx.ExitCode(err) != 1 {
		return fmt.Errorf("look at HEAD of %q: %w", r.GitDir, err)
	}
	a.ref = ref
	if a.head, err = r.git.line(ctx, r.here("rev-parse", "--verify", "-q", "HEAD^{commit}")); err != nil {
		return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("%q has no commit on %s yet", firstOf(r.Here, r.GitDir), strings.TrimPrefix(ref, "refs/heads/")),
			"git switch --create NAME "+Branch(a.name)+" starts a branch at the agent's work")
	}
	if r.Here != "" || a.ref == "" {
		return nil
	}
	list, err := r.registered() // a bare repository: its HEAD may be checked out elsewhere
	if err != nil {
		return err
	}
	for _, g := range list {
		if g.head == a.ref {
			return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("%s is checked out in %q", a.onto(), g.path), "run this there: cd "+shellQuote(g.path))
		}
	}
	return nil
}

// deed is what a move of the person's HEAD is, for the journal.
func (a *approach) deed(op, text, to string, t *transition) Deed {
	d := Deed{Op: op, Agent: a.name, Text: text, Refs: map[string]string{}, Paths: t.paths(), Notes: map[string]string{noteTree: t.to}}
	if a.r.Here == "" {
		d.Paths = nil
	}
	switch {
	case to == a.head:
	case a.ref == "":
		d.Refs["HEAD"] = to
	default:
		d.Refs[a.ref] = to
	}
	return d
}

// moveHead moves what is checked out to another commit.
func (a *approach) moveHead(ctx context.Context, op, to string) error {
	c := a.r.here("update-ref", "-m", "agent-process "+op+" "+Branch(a.name), "HEAD", to, a.head)
	if err := a.r.git.retry(ctx, c, ""); err != nil {
		return fmt.Errorf("move %s: %w", a.onto(), err)
	}
	return nil
}

// carry brings files, index and HEAD to another commit: written down first, so
// that what a crash leaves half done can be told and taken back.
func (a *approach) carry(ctx context.Context, d Deed, t *transition, to string) (Entry, error) {
	e, err := a.r.journal(ctx, d)
	if err != nil {
		return e, err
	}
	if err := t.run(ctx); err != nil {
		return e, errors.Join(err, a.r.settle(ctx))
	}
	if to != a.head {
		if err := a.moveHead(ctx, d.Op, to); err != nil {
			return e, errors.Join(err, a.r.settle(ctx))
		}
	}
	return e, a.r.seal(ctx, e)
}
