package pidone

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// execRequest is a program to run.
type execRequest struct {
	Argv []string `json:"argv"`
	Env  []string `json:"env"`
	Dir  string   `json:"dir"`
	TTY  bool     `json:"tty"`
	Rows uint16   `json:"rows"`
	Cols uint16   `json:"cols"`
	// Stdio says which of the three standard streams come as descriptors; the
	// others are /dev/null.
	Stdio [3]bool `json:"stdio"`
}

// defaultPath is where a program is looked for when its environment has no
// PATH.
const defaultPath = "/usr/local/bin:/usr/bin:/bin"

// childOOMScore makes the kernel choose any program before PID 1.
const childOOMScore = "300"

// exec starts a program and tells how that went.
func (p *One) exec(m Message, fds []int) {
	// Held until the start was told: a short program's end must come after it.
	p.mu.Lock()
	defer p.mu.Unlock()
	reply := Message{Op: opStarted, ID: m.ID}
	master, err := p.start(m.ID, fds)
	if err != nil {
		reply.Error = err.Error()
		if errno, ok := errors.AsType[syscall.Errno](err); ok {
			reply.Errno = int(errno)
		}
	}
	if master >= 0 {
		_ = p.wire.Send(reply, master) // with the supervisor gone serve ends us
		CloseAll(master)
		return
	}
	_ = p.wire.Send(reply)
}

// start starts a program; it gives the master of its terminal, or -1.
func (p *One) start(id int, fds []int) (int, error) {
	defer func() { CloseAll(fds...) }()
	if len(fds) == 0 {
		return -1, errors.New("no request")
	}
	var req execRequest
	err := ReadPayload(fds[0], &req)
	fds = fds[1:]
	if err != nil {
		return -1, err
	}
	name, err := program(req)
	if err != nil {
		return -1, err
	}
	attr := &syscall.ProcAttr{Dir: cmp.Or(req.Dir, "/"), Env: req.Env, Sys: &syscall.SysProcAttr{Setsid: true}}
	if attr.Env == nil {
		attr.Env = []string{}
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer CloseAll(null)
	master := -1
	if req.TTY {
		m, slave, err := openTerminal(req.Rows, req.Cols)
		if err != nil {
			return -1, fmt.Errorf("terminal: %w", err)
		}
		defer CloseAll(slave)
		master = m
		attr.Sys.Setctty = true // of descriptor 0
		attr.Files = []uintptr{uintptr(slave), uintptr(slave), uintptr(slave)}
	} else if attr.Files, err = stdio(req.Stdio, fds, null); err != nil {
		return -1, err
	}
	if err := p.fork(id, name, req.Argv, attr); err != nil {
		CloseAll(master)
		return -1, fmt.Errorf("start %q: %w", name, err)
	}
	return master, nil
}

// fork starts the program and registers it before its end can be seen: p.mu
// is held.
func (p *One) fork(id int, name string, argv []string, attr *syscall.ProcAttr) error {
	// A child inherits the score; raising and lowering it again needs no
	// privilege. It is a preference, so an error is not worth a failure.
	_, _ = unix.Pwrite(p.oomFD, []byte(childOOMScore), 0)
	pid, err := syscall.ForkExec(name, argv, attr)
	_, _ = unix.Pwrite(p.oomFD, []byte("0"), 0)
	if err != nil {
		return err
	}
	p.running[pid] = id
	select {
	case p.forked <- struct{}{}:
	default:
	}
	return nil
}

// stdio are the three standard streams.
func stdio(have [3]bool, fds []int, null int) ([]uintptr, error) {
	files := make([]uintptr, 3)
	for i := range files {
		files[i] = uintptr(null)
		if !have[i] {
			continue
		}
		if len(fds) == 0 {
			return nil, errors.New("a standard stream is missing")
		}
		files[i], fds = uintptr(fds[0]), fds[1:]
	}
	return files, nil
}

// program finds the file to execute, and says which of directory and program
// is missing.
func program(req execRequest) (string, error) {
	if len(req.Argv) == 0 || req.Argv[0] == "" {
		return "", errors.New("no program named")
	}
	var st unix.Stat_t
	if err := unix.Stat(cmp.Or(req.Dir, "/"), &st); err != nil {
		return "", fmt.Errorf("working directory %q: %w", req.Dir, err)
	}
	name := req.Argv[0]
	if strings.Contains(name, "/") {
		return name, nil
	}
	search := defaultPath
	for _, kv := range req.Env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			search = v
		}
	}
	for _, dir := range filepath.SplitList(search) {
		file := filepath.Join(dir, name)
		if unix.Stat(file, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && unix.Access(file, unix.X_OK) == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("program %q is not on PATH %q: %w", name, search, unix.ENOENT)
}

// openTerminal makes a terminal of the sandbox's own devpts.
func openTerminal(rows, cols uint16) (master, slave int, err error) {
	master, err = unix.Open("/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, -1, err
	}
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		CloseAll(master)
		return -1, -1, err
	}
	if err := unix.IoctlSetWinsize(master, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
		CloseAll(master)
		return -1, -1, err
	}
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, uintptr(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC))
	if errno != 0 {
		CloseAll(master)
		return -1, -1, errno
	}
	return master, int(fd), nil
}
