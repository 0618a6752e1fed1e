package runtimetest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"
	"unsafe"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// Main runs the attacks of the test binary inside a sandbox.
func Main(args []string) (handled bool, status int) {
	if len(args) < 3 || args[1] != attackVerb {
		return false, 0
	}
	if err := runAttack(args[2], args[3:]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err) // the status says it as well
		return true, 1
	}
	return true, 0
}

func runAttack(name string, args []string) error {
	arg := ""
	if len(args) > 0 {
		arg = args[0]
	}
	switch name {
	case "calls":
		return tryCalls()
	case "everyday":
		return everyday()
	case "signals":
		return signalInit()
	case "prlimit":
		return limitInit()
	case "abstract":
		return connectAbstract(arg)
	case "trace":
		return trace(arg)
	case "memory":
		return useMemory(arg)
	case "processes":
		return startMany(arg)
	case "dial":
		return dial(args)
	case "hook":
		return readSocket(arg)
	case "ids":
		return showIDs()
	case "loopback":
		return loopback()
	}
	return fmt.Errorf("unknown attack %q", name)
}

// errNotRefused is what a call that worked is reported as.
var errNotRefused = errors.New("no error")

// call is a system call that must be refused with one of the errors.
type call struct {
	name string
	run  func() error
	want []unix.Errno
}

func raw(nr uintptr, args ...uintptr) func() error {
	return func() error {
		var a [6]uintptr
		copy(a[:], args)
		if _, _, errno := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
			return errno
		}
		return nil
	}
}

func text(s string) uintptr {
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		return 0
	}
	return uintptr(unsafe.Pointer(p))
}

func socket(family, kind, proto int) func() error {
	return func() error {
		fd, err := unix.Socket(family, kind, proto)
		if err == nil {
			err = unix.Close(fd)
		}
		return err
	}
}

func unshare(flag int) func() error { return func() error { return unix.Unshare(flag) } }

// tryCalls tries every forbidden call and fails when one is not refused.
func tryCalls() error {
	denied := []unix.Errno{unix.EPERM, unix.ENOSYS}
	calls := slices.Concat(mountCalls(), namespaceCalls(), kernelCalls(), socketCalls())
	var errs error
	for _, c := range calls {
		if c.want == nil {
			c.want = denied
		}
		err := c.run()
		errno, ok := errors.AsType[unix.Errno](err)
		if !ok || !slices.Contains(c.want, errno) {
			errs = errors.Join(errs, fmt.Errorf("%s: want one of %v, got %w", c.name, c.want, cmp.Or(err, errNotRefused)))
		}
	}
	_, err := fmt.Fprintf(os.Stdout, "tried %d\n", len(calls))
	return errors.Join(errs, err)
}

func mountCalls() []call {
	attr := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	return []call{
		{name: "mount tmpfs", run: func() error { return unix.Mount("none", "/tmp", "tmpfs", 0, "") }},
		{name: "mount bind", run: func() error { return unix.Mount("/etc", "/tmp", "", unix.MS_BIND, "") }},
		{name: "remount /", run: func() error { return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "") }},
		{name: "mount proc", run: func() error { return unix.Mount("proc", "/tmp", "proc", 0, "") }},
		{name: "mount cgroup", run: func() error { return unix.Mount("none", "/tmp", "cgroup2", 0, "") }},
		{name: "umount /proc/sys", run: func() error { return unix.Unmount("/proc/sys", 0) }},
		{name: "umount /tmp", run: func() error { return unix.Unmount("/tmp", unix.MNT_DETACH) }},
		{name: "mount_setattr", run: func() error { return unix.MountSetattr(unix.AT_FDCWD, "/", 0, &attr) }},
		{name: "open_tree", run: func() error { _, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE); return err }},
		{name: "move_mount", run: func() error { return unix.MoveMount(unix.AT_FDCWD, "/tmp", unix.AT_FDCWD, "/home", 0) }},
		{name: "fsopen", run: func() error { _, err := unix.Fsopen("tmpfs", 0); return err }},
		{name: "pivot_root", run: func() error { return unix.PivotRoot("/tmp", "/tmp") }},
		{name: "chroot", run: func() error { return unix.Chroot("/tmp") }},
		{name: "mknod device", run: func() error { return unix.Mknod("/tmp/mem", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 1))) }, want: []unix.Errno{unix.EPERM, unix.EACCES}},
		{name: "open_by_handle_at", run: raw(unix.SYS_OPEN_BY_HANDLE_AT, 0, 0, 0)},
		{name: "quotactl", run: raw(unix.SYS_QUOTACTL, 0, 0, 0, 0)},
		{name: "swapon", run: raw(unix.SYS_SWAPON, text("/tmp/x"), 0)},
		{name: "fanotify_init", run: raw(unix.SYS_FANOTIFY_INIT, 0, 0)},
	}
}

func namespaceCalls() []call {
	var all []call
	for name, flag := range map[string]int{
		"user": unix.CLONE_NEWUSER, "mount": unix.CLONE_NEWNS, "pid": unix.CLONE_NEWPID, "network": unix.CLONE_NEWNET,
		"ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS, "cgroup": unix.CLONE_NEWCGROUP, "time": unix.CLONE_NEWTIME,
	} {
		all = append(all, call{name: "unshare " + name, run: unshare(flag)})
		if flag != unix.CLONE_NEWTIME { // clone takes that bit as part of the signal
			all = append(all, call{name: "clone " + name, run: cloneWith(uintptr(flag))})
		}
	}
	return append(all,
		call{name: "clone with high bits", run: cloneWith(1<<32 | unix.CLONE_NEWUSER)},
		call{name: "clone3", run: raw(unix.SYS_CLONE3, 0, 0), want: []unix.Errno{unix.ENOSYS}},
		call{name: "setns", run: func() error {
			fd, err := unix.Open("/proc/self/ns/net", unix.O_RDONLY, 0)
			if err != nil {
				return err
			}
			return unix.Setns(fd, 0)
		}})
}

// cloneWith clones a child that ends at once if it comes to be.
func cloneWith(flags uintptr) func() error {
	return func() error {
		pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, flags|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			return errno
		}
		if pid == 0 {
			_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0) // does not return
		}
		return nil
	}
}

func kernelCalls() []call {
	return []call{
		{name: "ptrace traceme", run: raw(unix.SYS_PTRACE, unix.PTRACE_TRACEME)},
		{name: "ptrace attach 1", run: raw(unix.SYS_PTRACE, unix.PTRACE_ATTACH, 1)},
		{name: "process_vm_readv", run: raw(unix.SYS_PROCESS_VM_READV, 1, 0, 0, 0, 0)},
		{name: "process_vm_writev", run: raw(unix.SYS_PROCESS_VM_WRITEV, 1, 0, 0, 0, 0)},
		{name: "kcmp", run: raw(unix.SYS_KCMP, 1, 1, 0, 0, 0)},
		{name: "pidfd_getfd", run: raw(unix.SYS_PIDFD_GETFD, 0, 0, 0)},
		{name: "io_uring_setup", run: raw(unix.SYS_IO_URING_SETUP, 1, 0)},
		{name: "io_uring_enter", run: raw(unix.SYS_IO_URING_ENTER, 0, 0, 0)},
		{name: "bpf", run: raw(unix.SYS_BPF, 0, 0, 0)},
		{name: "keyctl", run: raw(unix.SYS_KEYCTL, 0, 0)},
		{name: "add_key", run: raw(unix.SYS_ADD_KEY, text("user"), text("x"), 0, 0, 0)},
		{name: "request_key", run: raw(unix.SYS_REQUEST_KEY, text("user"), text("x"), 0, 0)},
		{name: "userfaultfd", run: raw(unix.SYS_USERFAULTFD, 0)},
		{name: "perf_event_open", run: raw(unix.SYS_PERF_EVENT_OPEN, 0, 0, 0, 0, 0)},
		{name: "syslog", run: raw(unix.SYS_SYSLOG, 3, 0, 0)},
		{name: "init_module", run: raw(unix.SYS_INIT_MODULE, 0, 0, 0)},
		{name: "kexec_load", run: raw(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0)},
		{name: "reboot", run: raw(unix.SYS_REBOOT, 0, 0, 0)},
		{name: "acct", run: raw(unix.SYS_ACCT, 0)},
		{name: "settimeofday", run: raw(unix.SYS_SETTIMEOFDAY, 0, 0)},
		{name: "sethostname", run: func() error { return unix.Sethostname([]byte("x")) }},
		{name: "setuid 0", run: func() error { return unix.Setuid(0) }, want: []unix.Errno{unix.EPERM, unix.EINVAL}},
		{name: "type into the terminal", run: raw(unix.SYS_IOCTL, 0, unix.TIOCSTI, text("x"))},
		{name: "type, with high bits", run: raw(unix.SYS_IOCTL, 0, 1<<32|unix.TIOCSTI, text("x"))},
		{name: "line discipline", run: raw(unix.SYS_IOCTL, 0, unix.TIOCSETD, text("x"))},
		{name: "unknown call", run: raw(2047), want: []unix.Errno{unix.ENOSYS}},
		{name: "x32 call", run: raw(0x40000000 + 39), want: []unix.Errno{unix.ENOSYS}},
	}
}

func socketCalls() []call {
	no := []unix.Errno{unix.EPERM, unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT}
	return []call{
		{name: "raw ICMP", run: socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP), want: no},
		{name: "raw IP", run: socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW), want: no},
		{name: "packet", run: socket(unix.AF_PACKET, unix.SOCK_RAW, 0x300), want: no},
		{name: "vsock", run: socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0), want: no},
		{name: "alg", run: socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0), want: no},
		{name: "key", run: socket(unix.AF_KEY, unix.SOCK_RAW, 2), want: no},
		{name: "xdp", run: socket(unix.AF_XDP, unix.SOCK_RAW, 0), want: no},
		{name: "tipc", run: socket(unix.AF_TIPC, unix.SOCK_STREAM, 0), want: no},
		{name: "bluetooth", run: socket(unix.AF_BLUETOOTH, unix.SOCK_RAW, 0), want: no},
		{name: "can", run: socket(unix.AF_CAN, unix.SOCK_RAW, 1), want: no},
		{name: "sctp", run: socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP), want: no},
		{name: "dccp", run: socket(unix.AF_INET, unix.SOCK_DCCP, unix.IPPROTO_DCCP), want: no},
		{name: "netlink audit", run: socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT), want: no},
		{name: "netlink netfilter", run: socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER), want: no},
		{name: "netlink sock_diag", run: socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_INET_DIAG), want: no},
		{name: "low port", run: func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			return unix.Bind(fd, &unix.SockaddrInet4{Port: 81})
		}, want: []unix.Errno{unix.EACCES}},
	}
}

// everyday is what must go on working.
func everyday() error {
	for name, f := range map[string]func() error{
		"interfaces": func() error { _, err := net.Interfaces(); return err },
		"own limits": func() error {
			var l unix.Rlimit
			if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &l); err != nil {
				return err
			}
			return unix.Prlimit(0, unix.RLIMIT_NOFILE, &l, nil)
		},
		"limits of another, read": func() error { return unix.Prlimit(os.Getpid(), unix.RLIMIT_NOFILE, nil, &unix.Rlimit{}) },
		"memfd":                   func() error { _, err := unix.MemfdCreate("x", 0); return err },
		"pidfd":                   func() error { _, err := unix.PidfdOpen(os.Getpid(), 0); return err },
		"inotify":                 func() error { _, err := unix.InotifyInit(); return err },
		"shared memory":           func() error { _, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o600); return err },
		"rename across": func() error {
			dir, err := os.MkdirTemp("/tmp", "everyday-*")
			if err != nil {
				return err
			}
			return errors.Join(os.MkdirAll(filepath.Join(dir, "a"), 0o755), os.MkdirAll(filepath.Join(dir, "b"), 0o755),
				os.WriteFile(filepath.Join(dir, "a/f"), nil, 0o600), os.Rename(filepath.Join(dir, "a/f"), filepath.Join(dir, "b/g")))
		},
		"listen": func() error {
			l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test of the plainest call
			if err != nil {
				return err
			}
			return l.Close()
		},
	} {
		if err := f(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// siginfo is the kernel's siginfo_t as rt_sigqueueinfo takes it.
type siginfo struct {
	signo, errno, code int32
	_                  [116]byte
}

// signalInit sends every signal to PID 1 and each of its threads, in every way
// there is. That calls fail is fine: that it dies is not.
func signalInit() error {
	tids := []int{1}
	entries, err := os.ReadDir("/proc/1/task")
	if err == nil {
		tids = nil
		for _, e := range entries {
			if tid, err := strconv.Atoi(e.Name()); err == nil {
				tids = append(tids, tid)
			}
		}
	}
	for tid := 2; tid < os.Getpid(); tid++ { // threads that are not listed
		tids = append(tids, tid)
	}
	pidfd, pidfdErr := unix.PidfdOpen(1, 0)
	for sig := 1; sig <= 64; sig++ {
		s := uintptr(sig)
		info := siginfo{signo: int32(sig), code: -1} // SI_QUEUE
		ptr := uintptr(unsafe.Pointer(&info))
		_ = raw(unix.SYS_KILL, 1, s)()
		_ = raw(unix.SYS_RT_SIGQUEUEINFO, 1, s, ptr)()
		if pidfdErr == nil {
			_ = raw(unix.SYS_PIDFD_SEND_SIGNAL, uintptr(pidfd), s, 0, 0)()
		}
		for _, tid := range tids {
			_ = raw(unix.SYS_TKILL, uintptr(tid), s)()
			_ = raw(unix.SYS_TGKILL, 1, uintptr(tid), s)()
			_ = raw(unix.SYS_RT_TGSIGQUEUEINFO, 1, uintptr(tid), s, ptr)()
		}
		runtime.KeepAlive(&info)
	}
	return nil
}

// limitInit tries to take from PID 1 what it needs to live.
func limitInit() error {
	for _, resource := range []int{unix.RLIMIT_CPU, unix.RLIMIT_AS, unix.RLIMIT_NOFILE, unix.RLIMIT_DATA} {
		if err := unix.Prlimit(1, resource, &unix.Rlimit{}, nil); err == nil {
			return fmt.Errorf("limit %d of PID 1 was set to 0", resource)
		}
	}
	return nil
}

func connectAbstract(name string) error {
	c, err := net.Dial("unix", "@"+name) //nolint:noctx // it must fail at once
	if err == nil {
		return errors.Join(errors.New("connected to an abstract socket of the host"), c.Close())
	}
	return nil
}

// trace tries to get into another process of the agent's own.
func trace(pid string) error {
	n, err := strconv.Atoi(pid)
	if err != nil {
		return err
	}
	if err := unix.PtraceAttach(n); err == nil {
		return errors.New("attached to another process")
	}
	var b [8]byte
	local := []unix.Iovec{{Base: &b[0], Len: 8}}
	if _, err := unix.ProcessVMReadv(n, local, []unix.RemoteIovec{{Base: 0x1000, Len: 8}}, 0); !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("process_vm_readv: %w", err)
	}
	// Where Landlock can forbid it: memory is a file too, and who writes an
	// agent's makes it say what he likes.
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", n), os.O_WRONLY, 0)
	if err == nil {
		err = f.Close()
		if abi, _ := ll.LandlockGetABIVersion(); abi > 1 { // as the sandbox asks
			return errors.Join(errors.New("the memory of another process can be written"), err)
		}
	}
	return nil
}

// useMemory takes the given number of MiB and touches all of it.
func useMemory(mib string) error {
	n, err := strconv.Atoi(mib)
	if err != nil {
		return err
	}
	var all [][]byte
	for range n {
		block := make([]byte, 1<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		all = append(all, block)
	}
	// Where memory is measured now and then, it takes a moment to be seen.
	<-time.After(5 * time.Second)
	return fmt.Errorf("took %d MiB", len(all))
}

// startMany starts processes until one is refused.
func startMany(count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	var running []*os.Process
	defer func() {
		for _, p := range running {
			_, _ = p.Wait() // killed below
		}
	}()
	defer func() {
		for _, p := range running {
			_ = p.Kill() // it may have ended
		}
	}()
	for range n {
		p, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{})
		if errors.Is(err, unix.EAGAIN) {
			_, err := fmt.Fprintf(os.Stdout, "refused after %d\n", len(running))
			return err
		}
		if err != nil {
			return err
		}
		running = append(running, p)
	}
	return fmt.Errorf("started %d processes", len(running))
}

// dial connects to network and address and says what came of it.
func dial(args []string) error {
	if len(args) != 2 {
		return errors.New("dial: want network and address")
	}
	addr, err := netip.ParseAddrPort(args[1])
	if err != nil {
		return err
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.Dial(args[0], addr.String())
	if err != nil {
		return err
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		return errors.Join(err, c.Close())
	}
	buf := make([]byte, 64)
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	n, err := c.Read(buf)
	if err != nil {
		return errors.Join(err, c.Close())
	}
	_, err = fmt.Fprintf(os.Stdout, "%s", buf[:n])
	return errors.Join(err, c.Close())
}

// readSocket prints what a unix socket says.
func readSocket(name string) error {
	c, err := net.Dial("unix", name) //nolint:noctx // the host answers at once
	if err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, c)
	return errors.Join(err, c.Close())
}

// loopback talks to itself at every address that is its own.
func loopback() error {
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "[::1]", "localhost", "sandbox"} {
		l, err := net.Listen("tcp", host+":0") //nolint:noctx // as dial
		if err != nil {
			return err
		}
		c, err := net.Dial("tcp", l.Addr().String()) //nolint:noctx // as dial
		if err != nil {
			return errors.Join(err, l.Close())
		}
		other, err := l.Accept()
		if err != nil {
			return errors.Join(err, l.Close())
		}
		if other.RemoteAddr().String() != c.LocalAddr().String() {
			return fmt.Errorf("%s: connected to somebody else", host)
		}
		if err := errors.Join(c.Close(), other.Close(), l.Close()); err != nil {
			return err
		}
	}
	return nil
}

// showIDs says who this is: real and effective user and group, groups.
func showIDs() error {
	groups, err := os.Getgroups()
	if err != nil {
		return err
	}
	_, err = fmt.Println(os.Getuid(), os.Geteuid(), os.Getgid(), os.Getegid(), groups) //nolint:forbidigo // what an attack prints is its result
	return err
}

// foreignProgram is a program that asks by the 32-bit table of amd64 to exit
// with 42, and by the proper one with 7 if it is still there.
func foreignProgram() ([]byte, bool) {
	if runtime.GOARCH != "amd64" {
		return nil, false
	}
	code := []byte{
		0xb8, 1, 0, 0, 0, // mov eax, 1
		0xbb, 42, 0, 0, 0, // mov ebx, 42
		0xcd, 0x80, // int 0x80
		0xb8, 60, 0, 0, 0, // mov eax, 60
		0xbf, 7, 0, 0, 0, // mov edi, 7
		0x0f, 0x05, // syscall
	}
	header := []byte{
		0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		2, 0, 62, 0, 1, 0, 0, 0, 0x78, 0, 0x40, 0, 0, 0, 0, 0,
		64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0,
		1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0,
		0x90, 0, 0, 0, 0, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 0, 0,
		0, 0x10, 0, 0, 0, 0, 0, 0,
	}
	return append(header, code...), true
}
