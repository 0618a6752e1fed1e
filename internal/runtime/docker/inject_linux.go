package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"agentprocess/internal/runtime/idmap"
	"agentprocess/internal/runtime/pidone"
	"agentprocess/internal/sandbox"
)

// namespaces show root as an agent.
type namespaces = idmap.Namespaces

// shown is a mount whose files only root may read, as which we run: the engine
// cannot show them to the agent, so we put a mount that can over the engine's.
type shown struct{ source, target string }

// show puts such mounts into the mount namespace of a container whose init has
// connected and runs nothing yet. What cannot be shown is an error.
func (r *Runtime) show(ctx context.Context, all []shown, id sandbox.Identity, pid int) error {
	if len(all) == 0 {
		return nil
	}
	ns, err := r.idmaps.Namespace(ctx, id)
	if err != nil {
		return hidden(all[0], err)
	}
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread has another view of files afterwards.
		runtime.LockOSThread()
		done <- showIn(all, ns, pid)
	}()
	return <-done
}

func hidden(s shown, err error) error {
	return sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("mount %q: only root may read %q, and it cannot be shown as the agent's: %w", s.target, s.source, err),
		"make it readable for others, or run as its owner")
}

// showIn makes the mounts here and attaches them there; the calling thread is
// of no use afterwards.
func showIn(all []shown, ns *os.File, pid int) error {
	var mounts []int
	defer func() { pidone.CloseAll(mounts...) }()
	for _, s := range all {
		fd, err := unix.OpenTree(unix.AT_FDCWD, s.source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			return hidden(s, err)
		}
		mounts = append(mounts, fd)
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_PRIVATE}
		if err := errors.Join(unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr), idmap.Tree(fd, ns)); err != nil {
			return hidden(s, err)
		}
	}
	theirs, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return hidden(all[0], err)
	}
	defer pidone.CloseAll(theirs)
	if err := errors.Join(unix.Unshare(unix.CLONE_FS), unix.Setns(theirs, unix.CLONE_NEWNS)); err != nil {
		return hidden(all[0], err)
	}
	for i, s := range all {
		if err := attach(mounts[i], s.target); err != nil {
			return hidden(s, err)
		}
	}
	return nil
}

// attach puts a mount over the one that is at a target, by no link.
func attach(fd int, target string) error {
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer pidone.CloseAll(root)
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	to, err := unix.Openat2(root, strings.TrimPrefix(target, "/"), &how)
	if err != nil {
		return err
	}
	defer pidone.CloseAll(to)
	return unix.MoveMount(fd, "", to, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// closed reports whether what is at source can only be shown by us.
func closed(source string) bool { return idmap.Closed(source) }

// ownLimits are how many files and processes we may have, as the engine beside
// us.
func ownLimits() (files, processes int64) {
	return ownLimit(unix.RLIMIT_NOFILE, openFiles), ownLimit(unix.RLIMIT_NPROC, manyProcesses)
}

func ownLimit(resource int, most int64) int64 {
	var l unix.Rlimit
	if err := unix.Getrlimit(resource, &l); err != nil || l.Max > uint64(most) { // a small constant
		return most
	}
	return int64(l.Max) // at most most
}
