package pidone

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// WriteNew writes a file that replaces whatever had its name.
func WriteNew(parent int, name string, data []byte, mode uint32) error {
	if strings.Contains(name, "/") || name == "." || name == ".." {
		return fmt.Errorf("name %q: %w", name, unix.EINVAL)
	}
	flags := unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(parent, name, flags, mode)
	if errors.Is(err, unix.EEXIST) {
		if err := unix.Unlinkat(parent, name, 0); err != nil {
			return fmt.Errorf("replace: %w", err)
		}
		fd, err = unix.Openat(parent, name, flags, mode)
	}
	if err != nil {
		return err
	}
	defer CloseAll(fd)
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}
