package inside

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// executable reports whether programs can be run from a directory.
func executable(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("look at %q: %w", dir, err)
	}
	if st.Flags&unix.ST_NOEXEC != 0 {
		return errNoExec
	}
	return nil
}
