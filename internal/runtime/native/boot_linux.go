package native

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"agentprocess/internal/runtime/pidone"
	"agentprocess/internal/sandbox"
)

// selfExe is our own binary, whatever happened to its name since.
const selfExe = "/proc/self/exe"

// program is what runs as PID 1.
func (r *Runtime) program() string { return cmp.Or(r.config.Program, selfExe) }

// setUpCaps are what PID 1 needs to build a sandbox, in its own user namespace.
func setUpCaps() []uintptr {
	return []uintptr{
		unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_SETGID, unix.CAP_SETUID, unix.CAP_SETPCAP,
		unix.CAP_NET_BIND_SERVICE, unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN, unix.CAP_SYS_RESOURCE,
	}
}

// newNamespaces are the namespaces PID 1 is cloned into; the cgroup namespace
// comes later, when it stands in its cgroup.
const newNamespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// initProcess is PID 1 of a sandbox as the supervisor sees it.
type initProcess struct {
	wire *pidone.Wire
	pid  int
	kill context.CancelFunc
	done chan struct{} // closed when it ended, and all of the sandbox with it
	err  error         // valid after done
}

// startInit clones PID 1. It is started from a thread that lives as long as
// the sandbox: the death signal follows the thread, not the process.
func (r *Runtime) startInit(ctx context.Context, verb string, id sandbox.Identity, network sandbox.Network, group *cgroup) (*initProcess, error) {
	w, theirs, err := pidone.NewWires()
	if err != nil {
		return nil, err
	}
	life, kill := context.WithCancel(context.WithoutCancel(ctx))
	p := &initProcess{wire: w, kill: kill, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, wherever it stands.
		runtime.LockOSThread()
		defer close(p.done)
		c, err := cloneInit(group, theirs, []string{r.program(), verb, strconv.Itoa(id.UID), strconv.Itoa(id.GID), string(network)})
		err = errors.Join(err, theirs.Close())
		if err == nil {
			err = introduce(w, c.pid, id)
		}
		if err != nil {
			kill()
			p.err = errors.Join(err, c.watch(life))
			started <- p.err
			return
		}
		p.pid = c.pid
		started <- nil
		p.err = c.watch(life)
	}()
	if err := <-started; err != nil {
		kill()
		w.Close()
		return nil, cloneError(err)
	}
	return p, nil
}

// cloneInit starts PID 1 from the calling thread, which is locked: in the
// cgroup, where a child can be born there.
func cloneInit(group *cgroup, wire *os.File, argv []string) (c *child, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return &child{}, err
	}
	defer func() { err = errors.Join(err, null.Close()) }()
	if c, err = newChild(argv, initEnv(), wire, null); err != nil {
		return c, err
	}
	if !group.birthplace() {
		return c, c.start()
	}
	if err = group.enter(); err == nil {
		err = c.start()
	}
	return c, errors.Join(err, group.leave())
}

// introduce maps the ids of a new PID 1 and tells it.
func introduce(w *pidone.Wire, pid int, id sandbox.Identity) error {
	if err := mapIDs(pid, id); err != nil {
		return err
	}
	if err := w.Send(pidone.Message{Op: pidone.OpMapped}); err != nil && !pidone.HungUp(err) {
		return err
	}
	return nil // if it ended already, why is there to read
}

// envRoot tells PID 1 that the supervisor is root and makes mounts for it.
const envRoot = "AGENT_PROCESS_ROOT"

// initEnv is the whole environment of PID 1: how its Go runtime is to behave.
func initEnv() []string {
	env := []string{"GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=2", "GOTRACEBACK=none"}
	if os.Geteuid() == 0 {
		env = append(env, envRoot+"=1")
	}
	return env
}

// End kills PID 1 and waits until nothing of the sandbox is left.
func (p *initProcess) End() {
	p.kill()
	<-p.done
}

// Ended is closed when PID 1 ended.
func (p *initProcess) Ended() <-chan struct{} { return p.done }

// Err says why it ended; valid after Ended.
func (p *initProcess) Err() error { return p.err }

// cloneError says why there can be no namespaces.
func cloneError(err error) error {
	cause, fix := explainClone(err)
	return sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("make namespaces: %s: %w", cause, err), fix)
}

// explainClone names the cause of a failed clone and the way out.
func explainClone(err error) (cause, fix string) {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return "the kernel's limit of user namespaces is 0 or used up", "sysctl -w user.max_user_namespaces=15000"
	case errors.Is(err, unix.EPERM) && sysctl("kernel/unprivileged_userns_clone") == "0":
		return "user namespaces are switched off for ordinary users", "sysctl -w kernel.unprivileged_userns_clone=1"
	case errors.Is(err, unix.EPERM):
		return "a seccomp filter or security module forbids user namespaces",
			"in a container: run it with --security-opt seccomp=unconfined --security-opt systempaths=unconfined; elsewhere use the docker runtime"
	case errors.Is(err, unix.EACCES):
		return "a security module forbids user namespaces", appArmorProfile()
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return "the kernel was built without user namespaces", "use the docker runtime"
	default:
		return "the kernel refused", "run doctor, or use the docker runtime"
	}
}

// sysctl reads a value of /proc/sys, empty when there is none.
func sysctl(name string) string {
	data, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return ""
	}
	return string(trimNewline(data))
}

func trimNewline(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == '\n' {
		b = b[:len(b)-1]
	}
	return b
}

// appArmorProfile is the profile that lets our binary make user namespaces on
// hosts that restrict them, and how to install it.
func appArmorProfile() string {
	self, err := os.Executable()
	if err != nil {
		self = "/usr/local/bin/agent-process"
	}
	return "as root, write /etc/apparmor.d/agent-process:\n" +
		"  abi <abi/4.0>,\n  include <tunables/global>\n" +
		"  profile agent-process " + strconv.Quote(self) + " flags=(unconfined) { userns, }\n" +
		"and load it: apparmor_parser -r /etc/apparmor.d/agent-process"
}
