package contained

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"agentprocess/internal/runtime/pidone"
	"agentprocess/internal/sandbox"
)

// writeFiles writes the files of the agent (owned), as the agent, or those of
// nobody, as root.
func writeFiles(files []sandbox.File, owned bool) error {
	for _, f := range files {
		if f.Owned != owned {
			continue
		}
		if !f.Owned && !strings.HasPrefix(f.Path, sandbox.RunDir+"/") {
			return fmt.Errorf("file %q: it is not for PID 1 to write", f.Path)
		}
		parent, err := openDir(path.Dir(f.Path))
		if err != nil {
			return fmt.Errorf("file %q: %w", f.Path, err)
		}
		err = pidone.WriteNew(parent, path.Base(f.Path), f.Data, cmp.Or(f.Mode, 0o444)&0o777)
		pidone.CloseAll(parent)
		if err != nil {
			return fmt.Errorf("file %q: %w", f.Path, err)
		}
	}
	return nil
}

// openDir opens a directory and makes what is missing of it. Links are
// refused: what an agent left in a home of an earlier run must not move a file.
func openDir(name string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(unix.AT_FDCWD, name, &how)
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	parent, err := openDir(path.Dir(name))
	if err != nil {
		return -1, err
	}
	defer pidone.CloseAll(parent)
	if err := unix.Mkdirat(parent, path.Base(name), 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, fmt.Errorf("make directory %q: %w", name, err)
	}
	return unix.Openat2(unix.AT_FDCWD, name, &how)
}
