package native

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"

	"golang.org/x/sys/unix"

	"agentprocess/internal/sandbox"
)

// The hidden verbs of our binary.
const (
	verbInit  = "__init"  // PID 1 of a sandbox: uid gid network
	verbProbe = "__probe" // PID 1 of a throw-away sandbox that tries each step
	verbHold  = "__hold"  // keeps a user namespace alive
)

// wireFD is where PID 1 finds its end of the control channel.
const wireFD = 3

// stepOverlay is the step of a failure that is an ErrOverlay.
const stepOverlay = "overlay"

// initMemory is where PID 1 starts to collect garbage: it hardly makes any,
// and a collection could need a thread that a full pids limit refuses.
const initMemory = 24 << 20

// initConfig is what PID 1 is told.
type initConfig struct {
	Identity sandbox.Identity `json:"identity"`
	Hostname string           `json:"hostname"`
	Home     string           `json:"home"`
	Network  sandbox.Network  `json:"network"`
	Trees    []tree           `json:"trees"`
	Links    [][2]string      `json:"links"`
	Covers   []string         `json:"covers"`
	Files    []sandbox.File   `json:"files"`
}

// initReport is what PID 1 says once it stands.
type initReport struct {
	LandlockABI int      `json:"landlock_abi"`
	Redirect    bool     `json:"redirect"`
	Sockets     []string `json:"sockets"` // names of the descriptors that come along
	Notes       []string `json:"notes,omitempty"`
}

// stepError says which step of the set-up failed.
type stepError struct {
	step string
	err  error
}

// Error implements error.
func (e *stepError) Error() string { return e.step + ": " + e.err.Error() }

// Unwrap gives the cause.
func (e *stepError) Unwrap() error { return e.err }

// step names the step an error belongs to.
func step(name string, err error) error {
	if err == nil {
		return nil
	}
	return &stepError{name, err}
}

// Main runs the hidden verbs of our binary: what a supervisor starts inside a
// sandbox. A program that uses this package calls it before anything else and
// exits with status when it was handled.
func Main(args []string) (handled bool, status int) {
	if len(args) < 2 {
		return false, 0
	}
	switch args[1] {
	case verbInit:
		return true, initMain(args[2:])
	case verbProbe:
		return true, probeMain(args[2:])
	case verbHold:
		return true, holdMain()
	}
	return false, 0
}

// holdMain keeps its namespaces alive until stdin ends.
func holdMain() int {
	_, err := os.Stdin.Read(make([]byte, 1))
	if err != nil {
		return 0 // the end that was waited for
	}
	return 1
}

// initMain is PID 1 of a sandbox.
func initMain(args []string) int {
	runtime.LockOSThread()
	w := &wire{fd: wireFD}
	if err := initSetUp(w, args); err != nil {
		return reportFailure(w, err)
	}
	return 0
}

// reportFailure tells the supervisor why there is no sandbox.
func reportFailure(w *wire, err error) int {
	m := message{Op: opFailed, Error: err.Error()}
	if s, ok := errors.AsType[*stepError](err); ok {
		m.Step = s.step
	}
	if errors.Is(err, ErrOverlay) {
		m.Step = stepOverlay
	}
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		m.Errno = int(errno)
	}
	if w.send(m) != nil {
		return 2 // nobody listens any more
	}
	return 1
}

// initSetUp becomes PID 1 and serves until the supervisor is gone.
func initSetUp(w *wire, args []string) error {
	if err := becomeInit(w, args); err != nil {
		return err
	}
	network := make(chan netResult, 1)
	go func() { network <- setUpNetwork(sandbox.Network(args[2])) }()
	var cfg initConfig
	mounts, err := expect(w, opConfig, &cfg)
	if err != nil {
		return step("control channel", err)
	}
	if err := buildRoot(&cfg, mounts); err != nil {
		return err
	}
	net := <-network
	if net.err != nil {
		return step("network", net.err)
	}
	if err := finishRoot(&cfg, &net); err != nil {
		return err
	}
	var lim innerLimits // second: to join a cgroup can take the kernel some milliseconds
	if _, err := expect(w, opLimits, &lim); err != nil {
		return step("control channel", err)
	}
	one, err := newPidOne(w, &cfg, &lim)
	if err != nil {
		return err
	}
	report := initReport{LandlockABI: one.landlock, Redirect: net.redirect, Sockets: net.names, Notes: net.notes}
	if err := w.send(message{Op: opReady, Report: &report}, net.fds...); err != nil {
		return step("control channel", err)
	}
	closeAll(net.fds...)
	// While the supervisor takes that in.
	return one.run(lim.WatchMemory)
}

// expect waits for an order and reads its payload; it gives the descriptors
// that came along.
func expect(w *wire, op string, v any) ([]int, error) {
	m, fds, err := w.recv()
	if err != nil {
		return nil, err
	}
	if m.Op != op || len(fds) == 0 {
		closeAll(fds...)
		return nil, fmt.Errorf("wanted %q, got %q", op, m.Op)
	}
	return fds[1:], readPayload(fds[0], v)
}

// becomeInit makes this process what PID 1 has to be before it knows more.
func becomeInit(w *wire, args []string) error {
	if len(args) != 3 {
		return step("arguments", fmt.Errorf("%d of them, wanted uid, gid and network", len(args)))
	}
	unix.CloseOnExec(wireFD)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(initMemory)
	uid, uerr := strconv.Atoi(args[0])
	gid, gerr := strconv.Atoi(args[1])
	if err := errors.Join(uerr, gerr); err != nil {
		return step("arguments", err)
	}
	// We were executed before the kernel was told which ids there are.
	m, fds, err := w.recv()
	closeAll(fds...)
	if err == nil && m.Op != opMapped {
		err = fmt.Errorf("wanted %q, got %q", opMapped, m.Op)
	}
	if err != nil {
		return step("control channel", err)
	}
	if err := switchUser(uid, gid); err != nil {
		return step("identity", err)
	}
	// The change of identity cleared it. If the supervisor died before this
	// line the control channel is at its end, which ends us as well.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return step("death signal", err)
	}
	unix.Umask(0)
	return nil
}

// switchUser becomes the agent's id. PID 1 of root's sandbox starts as root's
// id, which its user namespace does not know: it owns what root owns, but may
// do nothing with it beyond that.
func switchUser(uid, gid int) error {
	if os.Getuid() == uid && os.Getgid() == gid {
		return nil
	}
	if err := unix.Setgroups(nil); err != nil {
		return fmt.Errorf("drop supplementary groups: %w", err)
	}
	if err := unix.Setresgid(gid, gid, gid); err != nil {
		return fmt.Errorf("become group %d: %w", gid, err)
	}
	if err := unix.Setresuid(uid, uid, uid); err != nil {
		return fmt.Errorf("become user %d: %w", uid, err)
	}
	// Our own files in /proc are written during set-up.
	return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
}
