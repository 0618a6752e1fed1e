package pidone

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// lockThread gives up, on the calling thread and so for every program it
// starts, all that an agent must not have. It gives the Landlock ABI in force.
func lockThread(s Setup) (int, error) {
	if err := s.Limits.pin(); err != nil {
		return 0, Step("limits", err)
	}
	if s.CgroupNamespace {
		if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil && !errors.Is(err, unix.EINVAL) {
			return 0, Step("cgroup namespace", err)
		}
	}
	// A session keyring of the host's would be shared otherwise. The filter
	// forbids every use of keys, so a full quota is no reason to fail.
	_, _, _ = unix.Syscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0)
	for c := uintptr(0); ; c++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); errors.Is(err, unix.EINVAL) {
			break // beyond the last one
		} else if err != nil {
			return 0, Step("capabilities", err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, Step("no new privileges", err)
	}
	abi, err := restrict(s.Writable)
	if err != nil {
		return 0, Step("landlock", err)
	}
	if err := dropCapabilities(); err != nil {
		return 0, Step("capabilities", err)
	}
	return abi, Step("seccomp", loadFilter(s.Limits))
}

// TryLockdown locks the calling thread down as a sandbox's programs are, for a
// probe: the thread is of no use afterwards.
func TryLockdown() error {
	_, err := lockThread(Setup{CgroupNamespace: true})
	return err
}

// dropCapabilities empties the calling thread's sets. The ambient set follows
// the permitted one.
func dropCapabilities() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capset(&hdr, &data[0])
}

// dropAllCapabilities empties the sets of every thread of the process. It
// works by signals, so it comes before resetSignals.
func dropAllCapabilities() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&data[0])), 0)
	if errors.Is(errno, unix.ENOTSUP) {
		// A build with cgo, as for the race detector: never a release. What
		// counts is the locked thread, which dropped its own.
		return dropCapabilities()
	}
	if errno != 0 {
		return fmt.Errorf("drop capabilities: %w", errno)
	}
	return nil
}

// kernelSigaction is the kernel's struct sigaction with everything zero, which
// is SIG_DFL; 64 bytes are more than any architecture has.
type kernelSigaction [64]byte

// resetSignals gives every signal its default action. The kernel drops such
// signals when they come from inside to PID 1 of a namespace, so no program
// there can make it do anything, whatever the kernel's Landlock can do. Go
// does without its handlers: asynchronous preemption is off.
func resetSignals() error {
	var act kernelSigaction
	for sig := uintptr(1); sig <= 64; sig++ {
		if sig == uintptr(unix.SIGKILL) || sig == uintptr(unix.SIGSTOP) {
			continue
		}
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0); errno != 0 {
			return fmt.Errorf("reset signal %d: %w", sig, errno)
		}
	}
	return nil
}
