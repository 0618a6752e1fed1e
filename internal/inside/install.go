package inside

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// The files of a platform's directory: the program, and a name for its content
// that costs nothing to know at run time.
const (
	programFile = "agent-process-inside"
	idFile      = "id"
)

// Install gives the path of the small program below dir, and writes it there
// the first time. It is empty when this build carries none or dir cannot hold
// programs; the caller then runs itself.
func Install(dir string) (string, error) {
	id, err := programs.ReadFile("programs/" + platform + "/" + idFile)
	if err != nil {
		return "", nil //nolint:nilerr // a build without it
	}
	name := filepath.Join(dir, "inside-"+string(bytes.TrimSpace(id)))
	if ours(name) {
		return name, nil
	}
	if err := write(dir, name); err != nil {
		if unusable(err) {
			return "", nil
		}
		return "", fmt.Errorf("install the program that runs inside sandboxes: %w", err)
	}
	removeOlder(dir, name)
	return name, nil
}

// ours reports whether name is a program that we, and nobody else, could have
// written: names appear only when their content is whole.
func ours(name string) bool {
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil {
		return false
	}
	return st.Mode == unix.S_IFREG|programMode && int(st.Uid) == os.Geteuid()
}

// programMode lets the agent, who may be another user than the one that runs
// the supervisor, execute it.
const programMode = 0o555

// errNoExec says that programs cannot be run from a directory.
var errNoExec = errors.New("mounted noexec")

func write(dir, name string) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := executable(dir); err != nil {
		return err
	}
	data, err := programs.ReadFile("programs/" + platform + "/" + programFile)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "inside-*.part")
	if err != nil {
		return err
	}
	_, werr := f.Write(data)
	err = errors.Join(werr, f.Chmod(programMode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// unusable reports whether err says that the directory is no place for the
// program, rather than that something is wrong.
func unusable(err error) bool {
	return errors.Is(err, errNoExec) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// removeOlder removes what earlier versions left. A sandbox that runs one of
// them keeps it by its open file.
func removeOlder(dir, name string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // it costs some space
	}
	for _, e := range entries {
		older := strings.HasPrefix(e.Name(), "inside-") && !strings.HasSuffix(e.Name(), ".part")
		if older && filepath.Join(dir, e.Name()) != name {
			_ = os.Remove(filepath.Join(dir, e.Name())) // it costs some space
		}
	}
}
