package pidone

import (
	"errors"
	"fmt"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// Access rights in groups.
const (
	rightsRead  = ll.AccessFSExecute | ll.AccessFSReadFile | ll.AccessFSReadDir
	rightsFile  = ll.AccessFSExecute | ll.AccessFSReadFile | ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSIoctlDev
	rightsWrite = ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSRemoveDir | ll.AccessFSRemoveFile |
		ll.AccessFSMakeDir | ll.AccessFSMakeReg | ll.AccessFSMakeSock | ll.AccessFSMakeFifo | ll.AccessFSMakeSym | ll.AccessFSRefer
	rightsDevice = ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSIoctlDev
)

// LandlockABI is what the kernel offers; 0 is nothing. It is asked by calling
// it: some kernels have it without listing it.
func LandlockABI() int {
	abi, err := ll.LandlockGetABIVersion()
	if err != nil || abi < 0 {
		return 0
	}
	return abi
}

// LandlockUsable reports whether an ABI is one that we use.
func LandlockUsable(abi int) bool { return handledRights(abi) != 0 }

// handledRights are the file rights of an ABI. ABI 1 is left out: without
// REFER every rename between directories would fail.
func handledRights(abi int) uint64 {
	switch {
	case abi < 2:
		return 0
	case abi < 3:
		return 1<<14 - 1
	case abi < 5:
		return 1<<15 - 1
	default:
		return 1<<16 - 1
	}
}

// restrict puts the calling thread under Landlock: everything may be read,
// the named places may be written. It is one ruleset with its scopes: a second
// layer would forbid every rename between directories.
func restrict(writable []string) (int, error) {
	abi := LandlockABI()
	rights := handledRights(abi)
	if rights == 0 {
		return 0, nil
	}
	attr := ll.RulesetAttr{HandledAccessFS: rights}
	if abi >= 6 {
		attr.Scoped = ll.ScopeAbstractUnixSocket | ll.ScopeSignal
	}
	fd, err := ll.LandlockCreateRuleset(&attr, 0)
	if err != nil {
		return 0, fmt.Errorf("landlock ruleset: %w", err)
	}
	defer CloseAll(fd)
	if err := allowPath(fd, "/", rightsRead&rights); err != nil {
		return 0, err
	}
	// Not below /proc: with /proc/PID/mem a program would write the memory of
	// another of the same user, the agent's CLI before all.
	if err := allowPath(fd, "/dev", (rightsRead|rightsDevice)&rights); err != nil {
		return 0, err
	}
	for _, name := range writable {
		if err := allowPath(fd, name, (rightsRead|rightsWrite)&rights); err != nil {
			return 0, err
		}
	}
	if err := ll.LandlockRestrictSelf(fd, 0); err != nil {
		return 0, fmt.Errorf("landlock: %w", err)
	}
	return abi, nil
}

// allowPath gives rights to what is below name, or to the file it is.
func allowPath(ruleset int, name string, rights uint64) error {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("landlock rule for %q: %w", name, err)
	}
	defer CloseAll(fd)
	dir, err := isDir(fd)
	if err != nil {
		return fmt.Errorf("landlock rule for %q: %w", name, err)
	}
	if !dir {
		rights &= rightsFile
	}
	rule := ll.PathBeneathAttr{AllowedAccess: rights, ParentFd: fd}
	if err := ll.LandlockAddPathBeneathRule(ruleset, &rule, 0); err != nil {
		return fmt.Errorf("landlock rule for %q: %w", name, err)
	}
	return nil
}

// isDir reports whether an open descriptor is a directory.
func isDir(fd int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, err
	}
	return st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}
