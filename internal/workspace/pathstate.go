package workspace

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // git's name for a content
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"agentprocess/internal/execx"
)

// dirMode is the mode of a directory, which is no file of git's.
const dirMode = "040000"

// pathState is a file as git would name it; the zero value is that there is
// none.
type pathState struct{ mode, id string }

// pathStates are files of a worktree, byte for byte, and of its index. Paths
// that are not there are not in it.
type pathStates struct {
	tree, index map[string]pathState
	data        map[string][]byte // by id, of what was read from the tree
}

// look reads what paths are in the worktree and in its index.
func (r *Repository) look(ctx context.Context, paths []string) (*pathStates, error) {
	s := &pathStates{tree: map[string]pathState{}, index: map[string]pathState{}, data: map[string][]byte{}}
	if len(paths) == 0 {
		return s, nil
	}
	if err := r.lookIndex(ctx, paths, s.index); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(r.Here)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // only read
	for _, p := range paths {
		if !filepath.IsLocal(p) || path.Clean(p) != p || hasComponent(strings.ToLower(p), ".git") {
			return nil, fmt.Errorf("%q is no path of a worktree", p)
		}
		mode, data, err := readPath(root, p)
		if err != nil {
			return nil, err
		}
		if mode == "" {
			continue
		}
		id := r.blobID(data)
		s.tree[p] = pathState{mode: mode, id: id}
		s.data[id] = data
	}
	return s, nil
}

// lookIndex reads the entries of paths.
func (r *Repository) lookIndex(ctx context.Context, paths []string, into map[string]pathState) error {
	c := r.here("ls-files", "-s", "-z")
	c.workTree, c.dir = r.Here, r.Here
	out, err := r.git.run(ctx, c)
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, p := range paths {
		wanted[p] = true
	}
	for _, line := range splitPaths(out) {
		f, p, err := listedPath(line, 1) // mode, id, stage
		if err != nil {
			return err
		}
		if !wanted[p] {
			continue
		}
		if f[2] != "0" {
			return fmt.Errorf("%q has a conflict in the index", p)
		}
		into[p] = pathState{mode: f[0], id: f[1]}
	}
	return nil
}

// listedPath reads an entry of `git ls-files -s -z` or `git ls-tree -z`: three
// words, of which one is an object's id, a tab, and a path.
func listedPath(line string, id int) (words []string, path string, err error) {
	head, path, found := strings.Cut(line, "\t")
	words = strings.Fields(head)
	if !found || path == "" || len(words) != 3 || !isObjectID(words[id]) {
		return nil, "", fmt.Errorf("entry %q is not understood", line)
	}
	return words, path, nil
}

// readPath reads a file or link of a worktree as it is; no mode is that there
// is none.
func readPath(root *os.Root, p string) (mode string, data []byte, err error) {
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		info, err := root.Lstat(dir)
		if err == nil && !info.IsDir() || errors.Is(err, fs.ErrNotExist) {
			return "", nil, nil // to git, nothing is beyond a link
		}
	}
	info, err := root.Lstat(p)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return "", nil, nil
	case err != nil:
		return "", nil, err
	case info.IsDir():
		return dirMode, nil, nil
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := root.Readlink(p)
		return linkMode, []byte(target), err
	case !info.Mode().IsRegular():
		return "", nil, fmt.Errorf("%q is no regular file", p)
	}
	mode = fileMode
	if info.Mode().Perm()&0o100 != 0 {
		mode = execMode
	}
	f, err := root.Open(p)
	if err != nil {
		return "", nil, err
	}
	data, err = io.ReadAll(f)
	return mode, data, errors.Join(err, f.Close())
}

// blobID is git's name for a content.
func (r *Repository) blobID(data []byte) string {
	h := sha1.New() //nolint:gosec // git's name for a content
	if r.ObjectFormat == "sha256" {
		h = sha256.New()
	}
	fmt.Fprintf(h, "blob %d\x00", len(data))
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}

// write adds the states below dir to the input of git fast-import.
func (s *pathStates) write(in *bytes.Buffer, dir string) {
	if s == nil {
		return
	}
	for _, p := range slices.Sorted(maps.Keys(s.tree)) {
		f := s.tree[p]
		data, read := s.data[f.id]
		switch {
		case f.mode == dirMode: // no file; a person's own directory is refused later
		case read:
			fmt.Fprintf(in, "M %s inline %s\ndata %d\n", f.mode, quoteC(dir+"/tree/"+p), len(data))
			in.Write(data)
			in.WriteByte('\n')
		default:
			fmt.Fprintf(in, "M %s %s %s\n", f.mode, f.id, quoteC(dir+"/tree/"+p))
		}
	}
	for _, p := range slices.Sorted(maps.Keys(s.index)) {
		fmt.Fprintf(in, "M %s %s %s\n", s.index[p].mode, s.index[p].id, quoteC(dir+"/index/"+p))
	}
}

// quoteC is a path in git's C-style quotes.
func quoteC(p string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(p) + `"`
}

// remembered reads the states that an entry keeps below dir.
func (r *Repository) remembered(ctx context.Context, e Entry, dir string) (*pathStates, error) {
	s := &pathStates{tree: map[string]pathState{}, index: map[string]pathState{}}
	out, err := r.git.run(ctx, r.common("ls-tree", "-r", "-z", "--full-tree", e.Commit, dir+"/"))
	if err != nil {
		return nil, err
	}
	for _, line := range splitPaths(out) {
		f, p, err := listedPath(line, 2) // mode, type, id
		if err != nil {
			return nil, err
		}
		if name, ok := strings.CutPrefix(p, dir+"/tree/"); ok {
			s.tree[name] = pathState{mode: f[0], id: f[2]}
		}
		if name, ok := strings.CutPrefix(p, dir+"/index/"); ok {
			s.index[name] = pathState{mode: f[0], id: f[2]}
		}
	}
	return s, nil
}

// fastImport runs git fast-import in the repository. The report that it leaves
// in the git directory when it fails is removed: its stderr says enough.
func (r *Repository) fastImport(ctx context.Context, in io.Reader) error {
	c := r.common("fast-import", "--quiet", "--force", "--done", "--date-format=raw")
	c.stdin = in
	p, err := execx.Start(ctx, r.git.command(c))
	if err != nil {
		return err
	}
	if err = p.Wait(); err == nil {
		return nil
	}
	report := filepath.Join(r.CommonDir, "fast_import_crash_"+strconv.Itoa(p.PID()))
	if gone := os.Remove(report); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		return errors.Join(err, gone)
	}
	return err
}
