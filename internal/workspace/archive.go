package workspace

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// The bounds of what Archive reads.
const (
	maxArchiveFile  = 256 << 20
	maxArchiveFiles = 200_000
)

// TreeID is what git calls the tree of a directory of the base commit; empty is
// the root.
func (r *Repository) TreeID(ctx context.Context, base Base, dir string) (string, error) {
	out, err := r.git.run(ctx, r.common("rev-parse", "--verify", "--end-of-options", base.Commit+":"+dir))
	if err != nil {
		return "", fmt.Errorf("directory %q of %s: %w", dir, base.Commit, err)
	}
	id := strings.TrimSpace(string(out))
	if !isObjectID(id) {
		return "", fmt.Errorf("directory %q of %s: git calls it %q", dir, base.Commit, truncate(out, 100))
	}
	return id, nil
}

// Archive gives every file of a directory of the base commit, as git has it and
// with a path relative to that directory: no attribute, filter or configuration
// changes what it holds. Submodules are none.
func (r *Repository) Archive(ctx context.Context, base Base, dir string, file func(TreeFile) error) error {
	tree, err := r.TreeID(ctx, base, dir)
	if err != nil {
		return err
	}
	names := &treeLister{want: func(string) bool { return true }, most: maxArchiveFiles}
	c := r.common("ls-tree", "-r", "-z", "--full-tree", tree)
	c.stdout = names
	if err := r.git.runInto(ctx, c); err != nil || names.err != nil {
		if names.err != nil {
			err = names.err
		}
		return fmt.Errorf("list the files of %s:%s: %w", base.Commit, dir, err)
	}
	if len(names.files) == 0 {
		return nil
	}
	read, write := io.Pipe()
	c = r.common("cat-file", "--batch")
	c.stdin, c.stdout = strings.NewReader(strings.Join(names.ids, "\n")+"\n"), write
	ended := make(chan error, 1)
	go func() {
		err := r.git.runInto(ctx, c)
		ended <- err
		_ = write.CloseWithError(err) // it always succeeds
	}()
	err = names.each(bufio.NewReader(read), file)
	_ = read.CloseWithError(err) // as above; ends git when it has more to say
	if gitErr := <-ended; err == nil && gitErr != nil {
		err = gitErr
	}
	if err != nil {
		return fmt.Errorf("read the files of %s: %w", path.Join(base.Commit, dir), err)
	}
	return nil
}

// each reads the content of what was listed, one file at a time.
func (l *treeLister) each(in *bufio.Reader, file func(TreeFile) error) error {
	for _, f := range l.files {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		words := strings.Fields(line)
		if len(words) != 3 || words[1] != "blob" {
			return fmt.Errorf("object header %q is not understood", line)
		}
		size, err := strconv.Atoi(words[2])
		if err != nil || size < 0 || size > maxArchiveFile {
			return fmt.Errorf("file %q has %q bytes, at most %d are read", f.Path, words[2], maxArchiveFile)
		}
		data := make([]byte, size+1)
		if _, err := io.ReadFull(in, data); err != nil {
			return err
		}
		f.Data = data[:size:size]
		if err := file(f); err != nil {
			return err
		}
	}
	return nil
}
