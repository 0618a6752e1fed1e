package native

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"agentprocess/internal/runtime/pidone"
	"agentprocess/internal/sandbox"
)

// scratchMount are directories one of which every host has: the new root is
// mounted there for the moment it is built, in our own mount namespace.
func scratchMount() []string { return []string{"/tmp", "/var/tmp", "/run", "/mnt", "/var"} }

// procReadOnly and procMasked are what a fresh /proc still shows of the host.
func procReadOnly() []string {
	return []string{"/proc/sys", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sysrq-trigger"}
}

func procMasked() []string {
	return []string{
		"/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/timer_list", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/kmsg", "/proc/kallsyms", "/proc/interrupts", "/proc/kpagecount", "/proc/kpageflags",
		"/proc/kpagecgroup", "/proc/config.gz", "/proc/slabinfo", "/proc/vmallocinfo", "/proc/mtrr",
	}
}

func procHidden() []string { return []string{"/proc/acpi", "/proc/scsi", "/proc/asound"} }

// rootfs is the new root while it is built.
type rootfs struct{ fd int }

// buildRoot makes the new root and enters it.
func buildRoot(cfg *initConfig, passed []int) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return pidone.Step("private mounts", err)
	}
	mounts, err := openTrees(cfg.Trees, passed)
	defer pidone.CloseAll(mounts...)
	if err != nil {
		return pidone.Step("mounts", err)
	}
	r, err := newRootfs()
	if err != nil {
		return pidone.Step("root", err)
	}
	defer pidone.CloseAll(r.fd)
	for i, t := range cfg.Trees {
		if mounts[i] < 0 {
			continue
		}
		if err := r.attach(mounts[i], t); err != nil {
			return pidone.Step("mounts", err)
		}
	}
	for _, l := range cfg.Links {
		if err := r.symlink(l[0], l[1]); err != nil {
			return pidone.Step("links", err)
		}
	}
	return pidone.Step("root", r.enter())
}

// openTrees gives a detached mount for each tree: one that was passed, or one
// made here; -1 for what is absent.
func openTrees(trees []tree, passed []int) ([]int, error) {
	mounts := make([]int, len(trees))
	for i := range mounts {
		mounts[i] = -1
	}
	for i, t := range trees {
		if t.Passed {
			if len(passed) == 0 {
				return mounts, fmt.Errorf("no descriptor for %q", t.Target)
			}
			mounts[i], passed = passed[0], passed[1:]
			continue
		}
		fd, err := t.open(true)
		if errors.Is(err, errAbsent) {
			continue
		}
		if err != nil {
			return mounts, fmt.Errorf("mount %q: %w", t.Target, err)
		}
		mounts[i] = fd
	}
	return mounts, nil
}

// newRootfs mounts the empty root somewhere.
func newRootfs() (*rootfs, error) {
	fd, err := newFilesystem("tmpfs", option{"size", fmt.Sprint(sizeRoot)}, option{"mode", "755"})
	if err != nil {
		return nil, err
	}
	var errs error
	for _, dir := range scratchMount() {
		if err := unix.MoveMount(fd, "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			errs = errors.Join(errs, fmt.Errorf("mount on %q: %w", dir, err))
			continue
		}
		return &rootfs{fd}, nil
	}
	pidone.CloseAll(fd)
	return nil, errs
}

// attach puts a detached mount at its target, which is made when missing.
func (r *rootfs) attach(mount int, t tree) error {
	dir, err := isDir(mount)
	if err != nil {
		return err
	}
	var target int
	if dir {
		target, err = r.dir(t.Target)
	} else {
		target, err = r.file(t.Target)
	}
	if err != nil {
		return fmt.Errorf("mount point %q: %w", t.Target, err)
	}
	defer pidone.CloseAll(target)
	if err := attach(mount, target); err != nil {
		return fmt.Errorf("attach %q: %w", t.Target, err)
	}
	return nil
}

// lookup opens a path of the new root. Links are refused: what an agent left
// in a tree of an earlier run must not move a mount.
func (r *rootfs) lookup(name string, flags uint64) (int, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(r.fd, cmp.Or(strings.TrimPrefix(name, "/"), "."), &how)
	if errors.Is(err, unix.ELOOP) {
		return -1, fmt.Errorf("%q leads through a symbolic link: %w", name, err)
	}
	return fd, err
}

// dir opens a directory of the new root and makes what is missing of it.
func (r *rootfs) dir(name string) (int, error) {
	fd, err := r.lookup(name, unix.O_PATH|unix.O_DIRECTORY)
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	parent, err := r.dir(path.Dir(name))
	if err != nil {
		return -1, err
	}
	defer pidone.CloseAll(parent)
	if err := unix.Mkdirat(parent, path.Base(name), 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, fmt.Errorf("make directory %q: %w", name, err)
	}
	return r.lookup(name, unix.O_PATH|unix.O_DIRECTORY)
}

// file opens a file of the new root and makes it, empty, when it is missing.
func (r *rootfs) file(name string) (int, error) {
	fd, err := r.lookup(name, unix.O_PATH)
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	parent, err := r.dir(path.Dir(name))
	if err != nil {
		return -1, err
	}
	defer pidone.CloseAll(parent)
	if err := unix.Mknodat(parent, path.Base(name), unix.S_IFREG|0o444, 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, fmt.Errorf("make file %q: %w", name, err)
	}
	return r.lookup(name, unix.O_PATH)
}

func (r *rootfs) symlink(name, to string) error {
	parent, err := r.dir(path.Dir(name))
	if err != nil {
		return err
	}
	defer pidone.CloseAll(parent)
	if err := unix.Symlinkat(to, parent, path.Base(name)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("make link %q: %w", name, err)
	}
	return nil
}

// enter makes it the root and lets go of the host's.
func (r *rootfs) enter() error {
	if err := unix.Fchdir(r.fd); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the host's root: %w", err)
	}
	return unix.Chdir("/")
}

// finishRoot does what needs the new root to be entered: files, the hook
// socket, the last read-only marks.
func finishRoot(cfg *initConfig, net *pidone.Network) error {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return pidone.Step("root", err)
	}
	defer pidone.CloseAll(fd)
	r := &rootfs{fd}
	if err := unix.Sethostname([]byte(cmp.Or(cfg.Hostname, "sandbox"))); err != nil {
		return pidone.Step("hostname", err)
	}
	if err := r.writeFiles(append(etcFiles(cfg), cfg.Files...), cfg.Trees); err != nil {
		return pidone.Step("files", err)
	}
	if err := r.maskProc(); err != nil {
		return pidone.Step("proc", err)
	}
	for _, name := range cfg.Covers {
		if err := r.bindOver("/dev/null", name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return pidone.Step("credential files of toolchains", err)
		}
	}
	if cfg.Network == sandbox.NetworkGateway {
		hook, err := pidone.ListenUnix(sandbox.HookSocketPath)
		if err != nil {
			return pidone.Step("hook socket", err)
		}
		net.Add("hook", hook)
	}
	for _, name := range lateTargets(cfg.Trees) {
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}
		if err := unix.MountSetattr(unix.AT_FDCWD, name, 0, &attr); err != nil {
			return pidone.Step("read-only root", fmt.Errorf("%q: %w", name, err))
		}
	}
	return nil
}

// maskProc takes from /proc what is the host's.
func (r *rootfs) maskProc() error {
	if err := writeProc("/proc/sys/user/max_user_namespaces", "0"); err != nil {
		return fmt.Errorf("forbid user namespaces: %w", err)
	}
	for _, name := range procReadOnly() {
		if err := r.bindOver(name, name, unix.MOUNT_ATTR_RDONLY); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	for _, name := range procMasked() {
		var st unix.Stat_t
		if err := unix.Stat(name, &st); err != nil || st.Mode&0o004 == 0 {
			continue // absent, or for the host's root only, who is nobody here
		}
		if err := r.bindOver("/dev/null", name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	for _, name := range procHidden() {
		if err := r.hide(name); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}

// bindOver shows source at target, which must exist.
func (r *rootfs) bindOver(source, target string, attrs uint64) error {
	to, err := r.lookup(target, unix.O_PATH)
	if err != nil {
		return fmt.Errorf("cover %q: %w", target, err)
	}
	defer pidone.CloseAll(to)
	fd, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("cover %q: %w", target, err)
	}
	defer pidone.CloseAll(fd)
	if attrs != 0 {
		attr := unix.MountAttr{Attr_set: attrs}
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
			return fmt.Errorf("cover %q: %w", target, err)
		}
	}
	if err := attach(fd, to); err != nil {
		return fmt.Errorf("cover %q: %w", target, err)
	}
	return nil
}

// hide covers a directory with an empty read-only one.
func (r *rootfs) hide(name string) error {
	to, err := r.lookup(name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("hide %q: %w", name, err)
	}
	defer pidone.CloseAll(to)
	t := tree{Kind: treeTmpfs, Target: name, Size: 4096, Mode: 0o555, ReadOnly: true}
	fd, err := t.open(true)
	if err != nil {
		return err
	}
	defer pidone.CloseAll(fd)
	return attach(fd, to)
}

// writeProc writes a file of /proc.
func writeProc(name, value string) error {
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer pidone.CloseAll(fd)
	_, err = unix.Write(fd, []byte(value))
	return err
}
