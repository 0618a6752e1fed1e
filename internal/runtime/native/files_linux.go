package native

import (
	"cmp"
	"fmt"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"agentprocess/internal/runtime/pidone"
	"agentprocess/internal/sandbox"
)

// etcFiles are the parts of /etc that are made up; an image has some of its own.
func etcFiles(cfg *initConfig) []sandbox.File {
	text := func(name, data string) sandbox.File {
		return sandbox.File{Path: "/etc/" + name, Data: []byte(data), Mode: 0o444}
	}
	return append(sandbox.Spec{Identity: cfg.Identity, Hostname: cfg.Hostname, Home: cfg.Home}.Etc(),
		text("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\nethers: files\nrpc: files\n"),
		text("shells", "/bin/sh\n/bin/bash\n"))
}

// writeFiles writes the files of the spec. One that is not Owned must be out
// of the agent's reach: it lies on a file system that turns read-only, or is
// bound read-only from there.
func (r *rootfs) writeFiles(files []sandbox.File, trees []tree) error {
	fixed, err := r.fixedDevices(trees)
	if err != nil {
		return err
	}
	for i, f := range files {
		if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path {
			return fmt.Errorf("file %q: not a clean absolute path", f.Path)
		}
		parent, err := r.dir(path.Dir(f.Path))
		if err != nil {
			return fmt.Errorf("file %q: %w", f.Path, err)
		}
		err = r.place(parent, f, fixed, i)
		pidone.CloseAll(parent)
		if err != nil {
			return fmt.Errorf("file %q: %w", f.Path, err)
		}
	}
	return nil
}

// place writes one file whose directory is open.
func (r *rootfs) place(parent int, f sandbox.File, fixed []uint64, n int) error {
	var st unix.Stat_t
	if err := unix.Fstat(parent, &st); err != nil {
		return err
	}
	mode := cmp.Or(f.Mode, 0o444) & 0o777
	if f.Owned || slices.Contains(fixed, st.Dev) {
		return pidone.WriteNew(parent, path.Base(f.Path), f.Data, mode)
	}
	store, err := r.dir(sandbox.RunDir + "/.files")
	if err != nil {
		return err
	}
	defer pidone.CloseAll(store)
	name := fmt.Sprintf("%d", n)
	if err := pidone.WriteNew(store, name, f.Data, mode); err != nil {
		return err
	}
	target, err := r.file(f.Path)
	if err != nil {
		return err
	}
	pidone.CloseAll(target)
	return r.bindOver(sandbox.RunDir+"/.files/"+name, f.Path, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
}

// fixedDevices are the device numbers of the file systems that turn read-only.
func (r *rootfs) fixedDevices(trees []tree) ([]uint64, error) {
	var devs []uint64
	for _, name := range lateTargets(trees) {
		fd, err := r.dir(name)
		if err != nil {
			return nil, err
		}
		var st unix.Stat_t
		err = unix.Fstat(fd, &st)
		pidone.CloseAll(fd)
		if err != nil {
			return nil, err
		}
		devs = append(devs, st.Dev)
	}
	return devs, nil
}

// lateTargets are the mounts of our own that turn read-only at the end.
func lateTargets(trees []tree) []string {
	names := []string{"/"}
	for _, t := range trees {
		if t.Late {
			names = append(names, t.Target)
		}
	}
	return names
}
