package pidone

import (
	"time"

	"golang.org/x/sys/unix"

	"agentprocess/internal/sandbox"
)

// diskInterval is the least time between two measurements of disk use; a
// measurement that takes long is followed by a pause ten times as long.
const diskInterval = time.Second

// diskWatch measures what a sandbox adds to the host's disk.
type diskWatch struct {
	limit int64
	dirs  []string
	base  map[string]int64 // what was there before, of binds
}

// newDiskWatch watches the upper layers of overlays and writable binds. A bind
// counts by its growth: what was there before is not the sandbox's.
func newDiskWatch(limit int64, mounts []sandbox.Mount) *diskWatch {
	d := &diskWatch{limit: limit, base: map[string]int64{}}
	for _, m := range mounts {
		switch {
		case m.Kind == sandbox.MountOverlay && m.Upper != "":
			d.dirs = append(d.dirs, m.Upper)
		case m.Kind == sandbox.MountBind && !m.ReadOnly:
			d.dirs = append(d.dirs, m.Source)
			d.base[m.Source] = diskUse(m.Source)
		}
	}
	return d
}

// watch measures until done, or calls exceeded once.
func (d *diskWatch) watch(done <-chan struct{}, exceeded func()) {
	timer := time.NewTimer(diskInterval)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return
		case <-timer.C:
		}
		begin := time.Now()
		if d.use() > d.limit {
			exceeded()
			return
		}
		timer.Reset(max(diskInterval, 10*time.Since(begin)))
	}
}

func (d *diskWatch) use() int64 {
	total := int64(0)
	for _, dir := range d.dirs {
		total += max(0, diskUse(dir)-d.base[dir])
	}
	return total
}

// diskUse is what a tree takes on disk, in bytes. The tree is hostile and
// changes meanwhile: no link is followed, what cannot be opened counts as
// itself.
func diskUse(dir string) int64 {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	return treeUse(fd, map[[2]uint64]bool{}, 0)
}

// maxDiskDepth bounds the descriptors that are open at once.
const maxDiskDepth = 256

// treeUse measures an open directory and closes it.
func treeUse(fd int, seen map[[2]uint64]bool, level int) int64 {
	defer CloseAll(fd)
	total := int64(0)
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil || n <= 0 {
			return total
		}
		_, _, names := unix.ParseDirent(buf[:n], -1, nil)
		for _, name := range names {
			total += entryUse(fd, name, seen, level)
		}
	}
}

func entryUse(dir int, name string, seen map[[2]uint64]bool, level int) int64 {
	var st unix.Stat_t
	if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return 0
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		if st.Nlink > 1 {
			key := [2]uint64{st.Dev, st.Ino}
			if seen[key] {
				return 0
			}
			seen[key] = true
		}
		return st.Blocks * 512
	}
	use := st.Blocks * 512
	if level >= maxDiskDepth {
		return use
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return use
	}
	return use + treeUse(fd, seen, level+1)
}
