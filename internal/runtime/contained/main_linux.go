package contained

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"agentprocess/internal/runtime/pidone"
	"agentprocess/internal/sandbox"
)

// initMemory is where PID 1 starts to collect garbage, as in the native
// runtime.
const initMemory = 24 << 20

// Main runs the hidden verb of our binary. A program that is mounted into
// containers calls it before anything else.
func Main(args []string) (handled bool, status int) {
	if len(args) != 3 || args[1] != Verb {
		return false, 0
	}
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(initMemory)
	w, err := pidone.Dial(args[2])
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "agent-process:", err) // the status says it too
		return true, 1
	}
	if err := serve(w); err != nil {
		if w.Send(pidone.Failure(err)) != nil {
			return true, 2 // nobody listens any more
		}
		return true, 1
	}
	return true, 0
}

// serve becomes PID 1 of a sandbox and serves until the supervisor is gone.
func serve(w *pidone.Wire) error {
	unix.Umask(0)
	var cfg Config
	if _, err := w.Expect(pidone.OpConfig, &cfg); err != nil {
		return pidone.Step("control channel", err)
	}
	var net pidone.Network
	if cfg.Network == sandbox.NetworkGateway { // the engine made lo, which is enough for none
		if net = pidone.SetUpNetwork(cfg.Network); net.Err != nil {
			return pidone.Step("network", net.Err)
		}
	}
	if err := writeFiles(cfg.Files, false); err != nil {
		return pidone.Step("files", err)
	}
	if cfg.Network == sandbox.NetworkGateway {
		hook, err := pidone.ListenUnix(sandbox.HookSocketPath)
		if err == nil {
			err = unix.Chmod(sandbox.HookSocketPath, 0o666)
		}
		if err != nil {
			return pidone.Step("hook socket", err)
		}
		net.Add("hook", hook)
	}
	for _, name := range cfg.Own {
		if err := unix.Lchown(name, cfg.Identity.UID, cfg.Identity.GID); err != nil {
			return pidone.Step("mounts", err)
		}
	}
	if err := becomeAgent(cfg.Identity); err != nil {
		return pidone.Step("identity", err)
	}
	if err := writeFiles(cfg.Files, true); err != nil {
		return pidone.Step("files", err)
	}
	one, err := pidone.New(w, pidone.Setup{Writable: cfg.Writable, Limits: pidone.Limits{FileSize: cfg.FileSize, CPUs: cfg.CPUs}})
	if err != nil {
		return err
	}
	return one.Run(&net, 0)
}

// becomeAgent makes every thread the agent's user. Of the capabilities the one
// that the lockdown needs to empty the bounding set stays until then.
func becomeAgent(id sandbox.Identity) error {
	if id.UID <= 0 || id.GID <= 0 {
		return fmt.Errorf("identity %d:%d: an agent is never root", id.UID, id.GID)
	}
	if err := allThreads(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("drop supplementary groups: %w", err)
	}
	if err := syscall.Setresgid(id.GID, id.GID, id.GID); err != nil {
		return fmt.Errorf("become group %d: %w", id.GID, err)
	}
	if err := syscall.Setresuid(id.UID, id.UID, id.UID); err != nil {
		return fmt.Errorf("become user %d: %w", id.UID, err)
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	data[0].Effective, data[0].Permitted = 1<<unix.CAP_SETPCAP, 1<<unix.CAP_SETPCAP
	if err := allThreads(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&data[0])), 0); err != nil {
		return fmt.Errorf("give up capabilities: %w", err)
	}
	// Our own files in /proc are read and written until the lockdown.
	return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
}

func allThreads(call, a, b, c uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall(call, a, b, c)
	if errno != 0 {
		return errno
	}
	return nil
}
