package workspace

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"agentprocess/internal/sandbox"
)

// TreeFile is a file as it is in a commit.
type TreeFile struct {
	Path string
	// Mode is git's: 0o100644, 0o100755, or 0o120000 for a symbolic link.
	Mode uint32
	// Data is the content, and of a link the text of its target.
	Data []byte
}

// The bounds of what Files reads.
const (
	maxTreeFile  = maxFile
	maxTreeBytes = 16 << 20
	maxTreeFiles = 5000
)

// Files reads the files of the base commit for which want says yes, in the
// order git has them. Submodules are none. It fails when one is larger than
// 1 MiB, all are larger than 16 MiB, or there are more than 5,000.
//
// The names of all files are listed for that, which takes about 0.1 s for
// 100,000; where it is known which directories matter, FilesBelow is faster.
func (r *Repository) Files(ctx context.Context, base Base, want func(path string) bool) ([]TreeFile, error) {
	return r.FilesBelow(ctx, base, nil, want)
}

// FilesBelow is Files for what is at or below paths, which are names of files
// or directories and no patterns; none means the whole tree. Git opens no tree
// that it need not for that.
func (r *Repository) FilesBelow(ctx context.Context, base Base, paths []string, want func(path string) bool) ([]TreeFile, error) {
	list := &treeLister{want: want}
	c := r.common(append([]string{"ls-tree", "-r", "-z", "--full-tree", base.Commit, "--"}, paths...)...)
	c.stdout = list
	if err := r.git.runInto(ctx, c); err != nil || list.err != nil {
		if list.err != nil {
			err = list.err // which ended git
		}
		return nil, fmt.Errorf("list the files of %s: %w", base.Commit, err)
	}
	if len(list.rest) > 0 {
		return nil, fmt.Errorf("list the files of %s: %q is cut off", base.Commit, truncate(list.rest, 200))
	}
	if err := r.readFiles(ctx, base, list); err != nil {
		return nil, err
	}
	return list.files, nil
}

// treeLister reads `git ls-tree -r -z` as it comes and keeps what is wanted.
type treeLister struct {
	want  func(path string) bool
	files []TreeFile
	ids   []string // of files
	rest  []byte   // an entry that has not ended
	most  int      // files; 0 is maxTreeFiles
	err   error
}

// Write implements io.Writer.
func (l *treeLister) Write(p []byte) (int, error) {
	n := len(p)
	for l.err == nil {
		before, after, ok := bytes.Cut(p, []byte{0})
		if !ok {
			break
		}
		l.err = l.entry(string(append(l.rest, before...)))
		l.rest, p = l.rest[:0], after
	}
	if l.err != nil {
		return 0, l.err
	}
	l.rest = append(l.rest, p...)
	return n, nil
}

// entry reads "mode kind id TAB path".
func (l *treeLister) entry(e string) error {
	head, path, found := strings.Cut(e, "\t")
	f := strings.Split(head, " ")
	if !found || len(f) != 3 || !isObjectID(f[2]) {
		return fmt.Errorf("tree entry %q is not understood", e)
	}
	if f[1] != "blob" || !l.want(path) {
		return nil
	}
	// A tree may hold names that no checkout would, such as "..": what is read
	// here is written elsewhere under its path.
	if !filepath.IsLocal(path) || filepath.Clean(path) != path {
		return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("tree entry %q leads out of the tree", path),
			"no git would check it out: take it out of the commit, or start from another --base")
	}
	mode, err := strconv.ParseUint(f[0], 8, 32)
	if err != nil {
		return fmt.Errorf("tree entry %q: %w", e, err)
	}
	if most := cmp.Or(l.most, maxTreeFiles); len(l.files) == most {
		return tooMuch(fmt.Errorf("%q is one of more than %d files", path, most))
	}
	l.files, l.ids = append(l.files, TreeFile{Path: path, Mode: uint32(mode)}), append(l.ids, f[2])
	return nil
}

func tooMuch(err error) error {
	return sandbox.Fail(sandbox.CodeRepository, err, "such files are read whole; commit fewer or smaller ones there")
}

// readFiles reads the content of what was listed: first the sizes of all, so
// that nothing is read that is too much.
func (r *Repository) readFiles(ctx context.Context, base Base, list *treeLister) error {
	if len(list.ids) == 0 {
		return nil
	}
	ids := strings.Join(list.ids, "\n") + "\n"
	c := r.common("cat-file", "--batch-check=%(objectname) %(objectsize)")
	c.stdin = strings.NewReader(ids)
	sizes, err := r.git.run(ctx, c)
	if err != nil {
		return r.objectsError(base, fmt.Errorf("read files of %s: %w", base.Commit, err))
	}
	if err := list.check(base, sizes); err != nil {
		return err
	}
	out := &limitedBuffer{limit: maxTreeBytes + maxTreeFiles*256}
	c = r.common("cat-file", "--batch")
	c.stdin, c.stdout = strings.NewReader(ids), out
	if err := r.git.runInto(ctx, c); err != nil {
		return fmt.Errorf("read files of %s: %w", base.Commit, err)
	}
	in := bufio.NewReader(&out.Buffer)
	for i := range list.files {
		if list.files[i].Data, err = nextBlob(in); err != nil {
			return fmt.Errorf("read %q of %s: %w", list.files[i].Path, base.Commit, err)
		}
	}
	return nil
}

// check compares the sizes of the files, a line "id size" each, with the
// bounds.
func (l *treeLister) check(base Base, sizes []byte) error {
	lines := strings.Split(strings.TrimSuffix(string(sizes), "\n"), "\n")
	if len(lines) != len(l.files) {
		return fmt.Errorf("sizes of %d files: git gave %d", len(l.files), len(lines))
	}
	total := 0
	for i, line := range lines {
		path := l.files[i].Path
		_, text, _ := strings.Cut(line, " ")
		size, err := strconv.Atoi(text)
		if err != nil || size < 0 { // such as "missing"
			return fmt.Errorf("file %q of %s: git says %q of its size", path, base.Commit, line)
		}
		if size > maxTreeFile {
			return tooMuch(fmt.Errorf("file %q of %s has %d bytes, more than %d", path, base.Commit, size, maxTreeFile))
		}
		if total += size; total > maxTreeBytes {
			return tooMuch(fmt.Errorf("files of %s up to %q have more than %d bytes", base.Commit, path, maxTreeBytes))
		}
	}
	return nil
}

// nextBlob reads one answer of `git cat-file --batch`.
func nextBlob(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	f := strings.Fields(line)
	if len(f) != 3 || f[1] != "blob" {
		return nil, fmt.Errorf("object header %q is not understood", line)
	}
	size, err := strconv.Atoi(f[2])
	if err != nil || size < 0 || size > maxTreeFile {
		return nil, fmt.Errorf("object header %q is not understood", line)
	}
	data := make([]byte, size+1) // and a line break
	if _, err := io.ReadFull(in, data); err != nil {
		return nil, err
	}
	if data[size] != '\n' {
		return nil, errors.New("an object does not end where it should")
	}
	return data[:size:size], nil
}
