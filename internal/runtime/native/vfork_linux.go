package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"agentprocess/internal/runtime/pidone"
	"agentprocess/internal/sandbox"
)

// child is a program in new namespaces, as it is cloned. The child reads it in
// memory that it shares with us, so nothing in it may lie on a stack, and it
// writes what went wrong there.
//
// os/exec would copy our whole address space for a new user namespace, because
// its child waits for its id mapping before it executes anything. Ours
// executes at once, as an id that its namespace does not know yet, and waits
// afterwards (pidone.OpMapped): that costs a third.
type child struct {
	path       *byte
	argv, envp []*byte
	null       uintptr // becomes its standard streams
	wire       uintptr // becomes wireFD
	ambient    []uintptr
	caps       [2]unix.CapUserData
	capsHeader unix.CapUserHeader
	root       *byte
	inherited  uint64 // the signal mask to execute with
	noAction   kernelSigaction
	errno      syscall.Errno // why there is no program
	pidfd      int32
	pid        int // 0 when there is none
}

// kernelSigaction is the kernel's struct sigaction with everything zero, which
// is SIG_DFL; 64 bytes are more than any architecture has.
type kernelSigaction [64]byte

// newChild prepares a child; wire and null must stay open until it runs.
func newChild(argv, env []string, wire, null *os.File) (*child, error) {
	c := &child{null: null.Fd(), wire: wire.Fd(), ambient: setUpCaps(), pidfd: -1}
	c.capsHeader.Version = unix.LINUX_CAPABILITY_VERSION_3
	for i := range c.caps {
		c.caps[i].Effective, c.caps[i].Permitted = ^uint32(0), ^uint32(0)
	}
	for _, capability := range c.ambient {
		c.caps[capability/32].Inheritable |= 1 << (capability % 32)
	}
	var errs [4]error
	c.path, errs[0] = syscall.BytePtrFromString(argv[0])
	c.argv, errs[1] = syscall.SlicePtrFromStrings(argv)
	c.envp, errs[2] = syscall.SlicePtrFromStrings(env)
	c.root, errs[3] = syscall.BytePtrFromString("/")
	return c, errors.Join(errs[:]...)
}

// start clones and executes; the calling goroutine is locked to its thread,
// whose end is the child's.
func (c *child) start() error {
	// No signal may reach the child while it shares our memory: our handlers
	// would run in it.
	all := ^uint64(0)
	if err := sigprocmask(unix.SIG_SETMASK, &all, &c.inherited); err != nil {
		return err
	}
	// And no file that another thread is just opening may reach its program.
	syscall.ForkLock.Lock()
	r := c.clone()
	syscall.ForkLock.Unlock()
	err := sigprocmask(unix.SIG_SETMASK, &c.inherited, nil)
	runtime.KeepAlive(c)
	if int(r) < 0 {
		return errors.Join(syscall.Errno(-r), err)
	}
	c.pid = int(r)
	if c.errno != 0 {
		return errors.Join(fmt.Errorf("execute: %w", c.errno), err)
	}
	return err
}

// rawVfork clones with shared memory; it returns twice, in the child first.
func rawVfork(flags uintptr, pidfd *int32) uintptr

// clone is what both of us return to from the kernel, on one stack: the child
// must not return from it.
//
//go:noinline
//go:norace
//go:nosplit
func (c *child) clone() uintptr {
	r := rawVfork(newNamespaces|unix.CLONE_VM|unix.CLONE_VFORK|unix.CLONE_PIDFD|uintptr(unix.SIGCHLD), &c.pidfd)
	if r == 0 {
		c.run()
	}
	return r
}

// run is the child until it executes its program. It shares our memory and our
// thread's stack: no allocation, no lock, no call that could grow the stack.
//
//go:noinline
//go:norace
//go:nosplit
func (c *child) run() {
	for sig := uintptr(1); sig <= 64; sig++ {
		// SIGKILL and SIGSTOP refuse, and need it least.
		_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&c.noAction)), 0, 8, 0, 0)
	}
	_, _, c.errno = syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&c.inherited)), 0, 8, 0, 0)
	c.must(unix.SYS_SETSID, 0, 0, 0)
	c.must(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&c.capsHeader)), uintptr(unsafe.Pointer(&c.caps[0])), 0)
	for i := range c.ambient {
		c.must(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c.ambient[i])
	}
	c.must(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0)
	c.must(unix.SYS_CHDIR, uintptr(unsafe.Pointer(c.root)), 0, 0)
	c.become(c.wire, wireFD)
	for fd := range uintptr(3) {
		c.become(c.null, fd)
	}
	c.must(unix.SYS_EXECVE, uintptr(unsafe.Pointer(c.path)), uintptr(unsafe.Pointer(&c.argv[0])), uintptr(unsafe.Pointer(&c.envp[0])))
	for {
		_, _, _ = syscall.RawSyscall(unix.SYS_EXIT, 127, 0, 0)
	}
}

// must makes a system call, unless one before it failed.
//
//go:norace
//go:nosplit
func (c *child) must(call, a, b, d uintptr) {
	if c.errno == 0 {
		_, _, c.errno = syscall.RawSyscall(call, a, b, d)
	}
}

// become gives a descriptor another number, for the program too.
//
//go:norace
//go:nosplit
func (c *child) become(fd, number uintptr) {
	if fd == number {
		c.must(unix.SYS_FCNTL, fd, unix.F_SETFD, 0)
		return
	}
	c.must(unix.SYS_DUP3, fd, number, 0)
}

// sigprocmask changes the signal mask of the calling thread.
func sigprocmask(how int, set, old *uint64) error {
	_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, uintptr(how), uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
	if errno != 0 {
		return fmt.Errorf("set signal mask: %w", errno)
	}
	return nil
}

// wait waits for a child of ours.
func wait(pid int) (unix.WaitStatus, error) {
	for {
		var status unix.WaitStatus
		_, err := unix.Wait4(pid, &status, 0, nil)
		if !errors.Is(err, unix.EINTR) {
			return status, err
		}
	}
}

// mapIDs tells the kernel that the agent's id is the one id of the child's
// namespace.
func mapIDs(pid int, id sandbox.Identity) error {
	dir := "/proc/" + strconv.Itoa(pid)
	if os.Geteuid() != 0 {
		// An ordinary user may map a group only where groups cannot be set.
		if err := writeProc(dir+"/setgroups", "deny"); err != nil {
			return err
		}
	}
	uid, gid := strconv.Itoa(id.UID), strconv.Itoa(id.GID)
	return errors.Join(writeProc(dir+"/uid_map", uid+" "+uid+" 1"), writeProc(dir+"/gid_map", gid+" "+gid+" 1"))
}

// watch kills the child when life ends; it returns when the child ended, with
// how.
func (c *child) watch(life context.Context) error {
	if c.pid == 0 {
		return nil
	}
	killed := make(chan struct{})
	stop := context.AfterFunc(life, func() {
		_ = unix.PidfdSendSignal(int(c.pidfd), unix.SIGKILL, nil, 0) // gone meanwhile is as good
		close(killed)
	})
	status, err := wait(c.pid)
	if !stop() {
		<-killed
	}
	pidone.CloseAll(int(c.pidfd))
	switch {
	case err != nil:
		return fmt.Errorf("wait for init: %w", err)
	case status.Signaled():
		return fmt.Errorf("init was ended by signal %v", status.Signal())
	case status.ExitStatus() != 0:
		return fmt.Errorf("init ended with status %d", status.ExitStatus())
	}
	return nil
}
