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
)

// WorktreePath is where the agent's worktree on the host stands, or would.
func (w *Workspace) WorktreePath() string { return w.repo.WorktreePath(w.rec.Name) }

// AddWorktree makes the real worktree of the agent's branch on the host and
// fills it. It touches nothing that the agent can write, and may run beside
// everything else.
func (w *Workspace) AddWorktree(ctx context.Context) error {
	if err := w.RegisterWorktree(ctx); err != nil {
		return err
	}
	return w.FillWorktree(ctx)
}

// RegisterWorktree makes the worktree without its files, which takes the same
// time for every tree.
func (w *Workspace) RegisterWorktree(ctx context.Context) error {
	w.worktreeMu.Lock()
	defer w.worktreeMu.Unlock()
	path := w.WorktreePath()
	err := w.repo.locked(ctx, func() error { return w.repo.register(ctx, w.rec.Name, path) })
	if err != nil {
		return fmt.Errorf("add worktree %q: %w", path, err)
	}
	return nil
}

// FillWorktree checks out the tip of the branch in a worktree that has no files
// yet.
func (w *Workspace) FillWorktree(ctx context.Context) error {
	w.worktreeMu.Lock()
	defer w.worktreeMu.Unlock()
	r, path := w.repo, w.WorktreePath()
	g, ok, err := r.registrationOf(path)
	if err != nil || !ok {
		return fmt.Errorf("fill worktree %q: it is not registered: %w", path, errors.Join(err, fs.ErrNotExist))
	}
	tip, err := r.git.line(ctx, r.common("rev-parse", "--verify", "-q", branchRef(w.rec.Name)))
	if err != nil {
		return fmt.Errorf("fill worktree %q: %w", path, err)
	}
	// Noted before it is filled: what a crash leaves half filled can be told
	// from what a person did.
	if err := w.update(func(rec *record) { rec.Worktree.Tip = tip }); err != nil {
		return err
	}
	if _, err := r.git.run(ctx, g.call("read-tree", "-m", "-u", tip)); err != nil {
		return fmt.Errorf("fill worktree %q: %w", path, err)
	}
	return nil
}

// call is a run of git in a worktree; filters are blanked and nothing sparse
// applies, as everywhere.
func (g registration) call(args ...string) call {
	return call{
		gitDir: g.admin, workTree: g.path, dir: g.path, args: args,
		config: map[string]string{"checkout.workers": "0", "core.sparseCheckout": "false"},
	}
}

// registrationOf finds the worktree that stands at path.
func (r *Repository) registrationOf(path string) (registration, bool, error) {
	list, err := r.registered()
	if err != nil {
		return registration{}, false, err
	}
	for _, g := range list {
		if g.path == path {
			return g, true, nil
		}
	}
	return registration{}, false, nil
}

// WorktreeUpdate says what UpdateWorktree did.
type WorktreeUpdate struct {
	// Updated is set when the files are those of the branch's tip now.
	Updated bool
	// Kept says why they were left alone, empty when there was nothing to do.
	Kept string
}

// UpdateWorktree brings the worktree's files to the tip of the agent's branch,
// unless a person changed what would be overwritten.
func (w *Workspace) UpdateWorktree(ctx context.Context) (WorktreeUpdate, error) {
	w.worktreeMu.Lock()
	defer w.worktreeMu.Unlock()
	r, path := w.repo, w.WorktreePath()
	g, ok, err := r.registrationOf(path)
	if err != nil || !ok {
		return WorktreeUpdate{}, err
	}
	w.mu.Lock()
	from := w.rec.Worktree.Tip
	w.mu.Unlock()
	switch _, err := os.Lstat(path); {
	case from == "":
		return WorktreeUpdate{Kept: "it was not made by this run"}, nil
	case errors.Is(err, fs.ErrNotExist):
		return WorktreeUpdate{Kept: "somebody removed it"}, nil
	case g.head != branchRef(w.rec.Name):
		return WorktreeUpdate{Kept: "somebody checked out something else in it"}, nil
	}
	to, err := r.git.line(ctx, r.common("rev-parse", "--verify", "-q", branchRef(w.rec.Name)))
	if err != nil {
		return WorktreeUpdate{}, fmt.Errorf("update worktree %q: %w", path, err)
	}
	if to == from {
		return WorktreeUpdate{}, nil
	}
	if err := r.refresh(ctx, g); err != nil {
		return WorktreeUpdate{}, fmt.Errorf("update worktree %q: %w", path, err)
	}
	if err := r.git.retry(ctx, g.call("read-tree", "-m", "-u", from, to), ""); err != nil {
		if execx.ExitCode(err) == 128 && ctx.Err() == nil {
			return WorktreeUpdate{Kept: "somebody changed files in it: " + firstLine(err)}, nil
		}
		return WorktreeUpdate{}, fmt.Errorf("update worktree %q: %w", path, err)
	}
	return WorktreeUpdate{Updated: true}, w.update(func(rec *record) { rec.Worktree.Tip = to })
}

// refresh brings the stat data of a worktree's index up to date.
func (r *Repository) refresh(ctx context.Context, g registration) error {
	err := r.git.retry(ctx, g.call("update-index", "-q", "--refresh"), "")
	if execx.ExitCode(err) == 1 { // some files are changed, which is for others to judge
		return nil
	}
	return err
}

// firstLine is what git said first.
func firstLine(err error) string {
	if e, ok := errors.AsType[*execx.RunError](err); ok && e.Stderr != "" {
		line, _, _ := strings.Cut(e.Stderr, "\n")
		return line
	}
	return err.Error()
}

// WorktreeRemoval says what became of a worktree.
type WorktreeRemoval struct {
	// Removed is set when there is none any more.
	Removed bool
	// Kept says why it stays, and Paths what in it a person made or changed.
	Kept  string
	Paths []string
}

// RemoveWorktree removes the worktree of the agent, when nothing in it is a
// person's.
func (w *Workspace) RemoveWorktree(ctx context.Context) (WorktreeRemoval, error) {
	w.worktreeMu.Lock()
	defer w.worktreeMu.Unlock()
	w.mu.Lock()
	tip := w.rec.Worktree.Tip
	w.mu.Unlock()
	return w.repo.RemoveWorktree(ctx, w.rec.Name, tip)
}

// RemoveWorktree removes the worktree of the agent called name, with no memory
// of the run but, if known, the commit that its files are of. Whatever is in it
// that is in no commit keeps it.
func (r *Repository) RemoveWorktree(ctx context.Context, name, tip string) (result WorktreeRemoval, err error) {
	path := r.WorktreePath(name)
	err = r.locked(ctx, func() error {
		if result, err = r.removeWorktree(ctx, name, path, tip); err != nil {
			return err
		}
		return r.sweep()
	})
	if err != nil {
		return WorktreeRemoval{}, fmt.Errorf("remove worktree %q: %w", path, err)
	}
	return result, nil
}

func (r *Repository) removeWorktree(ctx context.Context, name, path, tip string) (WorktreeRemoval, error) {
	g, ok, err := r.registrationOf(path)
	if err != nil {
		return WorktreeRemoval{}, err
	}
	_, statErr := os.Lstat(path)
	gone := errors.Is(statErr, fs.ErrNotExist)
	switch {
	case !ok && gone:
		return WorktreeRemoval{Removed: true}, nil
	case !ok && r.onlyPointer(path):
		return WorktreeRemoval{Removed: true}, RemoveTree(path)
	case !ok:
		return WorktreeRemoval{Kept: "it is not a worktree of this repository"}, nil
	case g.locked():
		return WorktreeRemoval{Kept: "it is locked: git worktree unlock " + shellQuote(path)}, nil
	case !gone && g.head != branchRef(name):
		return WorktreeRemoval{Kept: "something else than " + Branch(name) + " is checked out in it"}, nil
	}
	if !gone {
		paths, err := r.personal(ctx, name, g, tip)
		if err != nil {
			return WorktreeRemoval{}, err
		}
		if len(paths) > 0 {
			return WorktreeRemoval{Kept: "it holds what is in no commit", Paths: paths}, nil
		}
	}
	return WorktreeRemoval{Removed: true}, r.unregister(g)
}

// personal lists what in a worktree is of none of the commits it may have been
// filled from. One that was never filled has neither files nor an index.
func (r *Repository) personal(ctx context.Context, name string, g registration, tip string) ([]string, error) {
	if _, err := os.Lstat(filepath.Join(g.admin, "index")); errors.Is(err, fs.ErrNotExist) && r.onlyPointer(g.path) {
		return nil, nil
	}
	untracked, index, cleanup, err := r.untracked(ctx, g, tip)
	if err != nil {
		return nil, err
	}
	defer cleanup()
	if len(untracked) > 0 {
		return untracked, nil
	}
	refs, err := r.refs(ctx, branchRef(name), strings.TrimSuffix(pinPrefix(name), "/"))
	if err != nil {
		return nil, err
	}
	candidates := []string{tip, refs[branchRef(name)], refs[pinPrefix(name)+"base"], refs[pinPrefix(name)+"imported"]}
	var first []string
	for _, commit := range candidates {
		if commit == "" {
			continue
		}
		changed, err := r.changedFrom(ctx, g, index, commit)
		if err != nil {
			return nil, err
		}
		if len(changed) == 0 {
			return nil, nil
		}
		if first == nil {
			first = changed
		}
	}
	return first, nil
}

// untracked lists the files of a worktree that no index knows, ignored ones
// too. A worktree that a crash left without an index is given one of its own.
func (r *Repository) untracked(ctx context.Context, g registration, tip string) (paths []string, index string, cleanup func(), err error) {
	cleanup = func() {}
	if _, err := os.Lstat(filepath.Join(g.admin, "index")); errors.Is(err, fs.ErrNotExist) {
		index = filepath.Join(g.admin, "agent-process-index")
		cleanup = func() { _ = os.Remove(index) } // gone already with the worktree, or harmless
		commit := firstOf(tip, "HEAD")
		c := g.call("read-tree", commit)
		c.index = index
		if _, err := r.git.run(ctx, c); err != nil {
			return nil, "", cleanup, err
		}
	}
	c := g.call("ls-files", "-z", "--others", "--directory", "--no-empty-directory")
	c.index = index
	out, err := r.git.run(ctx, c)
	return splitPaths(out), index, cleanup, err
}

// changedFrom lists files of a worktree, and entries of its index, that are not
// as in commit. What is missing is not listed: the commit has it.
func (r *Repository) changedFrom(ctx context.Context, g registration, index, commit string) ([]string, error) {
	c := g.call("update-index", "-q", "--refresh")
	c.index = index
	if err := r.git.retry(ctx, c, ""); err != nil && execx.ExitCode(err) != 1 {
		return nil, err
	}
	var paths []string
	for _, args := range [][]string{{"diff-index", "--cached"}, {"diff-index"}} {
		c.args = append(args, "-z", "--name-only", "--diff-filter=d", "--ignore-submodules=none", "--no-ext-diff", "--no-textconv", commit, "--")
		out, err := r.git.run(ctx, c)
		if err != nil {
			return nil, err
		}
		paths = append(paths, splitPaths(out)...)
	}
	return paths, nil
}

// splitPaths reads paths that end with NUL.
func splitPaths(out []byte) []string {
	s := strings.TrimSuffix(string(out), "\x00")
	if s == "" {
		return nil
	}
	return strings.Split(s, "\x00")
}
