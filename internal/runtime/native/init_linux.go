package native

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"

	"golang.org/x/sys/unix"

	"agentprocess/internal/runtime/idmap"
	"agentprocess/internal/runtime/pidone"
	"agentprocess/internal/sandbox"
)

// The hidden verbs of our binary.
const (
	verbInit  = "__init"  // PID 1 of a sandbox: uid gid network
	verbProbe = "__probe" // PID 1 of a throw-away sandbox that tries each step
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
	case idmap.Verb:
		return true, idmap.Hold()
	}
	return false, 0
}

// initMain is PID 1 of a sandbox.
func initMain(args []string) int {
	runtime.LockOSThread()
	w := pidone.NewWire(wireFD)
	if err := initSetUp(w, args); err != nil {
		return reportFailure(w, err)
	}
	return 0
}

// reportFailure tells the supervisor why there is no sandbox.
func reportFailure(w *pidone.Wire, err error) int {
	m := pidone.Failure(err)
	if errors.Is(err, ErrOverlay) {
		m.Step = stepOverlay
	}
	if w.Send(m) != nil {
		return 2 // nobody listens any more
	}
	return 1
}

// initSetUp becomes PID 1 and serves until the supervisor is gone.
func initSetUp(w *pidone.Wire, args []string) error {
	if err := becomeInit(w, args); err != nil {
		return err
	}
	network := make(chan pidone.Network, 1)
	go func() { network <- pidone.SetUpNetwork(sandbox.Network(args[2])) }()
	var cfg initConfig
	mounts, err := w.Expect(pidone.OpConfig, &cfg)
	if err != nil {
		return pidone.Step("control channel", err)
	}
	if err := buildRoot(&cfg, mounts); err != nil {
		return err
	}
	net := <-network
	if net.Err != nil {
		return pidone.Step("network", net.Err)
	}
	if err := finishRoot(&cfg, &net); err != nil {
		return err
	}
	var lim pidone.Limits // second: to join a cgroup can take the kernel some milliseconds
	if _, err := w.Expect(pidone.OpLimits, &lim); err != nil {
		return pidone.Step("control channel", err)
	}
	one, err := pidone.New(w, pidone.Setup{Writable: writablePaths(&cfg), Limits: lim, CgroupNamespace: true})
	if err != nil {
		return err
	}
	return one.Run(&net, lim.WatchMemory)
}

// writablePaths are where an agent may write, as far as the mounts go too.
func writablePaths(cfg *initConfig) []string {
	var names []string
	for _, t := range cfg.Trees {
		if !t.ReadOnly && t.Kind != treeProc && !t.Device {
			names = append(names, t.Target)
		}
	}
	return names
}

// becomeInit makes this process what PID 1 has to be before it knows more.
func becomeInit(w *pidone.Wire, args []string) error {
	if len(args) != 3 {
		return pidone.Step("arguments", fmt.Errorf("%d of them, wanted uid, gid and network", len(args)))
	}
	unix.CloseOnExec(wireFD)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(initMemory)
	uid, uerr := strconv.Atoi(args[0])
	gid, gerr := strconv.Atoi(args[1])
	if err := errors.Join(uerr, gerr); err != nil {
		return pidone.Step("arguments", err)
	}
	// We were executed before the kernel was told which ids there are.
	m, fds, err := w.Recv()
	pidone.CloseAll(fds...)
	if err == nil && m.Op != pidone.OpMapped {
		err = fmt.Errorf("wanted %q, got %q", pidone.OpMapped, m.Op)
	}
	if err != nil {
		return pidone.Step("control channel", err)
	}
	if err := switchUser(uid, gid); err != nil {
		return pidone.Step("identity", err)
	}
	// The change of identity cleared it. If the supervisor died before this
	// line the control channel is at its end, which ends us as well.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return pidone.Step("death signal", err)
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
