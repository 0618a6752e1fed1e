package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"agentprocess/internal/execx"
)

// includeFile names, in the syntax of gitignore, the ignored files that agents
// are to have too. It is read from the user's main worktree: an agent may have
// written the one in the base commit, and would choose what the next one sees.
const includeFile = ".worktreeinclude"

// The bounds of what .worktreeinclude brings along.
const (
	maxIncludedFiles = 50_000
	maxIncludedBytes = 1 << 30
)

// Included says what .worktreeinclude brought along.
type Included struct {
	// Copied are the files that were copied, relative to the tree.
	Copied []string
	// Skipped are files that match but were left out.
	Skipped []Skipped
	// Unmatched are the patterns that chose no file.
	Unmatched []string
}

// Skipped is a file that was left out, and why.
type Skipped struct{ Path, Why string }

// include copies what .worktreeinclude names from the user's main worktree.
func (w *Workspace) include(ctx context.Context) (inc Included, err error) {
	if w.repo.Bare {
		return Included{}, nil
	}
	from, err := os.OpenRoot(w.repo.Top)
	if errors.Is(err, fs.ErrNotExist) {
		return Included{}, nil
	}
	if err != nil {
		return Included{}, fmt.Errorf("open %q: %w", w.repo.Top, err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	patterns, err := from.ReadFile(includeFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Included{}, nil
	}
	if err != nil {
		return Included{}, fmt.Errorf("read %s: %w", includeFile, err)
	}
	if err := os.WriteFile(w.path("include"), patterns, 0o600); err != nil {
		return Included{}, err
	}
	paths, unmatched, err := w.chosen(ctx, patterns)
	if err != nil {
		return Included{}, fmt.Errorf("apply %s: %w", includeFile, err)
	}
	inc, err = w.copyIncluded(from, paths)
	inc.Unmatched = unmatched
	return inc, err
}

// chosen lists the files of the main worktree that are untracked, ignored, and
// match the patterns, and the patterns that chose none of them.
func (w *Workspace) chosen(ctx context.Context, patterns []byte) (paths, unmatched []string, err error) {
	r := w.repo
	list := r.common("ls-files", "-z", "--others", "--ignored", "--exclude-from="+w.path("include"))
	list.workTree, list.dir = r.Top, r.Top
	matching, err := r.git.run(ctx, list)
	if err != nil {
		return nil, nil, err
	}
	ignored := r.common("check-ignore", "-z", "--stdin")
	ignored.workTree, ignored.dir = r.Top, r.Top
	ignored.stdin = bytes.NewReader(matching)
	if f := r.excludesFile(); f != "" {
		ignored.config = map[string]string{"core.excludesFile": f}
	}
	out, err := r.git.run(ctx, ignored)
	if err != nil && execx.ExitCode(err) != 1 { // 1: none is ignored
		return nil, nil, err
	}
	for p := range strings.SplitSeq(string(out), "\x00") {
		if p != "" && !strings.HasSuffix(p, "/") && filepath.IsLocal(p) {
			paths = append(paths, p)
		}
	}
	unmatched, err = w.unmatched(ctx, patterns, out)
	return paths, unmatched, err
}

// excludesFile is the user's own list of ignored files, which lies outside the
// repository.
func (r *Repository) excludesFile() string {
	home := lookup(r.cfg.Environ, "HOME")
	if f := r.settings.value("core.excludesfile"); f != "" {
		if rest, ok := strings.CutPrefix(f, "~/"); ok {
			return filepath.Join(home, rest)
		}
		return f
	}
	if dir := lookup(r.cfg.Environ, "XDG_CONFIG_HOME"); dir != "" {
		return filepath.Join(dir, "git", "ignore")
	}
	if home != "" {
		return filepath.Join(home, ".config", "git", "ignore")
	}
	return ""
}

// unmatched lists the patterns that decided for none of paths. git itself is
// asked which line decided, in a repository of ours that has no other patterns.
func (w *Workspace) unmatched(ctx context.Context, patterns, paths []byte) ([]string, error) {
	decided := map[int]bool{}
	if len(paths) > 0 {
		c := w.quarantine("check-ignore", "-z", "--stdin", "--verbose", "--no-index")
		c.workTree, c.dir = w.path(quarantineName, "info"), w.path(quarantineName, "info")
		c.config = map[string]string{"core.excludesFile": w.path("include")}
		c.stdin = bytes.NewReader(paths)
		out, err := w.repo.git.run(ctx, c)
		if err != nil && execx.ExitCode(err) != 1 {
			return nil, err
		}
		decided = parseDecided(out)
	}
	var list []string
	number := 0
	for line := range strings.Lines(string(patterns)) {
		number++
		p := strings.TrimSpace(line)
		if p != "" && p[0] != '#' && p[0] != '!' && !decided[number] {
			list = append(list, p)
		}
	}
	return list, nil
}

// parseDecided reads `git check-ignore -z --verbose`: source, line, pattern and
// path, each ended by NUL. It gives the lines.
func parseDecided(out []byte) map[int]bool {
	f := strings.Split(string(out), "\x00")
	lines := map[int]bool{}
	for i := 0; i+3 < len(f); i += 4 {
		if n, err := strconv.Atoi(f[i+1]); err == nil {
			lines[n] = true
		}
	}
	return lines
}

// includer copies files into an agent's tree.
type includer struct {
	w        *Workspace
	from, to *os.Root
	tracked  *os.Root // the base tree: never overwritten
	inc      Included
	bytes    int64
}

// copyIncluded copies paths into the agent's tree.
func (w *Workspace) copyIncluded(from *os.Root, paths []string) (inc Included, err error) {
	target, base := w.path(treeName), w.path(treeName)
	if w.rec.Overlay {
		target, base = w.path(upperName), w.pristine.tree()
	}
	to, err := os.OpenRoot(target)
	if err != nil {
		return Included{}, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	tracked, err := os.OpenRoot(base)
	if err != nil {
		return Included{}, err
	}
	defer func() { err = errors.Join(err, tracked.Close()) }()
	c := &includer{w: w, from: from, to: to, tracked: tracked}
	for _, p := range paths {
		why, err := c.file(p)
		if err != nil {
			return Included{}, fmt.Errorf("copy %q, which %s names: %w", p, includeFile, err)
		}
		if why != "" {
			c.inc.Skipped = append(c.inc.Skipped, Skipped{Path: p, Why: why})
			continue
		}
		c.inc.Copied = append(c.inc.Copied, p)
	}
	return c.inc, nil
}

// file copies one file, or says why not.
func (c *includer) file(p string) (why string, err error) {
	info, err := c.from.Lstat(p)
	if errors.Is(err, fs.ErrNotExist) {
		return "it is gone", nil
	}
	if err != nil {
		return "", err
	}
	if hasComponent(p, ".git") {
		return "it is part of another repository", nil
	}
	if what := c.blocked(p); what != "" {
		return what, nil
	}
	link := info.Mode()&fs.ModeSymlink != 0
	switch {
	case !link && !info.Mode().IsRegular():
		return "it is not a file", nil
	case len(c.inc.Copied) >= maxIncludedFiles:
		return fmt.Sprintf("more than %d files match", maxIncludedFiles), nil
	case !link && c.bytes+info.Size() > maxIncludedBytes:
		return fmt.Sprintf("more than %d MiB match", maxIncludedBytes>>20), nil
	}
	if link {
		return c.link(p)
	}
	c.bytes += info.Size()
	if err := c.parents(p); err != nil {
		return "", err
	}
	return "", c.copy(p, info.Mode().Perm())
}

// blocked says what of the base commit stands where p would go.
func (c *includer) blocked(p string) string {
	parts := strings.Split(p, "/")
	for i := range parts {
		at := strings.Join(parts[:i+1], "/")
		info, err := c.tracked.Lstat(at)
		if err != nil {
			return "" // nothing from here on
		}
		if !info.IsDir() || i == len(parts)-1 {
			return fmt.Sprintf("%q is in the base commit", at)
		}
	}
	return ""
}

// link copies a symbolic link that stays inside the tree.
func (c *includer) link(p string) (why string, err error) {
	target, err := c.from.Readlink(p)
	if err != nil {
		return "", err
	}
	if !staysInside(p, target) {
		return fmt.Sprintf("it is a link to %q, outside the tree", target), nil
	}
	if err := c.parents(p); err != nil {
		return "", err
	}
	if err := c.to.Symlink(target, p); err != nil {
		return "", err
	}
	return "", c.own(p)
}

// staysInside reports whether a link at path, relative to a tree, leads to a
// place in it, as far as the text of the link tells.
func staysInside(path, target string) bool {
	return !filepath.IsAbs(target) && filepath.IsLocal(filepath.Join(filepath.Dir(path), target))
}

// parents makes the directories that p needs.
func (c *includer) parents(p string) error {
	parts := strings.Split(p, "/")
	for i := 1; i < len(parts); i++ {
		dir := strings.Join(parts[:i], "/")
		err := c.to.Mkdir(dir, 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := c.own(dir); err != nil {
			return err
		}
	}
	return nil
}

func (c *includer) copy(p string, mode fs.FileMode) (err error) {
	in, err := c.from.Open(p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := c.to.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	if err := out.Chmod(mode); err != nil {
		return err
	}
	return c.own(p)
}

func (c *includer) own(p string) error {
	if !c.w.mustChown() {
		return nil
	}
	return c.to.Lchown(p, c.w.rec.Owner.UID, c.w.rec.Owner.GID)
}

// hasComponent reports whether a path has a component of that name.
func hasComponent(path, name string) bool {
	for c := range strings.SplitSeq(path, "/") {
		if c == name {
			return true
		}
	}
	return false
}
