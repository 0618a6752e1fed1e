package native

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"agentprocess/internal/runtime/pidone"
)

// probeMain is the PID 1 that a probe starts: it tries what a sandbox needs,
// one step at a time, and tells of each.
func probeMain(args []string) int {
	runtime.LockOSThread()
	p := prober{wire: pidone.NewWire(wireFD)}
	p.try("capabilities", func() (string, error) {
		if err := becomeInit(p.wire, args); err != nil {
			return "", err
		}
		return "full in the new namespace", unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	})
	m, fds, err := p.wire.Recv()
	if err != nil || m.Op != pidone.OpConfig || len(fds) != 1 {
		return 1 // the supervisor gave up
	}
	var dir string
	if err := pidone.ReadPayload(fds[0], &dir); err != nil {
		return 1 // as above
	}
	p.mounts(dir)
	p.network()
	p.lockdown()
	if p.wire.Send(pidone.Message{Op: pidone.OpReady}) != nil {
		return 1 // as above
	}
	return 0
}

// prober tries steps and tells of them.
type prober struct{ wire *pidone.Wire }

func (p prober) try(name string, f func() (string, error)) {
	detail, err := f()
	m := pidone.Message{Op: pidone.OpStep, Step: name, Detail: detail}
	if err != nil {
		m.Error = err.Error()
		if errno, ok := errors.AsType[unix.Errno](err); ok {
			m.Errno = int(errno)
		}
	}
	_ = p.wire.Send(m) // with the supervisor gone PID 1 is killed
}

func (p prober) mounts(dir string) {
	p.try("proc", func() (string, error) {
		fd, err := newFilesystem("proc")
		pidone.CloseAll(fd)
		return "a fresh one can be mounted", err
	})
	p.try("mount attributes", func() (string, error) {
		fd, err := tree{Kind: treeBind, Source: "/usr", Target: "/usr", ReadOnly: true}.open(true)
		pidone.CloseAll(fd)
		return "open_tree and mount_setattr work", err
	})
	if os.Getenv(envRoot) == "" {
		p.try(stepOverlay, func() (string, error) { return "works", tryOverlay(dir, true) })
	}
	p.try("root", func() (string, error) {
		r, err := newRootfs()
		if err != nil {
			return "", err
		}
		defer pidone.CloseAll(r.fd)
		if err := r.attachNew(tree{Kind: treeProc, Target: "/proc"}); err != nil {
			return "", err
		}
		if err := r.enter(); err != nil {
			return "", err
		}
		return "a new one can be built and entered", writeProc("/proc/sys/user/max_user_namespaces", "0")
	})
}

// attachNew makes a tree and attaches it.
func (r *rootfs) attachNew(t tree) error {
	fd, err := t.open(true)
	if err != nil {
		return err
	}
	defer pidone.CloseAll(fd)
	return r.attach(fd, t)
}

func (p prober) network() {
	p.try("lo up", func() (string, error) { return "works", pidone.TryLink() })
	p.try("gateway sockets", func() (string, error) { return "proxy and resolver can listen", pidone.TryListen() })
	p.try("any address on lo", func() (string, error) { return "works", pidone.TryAnyIP() })
	p.try(stepRedirect, func() (string, error) { return "works", pidone.TryRedirect() })
}

// lockdown is last: after it the thread can do nothing more.
func (p prober) lockdown() {
	p.try(stepLandlock, func() (string, error) {
		abi := pidone.LandlockABI()
		if !pidone.LandlockUsable(abi) {
			return "", fmt.Errorf("ABI %d", abi)
		}
		return fmt.Sprintf("ABI %d", abi), nil
	})
	p.try("seccomp", func() (string, error) { return "allowlist loads", pidone.TryLockdown() })
}
