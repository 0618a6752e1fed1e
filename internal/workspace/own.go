package workspace

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"agentprocess/internal/sandbox"
)

// copyFile copies a file of ours to a path that must not exist.
func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy file: %w", err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("copy file: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return fmt.Errorf("copy %q: %w", from, err)
	}
	return nil
}

// readableBy reports whether owner, who belongs to no other group, can read
// object directories that may be somebody else's.
func readableBy(dirs []string, owner sandbox.Identity) bool {
	for _, dir := range dirs {
		paths := []string{dir, filepath.Join(dir, "pack")}
		for _, pattern := range []string{"pack/*.pack", "pack/*.idx", "[0-9a-f][0-9a-f]"} {
			more, err := filepath.Glob(filepath.Join(escapeGlob(dir), pattern))
			if err != nil {
				return false
			}
			paths = append(paths, more...)
		}
		for _, p := range paths {
			if !pathReadable(p, owner) {
				return false
			}
		}
	}
	return true
}

// escapeGlob makes a path a pattern that matches it alone.
func escapeGlob(path string) string {
	var b []byte
	for _, c := range []byte(path) {
		if c == '*' || c == '?' || c == '[' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return string(b)
}

func pathReadable(path string, owner sandbox.Identity) bool {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		return false
	}
	want := fs.FileMode(0o4)
	if info.IsDir() {
		want = 0o5
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return false
	case int(st.Uid) == owner.UID:
		want <<= 6
	case int(st.Gid) == owner.GID:
		want <<= 3
	}
	return info.Mode().Perm()&want == want
}
