package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"agentprocess/internal/execx"
	"agentprocess/internal/sandbox"
)

// transition brings the person's worktree and index from the tree of their
// HEAD to another one. It is planned before anything is written, and refused
// when it would touch a byte that is in no commit: git itself would overwrite
// files that are ignored, or that somebody told it to assume unchanged.
type transition struct {
	r        *Repository
	from, to string // commits or trees
	changes  []change
	goes     map[string]bool // paths that from has and to has not
}

// newTransition plans one.
func (r *Repository) newTransition(ctx context.Context, from, to string) (*transition, error) {
	out, err := r.git.run(ctx, r.common(safeDiff("-r", "-z", "--raw", "--no-abbrev", "--no-renames", from, to)...))
	if err != nil {
		return nil, fmt.Errorf("compare %s with %s: %w", from, to, err)
	}
	entries, err := parseDiff(out)
	if err != nil {
		return nil, err
	}
	t := &transition{r: r, from: from, to: to, changes: entries[0].changes, goes: map[string]bool{}}
	for _, c := range t.changes {
		if c.newMode == noMode {
			t.goes[c.path] = true
		}
	}
	return t, nil
}

// paths are all that it writes.
func (t *transition) paths() []string {
	paths := make([]string, len(t.changes))
	for i, c := range t.changes {
		paths[i] = c.path
	}
	return paths
}

// check refuses what would touch a person's work.
func (t *transition) check(ctx context.Context) error {
	if t.r.Here == "" || len(t.changes) == 0 {
		return nil
	}
	dirty, err := t.r.dirtyPaths(ctx)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(t.r.Here)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // only read
	var clashes []string
	clash := func(p, why string) { clashes = append(clashes, fmt.Sprintf("%s (%s)", p, why)) }
	var unwatched []change
	for _, c := range t.changes {
		why := dirty[c.path]
		if why == "" && c.oldMode == noMode {
			why = t.inTheWay(root, c.path)
		}
		if why != "" {
			clash(c.path, why)
		} else if c.oldMode != noMode {
			unwatched = append(unwatched, c)
		}
	}
	if err := t.checkUnwatched(ctx, root, unwatched, clash); err != nil {
		return err
	}
	if len(clashes) == 0 {
		return nil
	}
	slices.Sort(clashes)
	return sandbox.Fail(sandbox.CodeConflict, fmt.Errorf("in %q this would overwrite what is in no commit: %s", t.r.Here, list(clashes)),
		"nothing was changed; commit it, or put it aside (git stash --include-untracked), and try again")
}

// inTheWay says what stands where a file is to be made.
func (t *transition) inTheWay(root *os.Root, p string) string {
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		info, err := root.Lstat(dir)
		if err == nil && !info.IsDir() && !t.goes[dir] {
			return "a file of yours is where its directory would be"
		}
		if err == nil && !info.IsDir() {
			return "" // what is there goes, and is looked at by itself
		}
	}
	info, err := root.Lstat(p)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return ""
	case err != nil:
		return err.Error()
	case !info.IsDir():
		return "a file of yours that git does not track"
	}
	found := errors.New("found")
	err = fs.WalkDir(root.FS(), p, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !t.goes[name] {
			return found
		}
		return err
	})
	if err != nil {
		return "files of yours are below it"
	}
	return ""
}

// dirtyPaths are the paths whose index or file differs from HEAD, with a word
// for it, as git sees them.
func (r *Repository) dirtyPaths(ctx context.Context) (map[string]string, error) {
	out, err := r.git.run(ctx, r.inTree("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=no", "--ignore-submodules=dirty"))
	if err != nil {
		return nil, fmt.Errorf("look for uncommitted changes in %q: %w", r.Here, err)
	}
	dirty := map[string]string{}
	for _, e := range splitPaths(out) {
		if len(e) < 4 {
			continue
		}
		why := "changed"
		switch {
		case e[0] == 'U' || e[1] == 'U' || e[:2] == "AA" || e[:2] == "DD":
			return nil, sandbox.Fail(sandbox.CodeConflict, fmt.Errorf("%q has conflicts that are not resolved, such as %q", r.Here, e[3:]),
				"finish what you are merging first: git status")
		case e[0] != ' ':
			why = "staged"
		case e[1] == 'D':
			why = "deleted"
		}
		dirty[e[3:]] = why
	}
	return dirty, nil
}

// checkUnwatched finds files that git was told not to look at (assume-unchanged,
// skip-worktree) and that are not as in HEAD.
func (t *transition) checkUnwatched(ctx context.Context, root *os.Root, changes []change, clash func(p, why string)) error {
	if len(changes) == 0 {
		return nil
	}
	out, err := t.r.git.run(ctx, t.r.inTree("ls-files", "-v", "-z"))
	if err != nil {
		return err
	}
	unwatched := map[string]bool{}
	for _, e := range splitPaths(out) {
		if len(e) > 2 && e[0] != 'H' {
			unwatched[e[2:]] = true
		}
	}
	for _, c := range changes {
		if !unwatched[c.path] {
			continue
		}
		_, data, err := readPath(root, c.path)
		if err != nil {
			return err
		}
		if data != nil && t.r.blobID(data) != c.oldID {
			clash(c.path, "changed, though git is told not to look")
		}
	}
	return nil
}

// run writes index and files. git checks once more that it overwrites nothing
// that it knows of.
func (t *transition) run(ctx context.Context) error {
	if t.r.Here == "" || len(t.changes) == 0 {
		return nil
	}
	if err := t.r.git.retry(ctx, t.r.inTree("update-index", "-q", "--refresh"), ""); err != nil && execx.ExitCode(err) != 1 {
		return fmt.Errorf("update the index of %q: %w", t.r.Here, err)
	}
	if err := t.r.git.retry(ctx, t.r.inTree("read-tree", "-m", "-u", t.from, t.to), ""); err != nil {
		return fmt.Errorf("update the files of %q: %w", t.r.Here, err)
	}
	return nil
}

// filtered are the paths that get a filter driver by the attributes there are
// now. None was run: their content is as it is committed.
func (t *transition) filtered(ctx context.Context) ([]string, error) {
	if t.r.Here == "" || len(t.r.git.filters) == 0 || len(t.changes) == 0 {
		return nil, nil
	}
	var in strings.Builder
	for _, c := range t.changes {
		if c.newMode == fileMode || c.newMode == execMode {
			in.WriteString(c.path + "\x00")
		}
	}
	c := t.r.inTree("check-attr", "-z", "--stdin", "filter")
	c.stdin = strings.NewReader(in.String())
	out, err := t.r.git.run(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("look for filters of %q: %w", t.r.Here, err)
	}
	var paths []string
	for f := range slices.Chunk(splitPaths(out), 3) {
		if len(f) == 3 && slices.Contains(t.r.git.filters, f[2]) {
			paths = append(paths, f[0])
		}
	}
	return paths, nil
}
