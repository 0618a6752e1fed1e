package workspace

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// maxDepth is how deep RemoveTree descends before it brings what is deeper to
// the top; it bounds the descriptors that are open at a time.
const maxDepth = 64

// RemoveTree removes path and all below it, whatever an agent left there:
// directories without permissions, names that are no text, trees deeper than a
// path can name. Links are removed, never followed. A path that does not exist
// is removed already.
func RemoveTree(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("remove %q: %w", path, err)
	}
	r := &remover{root: root, top: filepath.Base(path)}
	err = r.all()
	if err = errors.Join(err, root.Close()); err != nil {
		return fmt.Errorf("remove %q: %w", path, err)
	}
	return nil
}

// remover empties one directory; what lies too deep is moved up to it first.
type remover struct {
	root  *os.Root // the parent of what is removed
	top   string
	moved int
}

func (r *remover) all() error {
	if err := r.remove(r.root, r.top, r.top, 0); err != nil {
		return err
	}
	for done := 0; done < r.moved; { // which grows while we go
		name := r.movedName(done)
		done++
		if err := r.remove(r.root, name, name, 0); err != nil {
			return err
		}
	}
	return nil
}

func (r *remover) movedName(i int) string { return r.top + ".removing-" + strconv.Itoa(i) }

// remove removes name in dir. path is the same seen from r.root.
func (r *remover) remove(dir *os.Root, name, path string, depth int) error {
	if err := dir.Remove(name); err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil // a file, a link, or an empty directory
	}
	info, err := dir.Lstat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return dir.Remove(name)
	}
	if info.Mode().Perm()&0o700 != 0o700 { // such as an overlay's work directory
		if err := dir.Chmod(name, 0o700); err != nil {
			return err
		}
	}
	if depth == maxDepth {
		up := r.movedName(r.moved)
		if err := r.root.Rename(path, up); err != nil {
			return err
		}
		r.moved++
		return nil
	}
	if err := r.empty(dir, name, path, depth); err != nil {
		return err
	}
	if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// empty removes all entries of the directory name in parent.
func (r *remover) empty(parent *os.Root, name, path string, depth int) (err error) {
	dir, err := parent.OpenRoot(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // somebody else was faster
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	list, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, list.Close()) }()
	for {
		names, err := list.Readdirnames(1024)
		for _, n := range names {
			if err := r.remove(dir, n, filepath.Join(path, n), depth+1); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
