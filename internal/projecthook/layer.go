package projecthook

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	// maxChange and maxChanges bound what comes back from a hook: each file, and
	// all of them.
	maxChange  = 8 << 20
	maxChanges = 32 << 20
	// maxRefused bounds the names of what does not; maxLooked how many entries
	// of a layer are looked at for them.
	maxRefused = 20
	maxLooked  = 10_000
)

// newLayer makes the two directories of a layer, the agent's own.
func (r *Runner) newLayer() (Layer, error) {
	dir, err := os.MkdirTemp(r.o.Scratch, "layer-*")
	if err != nil {
		return Layer{}, err
	}
	l := Layer{Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}
	for _, name := range []string{l.Upper, l.Work} {
		err := os.Mkdir(name, 0o755) //nolint:gosec // the root of the tree as the hook sees it; above it is 0700
		if err == nil && os.Geteuid() == 0 {
			err = os.Lchown(name, r.o.Identity.UID, r.o.Identity.GID)
		}
		if err != nil {
			return Layer{}, errors.Join(err, os.RemoveAll(dir))
		}
	}
	return l, nil
}

// remove removes a layer that nobody uses any more. Directories that nobody
// may enter, such as the overlay's own, are opened first.
func (l Layer) remove() (err error) {
	dir := filepath.Dir(l.Upper)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	werr := fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && err == nil {
			return root.Chmod(name, 0o700)
		}
		return err
	})
	return errors.Join(werr, root.Close(), os.RemoveAll(dir))
}

// collect reads what a hook changed of the paths, which are absolute inside,
// from the layer above the tree at workspace. Its sandbox must be gone: nothing
// changes meanwhile. What else was changed is named, with why it stays behind.
func collect(upper, workspace string, paths []string) (changes []Change, refused []string, err error) {
	root, err := os.OpenRoot(upper)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	c := &collector{root: root, taken: map[string]bool{}, left: maxChanges}
	for _, p := range paths {
		name, err := filepath.Rel(workspace, filepath.Clean(p))
		if err != nil || !filepath.IsLocal(name) || c.taken[name] {
			continue // not of this tree, or named twice
		}
		c.taken[name] = true
		ch, err := c.take(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // not changed
		case err != nil:
			c.refuse(name, err.Error())
		default:
			ch.Path = filepath.Join(workspace, name)
			changes = append(changes, ch)
		}
	}
	c.others()
	return changes, c.refused, nil
}

// collector reads a layer.
type collector struct {
	root    *os.Root
	taken   map[string]bool // asked for
	left    int             // bytes that may still come back
	refused []string
	more    int // refused besides
}

// take reads one file. No link is followed, also none on the way.
func (c *collector) take(name string) (Change, error) {
	for dir := filepath.Dir(name); dir != "."; dir = filepath.Dir(dir) {
		info, err := c.root.Lstat(dir)
		if err != nil {
			return Change{}, fs.ErrNotExist // nothing below it can have been changed
		}
		if !info.IsDir() {
			return Change{}, fmt.Errorf("%q is no directory any more", dir)
		}
	}
	info, err := c.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Change{}, fs.ErrNotExist
	case err != nil:
		return Change{}, err
	case !info.Mode().IsRegular():
		return Change{}, errors.New("it is " + kind(info.Mode()))
	}
	f, err := c.root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return Change{}, err
	}
	defer func() { _ = f.Close() }() // only read
	if info, err = f.Stat(); err != nil || !info.Mode().IsRegular() {
		return Change{}, errors.Join(errors.New("it is no regular file"), err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxChange+1))
	switch {
	case err != nil:
		return Change{}, err
	case len(data) > maxChange:
		return Change{}, fmt.Errorf("it is longer than %d bytes", maxChange)
	case len(data) > c.left:
		return Change{}, fmt.Errorf("all changes together are more than %d bytes", maxChanges)
	}
	c.left -= len(data)
	return Change{Data: data, Mode: uint32(info.Mode().Perm())}, nil
}

// others names what was changed and was not asked for.
func (c *collector) others() {
	looked := 0
	// Nothing is taken here, so an error costs a name only.
	_ = fs.WalkDir(c.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		looked++
		switch {
		case looked > maxLooked:
			c.refuse(".", "there is more")
			return fs.SkipAll
		case err != nil: // a directory that is closed to us
			c.refuse(name, "it cannot be looked into")
			return fs.SkipDir
		case d.IsDir(), c.taken[name]:
			return nil
		}
		why := "the call did not write it"
		if !d.Type().IsRegular() {
			why += ", and it is " + kind(d.Type())
		}
		c.refuse(name, why)
		return nil
	})
	if c.more > 0 {
		c.refused = append(c.refused, fmt.Sprintf("%d more", c.more))
	}
}

func (c *collector) refuse(name, why string) {
	if len(c.refused) >= maxRefused {
		c.more++
		return
	}
	c.refused = append(c.refused, strings.ReplaceAll(visible(name), "\n", `\n`)+": "+visible(why))
}

// kind says what takes the place of a file in a layer.
func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory now"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link now"
	case m&fs.ModeCharDevice != 0:
		return "removed" // an overlay's whiteout
	default:
		return "no regular file now"
	}
}
