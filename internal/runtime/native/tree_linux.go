package native

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"agentprocess/internal/runtime/pidone"
)

// treeKind says how a tree comes to be.
type treeKind string

const (
	treeBind    treeKind = "bind"
	treeTmpfs   treeKind = "tmpfs"
	treeOverlay treeKind = "overlay"
	treeDevpts  treeKind = "devpts"
	treeProc    treeKind = "proc"
)

// tree is one mount of the sandbox: made detached, then attached.
type tree struct {
	Kind   treeKind `json:"kind"`
	Source string   `json:"source,omitempty"`
	Target string   `json:"target"`
	Lowers []string `json:"lowers,omitempty"` // of an overlay, topmost first
	Upper  string   `json:"upper,omitempty"`
	Work   string   `json:"work,omitempty"`
	Size   int64    `json:"size,omitempty"`
	Mode   uint32   `json:"mode,omitempty"` // of a tmpfs
	// ReadOnly covers everything below; Late makes it so after the files were
	// written and sockets bound.
	ReadOnly bool `json:"read_only,omitempty"`
	Late     bool `json:"late,omitempty"`
	NoExec   bool `json:"no_exec,omitempty"`
	Optional bool `json:"optional,omitempty"`
	Device   bool `json:"device,omitempty"`
	// Single leaves out what is mounted below the source.
	Single bool `json:"single,omitempty"`
	// IDMap shows what root owns as the agent's own.
	IDMap bool `json:"-"`
	// Passed says that the supervisor sends it as a detached mount.
	Passed bool `json:"passed,omitempty"`
}

// ErrOverlay is what Start fails with when an overlay mount cannot be had on
// this machine or for these directories.
var ErrOverlay = errors.New("overlay mount refused")

// errAbsent tells that an optional tree has no source.
var errAbsent = errors.New("source is absent")

// open makes the tree as a detached mount. userns says that the caller is
// root of a user namespace only.
func (t tree) open(userns bool) (int, error) {
	fd, err := t.make(userns)
	if err != nil {
		return -1, err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID, Propagation: unix.MS_PRIVATE}
	if !t.Device {
		attr.Attr_set |= unix.MOUNT_ATTR_NODEV
	}
	if t.NoExec {
		attr.Attr_set |= unix.MOUNT_ATTR_NOEXEC
	}
	if t.ReadOnly && !t.Late {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		pidone.CloseAll(fd)
		return -1, fmt.Errorf("set mount attributes of %q: %w", t.Target, err)
	}
	return fd, nil
}

func (t tree) make(userns bool) (int, error) {
	switch t.Kind {
	case treeTmpfs:
		return newFilesystem("tmpfs", option{"size", strconv.FormatInt(t.Size, 10)},
			option{"mode", strconv.FormatUint(uint64(t.Mode), 8)})
	case treeProc:
		return newFilesystem("proc")
	case treeDevpts:
		return newFilesystem("devpts", option{"newinstance", ""}, option{"ptmxmode", "0666"}, option{"mode", "0620"})
	case treeOverlay:
		return t.overlay(userns)
	default:
		return t.bind()
	}
}

func (t tree) bind() (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if !t.Single {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, t.Source, flags)
	switch {
	case errors.Is(err, unix.ENOENT) && t.Optional:
		return -1, errAbsent
	case err != nil:
		return -1, fmt.Errorf("open %q: %w", t.Source, err)
	}
	return fd, nil
}

// maxLowers bounds the layers of an overlay: their names by descriptor have to
// fit in the 255 bytes that a value of fsconfig may be long.
const maxLowers = 8

// overlay makes an overlay mount. redirect_dir lets rename(2) of lower
// directories work; the kernel refuses it to user namespaces, where the marks
// of the overlay are in user.* attributes instead. The directories are named
// by descriptor: fsconfig takes 255 bytes of value at most, and a name without
// the overlay's own separators needs no escaping. With an index a layer that
// another overlay writes to would be refused as busy.
func (t tree) overlay(userns bool) (int, error) {
	var opened []int
	defer func() { pidone.CloseAll(opened...) }()
	open := func(key string, dirs ...string) (option, error) {
		var names []string
		for _, dir := range dirs {
			fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				return option{}, fmt.Errorf("open %s %q: %w", key, dir, err)
			}
			opened = append(opened, fd)
			names = append(names, fmt.Sprintf("/proc/self/fd/%d", fd))
		}
		return option{key, strings.Join(names, ":")}, nil
	}
	lower, err := open("lowerdir", t.Lowers...)
	if err != nil {
		return -1, err
	}
	opts := []option{lower}
	if t.Upper != "" {
		upper, uerr := open("upperdir", t.Upper)
		work, werr := open("workdir", t.Work)
		if err := cmp.Or(uerr, werr); err != nil {
			return -1, err
		}
		opts = append(opts, upper, work)
	}
	if userns {
		opts = append(opts, option{"userxattr", ""}, option{"index", "off"})
	} else {
		opts = append(opts, option{"redirect_dir", "on"}, option{"metacopy", "off"}, option{"index", "off"})
	}
	fd, err := newFilesystem("overlay", opts...)
	if err != nil {
		return -1, fmt.Errorf("%w: lower %q, upper %q: %w", ErrOverlay, t.Lowers, t.Upper, err)
	}
	return fd, nil
}

// option is a mount option; one without a value is a flag.
type option struct{ key, value string }

// newFilesystem makes a detached mount of a new file system.
func newFilesystem(kind string, opts ...option) (int, error) {
	ctx, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open file system %q: %w", kind, err)
	}
	defer pidone.CloseAll(ctx)
	for _, o := range opts {
		if o.value == "" {
			err = unix.FsconfigSetFlag(ctx, o.key)
		} else {
			err = unix.FsconfigSetString(ctx, o.key, o.value)
		}
		if err != nil {
			return -1, explain(ctx, fmt.Errorf("option %s=%s of file system %q: %w", o.key, o.value, kind, err))
		}
	}
	if err := unix.FsconfigCreate(ctx); err != nil {
		return -1, explain(ctx, fmt.Errorf("make file system %q: %w", kind, err))
	}
	fd, err := unix.Fsmount(ctx, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return -1, explain(ctx, fmt.Errorf("mount file system %q: %w", kind, err))
	}
	return fd, nil
}

// explain adds what the kernel wrote about a file system it did not make.
func explain(ctx int, err error) error {
	buf := make([]byte, 512)
	n, rerr := unix.Read(ctx, buf)
	if rerr != nil || n <= 2 {
		return err
	}
	return fmt.Errorf("%w (%s)", err, buf[2:n])
}

// attach puts a detached mount on the directory or file that target is.
func attach(fd, target int) error {
	return unix.MoveMount(fd, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// isDir reports whether an open descriptor is a directory.
func isDir(fd int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, err
	}
	return st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}
