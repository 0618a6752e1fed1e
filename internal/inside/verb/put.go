package verb

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// put is sandbox.PutVerb. It writes beside the file and renames, so that nobody reads half of it.
func put(name, mode string, from io.Reader, stderr io.Writer) int {
	if err := replace(name, mode, from); err != nil {
		// The status says that it failed; a reason that cannot be written is lost.
		_, _ = fmt.Fprintln(stderr, "agent-process:", err)
		return 1
	}
	return 0
}

func replace(name, mode string, from io.Reader) (err error) {
	bits, err := strconv.ParseUint(mode, 8, 9)
	if err != nil || !filepath.IsAbs(name) || filepath.Clean(name) != name {
		return fmt.Errorf("put %q with mode %q: want a clean absolute path and permission bits", name, mode)
	}
	if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("put %q: it is no regular file any more", name)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".agent-process-*")
	if err != nil {
		return err
	}
	_, werr := io.Copy(f, from)
	err = errors.Join(werr, f.Chmod(fs.FileMode(bits)), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
