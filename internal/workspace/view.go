package workspace

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"agentprocess/internal/sandbox"
)

// View is the agent's tree, as it is now, for another sandbox; at the same
// path, with an empty directory in the place of .git.
type View struct {
	// Mounts show the tree.
	Mounts []sandbox.Mount
	// Changed reads what the other sandbox, which must be closed, changed among
	// paths, relative to the tree or absolute inside; with none, everything. A
	// path that was not changed is left out. It is an error for a view that is
	// not writable.
	Changed func(paths []string) ([]Change, error)
	// Close removes what the other sandbox changed. The sandbox must be closed.
	Close func() error
}

// Change is a file that was changed in a writable view.
type Change struct {
	Path    string // relative to the tree
	Data    []byte
	Mode    fs.FileMode // permission bits
	Removed bool        // then there is no Data
}

// View makes a view of the agent's tree. What the agent changes while it is
// used may or may not show; what is changed in a writable view never shows in
// the agent's tree.
//
// A writable view is an overlay, also of a workspace that is none: where
// overlays cannot be had, the sandbox does not start.
func (w *Workspace) View(writable bool) (View, error) {
	mount := sandbox.Mount{Kind: sandbox.MountBind, Source: w.path(treeName), Target: w.rec.Dir, ReadOnly: true}
	if w.rec.Overlay {
		mount = sandbox.Mount{
			Kind: sandbox.MountOverlay, Lowers: []string{w.path(upperName)}, Lower: w.pristine.tree(), Target: w.rec.Dir, ReadOnly: true,
		}
	}
	if !writable {
		return View{
			Mounts:  []sandbox.Mount{mount},
			Changed: func([]string) ([]Change, error) { return nil, errors.New("the view is not writable") },
			Close:   func() error { return nil },
		}, nil
	}
	dir, err := w.layers()
	if err != nil {
		return View{}, fmt.Errorf("make a view of the workspace of %q: %w", w.rec.Name, err)
	}
	if !w.rec.Overlay {
		mount = sandbox.Mount{Kind: sandbox.MountOverlay, Lower: w.path(treeName), Target: w.rec.Dir}
	}
	mount.ReadOnly, mount.Upper, mount.Work = false, filepath.Join(dir, upperName), filepath.Join(dir, workName)
	layer := viewLayer{upper: mount.Upper, target: w.rec.Dir}
	return View{Mounts: []sandbox.Mount{mount}, Changed: layer.changed, Close: func() error { return RemoveTree(dir) }}, nil
}

// layers makes the two directories that an overlay writes to.
func (w *Workspace) layers() (string, error) {
	dir, err := os.MkdirTemp(w.runDir, "view-")
	if err != nil {
		return "", err
	}
	for _, name := range []string{upperName, workName} {
		layer := filepath.Join(dir, name)
		//nolint:gosec // the root of the tree as the other sandbox sees it
		if err := errors.Join(os.Mkdir(layer, 0o755), w.own(layer)); err != nil {
			return "", errors.Join(err, RemoveTree(dir))
		}
	}
	return dir, nil
}

// viewLayer is the upper layer of a writable view.
type viewLayer struct{ upper, target string }

// The bounds of what Changed reads.
const (
	maxChangedFile  = 8 << 20
	maxChangedBytes = 32 << 20
	maxChangedFiles = 5000
	maxChangedDepth = 256
)

// changed reads what is in the layer.
func (l viewLayer) changed(paths []string) (list []Change, err error) {
	root, err := os.OpenRoot(l.upper)
	if err != nil {
		return nil, fmt.Errorf("read what was changed: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	r := &changeReader{}
	if len(paths) == 0 {
		if err := r.all(root, "", 0); err != nil {
			return nil, fmt.Errorf("read what was changed: %w", err)
		}
		return r.list, nil
	}
	for _, p := range paths {
		rel, ok := l.relative(p)
		if !ok {
			return nil, fmt.Errorf("read what was changed: %q is not in the tree", p)
		}
		if err := r.path(root, rel); err != nil {
			return nil, fmt.Errorf("read what was changed: %w", err)
		}
	}
	return r.list, nil
}

// relative is p seen from the top of the tree.
func (l viewLayer) relative(p string) (string, bool) {
	if path.IsAbs(p) {
		rest, ok := strings.CutPrefix(path.Clean(p), l.target+"/")
		if !ok {
			return "", false
		}
		p = rest
	}
	p = path.Clean(p)
	// What is in the place of .git belongs to no tree.
	return p, p != "." && p != ".git" && !strings.HasPrefix(p, ".git/") && filepath.IsLocal(p)
}

// changeReader reads changed files, with what is too much an error.
type changeReader struct {
	list  []Change
	bytes int64
}

// path reads one path, whose directories must be such.
func (r *changeReader) path(top *os.Root, p string) (err error) {
	if slices.ContainsFunc(r.list, func(c Change) bool { return c.Path == p }) {
		return nil
	}
	dir := top
	parts := strings.Split(p, "/")
	for i, name := range parts[:len(parts)-1] {
		info, err := dir.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // not changed
		case err != nil:
			return err
		case whiteout(info):
			r.list = append(r.list, Change{Path: p, Removed: true})
			return nil
		case !info.IsDir():
			return fmt.Errorf("%q is no directory any more", strings.Join(parts[:i+1], "/"))
		}
		next, err := dir.OpenRoot(name)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, next.Close()) }()
		dir = next
	}
	return r.file(dir, parts[len(parts)-1], p)
}

// all reads everything below a directory.
func (r *changeReader) all(dir *os.Root, at string, depth int) error {
	if depth > maxChangedDepth {
		return fmt.Errorf("%q is deeper than %d directories", at, maxChangedDepth)
	}
	names, err := dirNames(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		info, err := dir.Lstat(name)
		if err != nil {
			return err
		}
		p := path.Join(at, name)
		if p == ".git" {
			continue
		}
		if !info.IsDir() {
			if err := r.file(dir, name, p); err != nil {
				return err
			}
			continue
		}
		next, err := dir.OpenRoot(name)
		if err != nil {
			return err
		}
		if err := errors.Join(r.all(next, p, depth+1), next.Close()); err != nil {
			return err
		}
	}
	return nil
}

// dirNames lists a directory, sorted.
func dirNames(dir *os.Root) (names []string, err error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	names, err = f.Readdirnames(maxChangedFiles + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(names) > maxChangedFiles {
		return nil, fmt.Errorf("more than %d files were changed", maxChangedFiles)
	}
	slices.Sort(names)
	return names, nil
}

// whiteout reports whether an entry of an overlay's upper layer says that what
// is below it is gone: a character device 0/0.
func whiteout(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode()&fs.ModeCharDevice != 0 && st.Rdev == 0
}

// file reads one entry, unless there is none.
func (r *changeReader) file(dir *os.Root, name, p string) error {
	if len(r.list) >= maxChangedFiles {
		return fmt.Errorf("more than %d files were changed", maxChangedFiles)
	}
	info, err := dir.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // not changed
	case err != nil:
		return err
	case whiteout(info):
		r.list = append(r.list, Change{Path: p, Removed: true})
		return nil
	case !info.Mode().IsRegular():
		return fmt.Errorf("%q is no regular file any more", p)
	}
	return r.regular(dir, name, p, info)
}

// regular reads a regular file, and makes sure that it is what was looked at.
func (r *changeReader) regular(dir *os.Root, name, p string, looked fs.FileInfo) (err error) {
	f, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !os.SameFile(looked, info):
		return fmt.Errorf("%q changes while it is read", p)
	case info.Size() > maxChangedFile:
		return fmt.Errorf("%q has %d bytes, more than %d", p, info.Size(), maxChangedFile)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxChangedFile+1))
	if err != nil {
		return err
	}
	if r.bytes += int64(len(data)); len(data) > maxChangedFile || r.bytes > maxChangedBytes {
		return fmt.Errorf("%q is more than is read of a change", p)
	}
	r.list = append(r.list, Change{Path: p, Data: data, Mode: info.Mode().Perm()})
	return nil
}
