package idmap

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"agentprocess/internal/execx"
	"agentprocess/internal/sandbox"
)

// Verb is the hidden verb of our binary that keeps a user namespace alive until
// stdin ends.
const Verb = "__hold"

// Hold is that verb.
func Hold() int {
	_, err := os.Stdin.Read(make([]byte, 1))
	if err != nil {
		return 0 // the end that was waited for
	}
	return 1
}

// Namespaces are the user namespaces of ids, made when they are first needed.
// The zero value is ready.
type Namespaces struct {
	mu  sync.Mutex
	all map[[2]int]*os.File
}

// Namespace is a user namespace in which 0 is the agent's id. A mount
// that carries it shows what root owns as the agent's. It is made once per id:
// a process of ours holds it for the moment it takes to open it.
func (n *Namespaces) Namespace(ctx context.Context, id sandbox.Identity) (*os.File, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := [2]int{id.UID, id.GID}
	if ns, ok := n.all[key]; ok {
		return ns, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	hold, release := io.Pipe()
	proc, err := execx.Start(ctx, execx.Cmd{
		Argv:  []string{"/proc/self/exe", Verb},
		Stdin: hold,
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: id.UID, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: id.GID, Size: 1}},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make id mapping: %w", err)
	}
	ns, err := os.Open("/proc/" + strconv.Itoa(proc.PID()) + "/ns/user")
	_ = release.Close() // a pipe in memory: it cannot fail
	_ = proc.Wait()     // it has nothing to say
	if err != nil {
		return nil, fmt.Errorf("make id mapping: %w", err)
	}
	if n.all == nil {
		n.all = map[[2]int]*os.File{}
	}
	n.all[key] = ns
	return ns, nil
}

// Tree shows files of root as those of the agent: ns maps 0 to its id.
func Tree(fd int, ns *os.File) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())}
	return unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr)
}

// ownedByRoot reports whether a file belongs to uid 0 while we are root: then
// the agent's own id may not be able to read it.
func ownedByRoot(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Geteuid() == 0 && st.Uid == 0
}

// Closed reports whether name is root's and shut to everybody else.
func Closed(name string) bool {
	info, err := os.Stat(name)
	if err != nil || !ownedByRoot(info) {
		return false
	}
	need := fs.FileMode(0o004)
	if info.Mode()&0o100 != 0 {
		need = 0o005 // a directory or a program
	}
	return info.Mode()&need != need
}
