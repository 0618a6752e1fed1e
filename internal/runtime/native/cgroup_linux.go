package native

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"agentprocess/internal/runtime/pidone"
	"agentprocess/internal/sandbox"
)

// cgroupPrefix begins the name of every cgroup of ours.
const cgroupPrefix = "agent-process-"

// cgroupRoot is where hosts mount cgroup file systems.
const cgroupRoot = "/sys/fs/cgroup"

// cpuPeriod is the accounting period of the cpu controller, in microseconds.
const cpuPeriod = 100_000

// removePeriod and removeTries bound the wait for a cgroup to be empty.
const (
	removePeriod = time.Millisecond
	removeTries  = 2000
)

// cgroup is the set of directories that hold one sandbox, by controller. In
// version 2 all controllers share one directory.
type cgroup struct {
	version int
	dirs    map[string]string // controller to directory
	homes   map[string]string // controller to the directory we are in
	limited map[string]bool   // limits that are kept here
}

// hierarchy is where new cgroups can be made: parents by controller.
type hierarchy struct {
	version int
	parents map[string]string
}

// findHierarchy finds where this process may make cgroups; the zero value when
// nowhere. self is the content of /proc/self/cgroup, mounts of /proc/self/mounts.
func findHierarchy(self, mounts []byte) hierarchy {
	own := pidone.CgroupPaths(self)
	v1 := hierarchy{version: 1, parents: map[string]string{}}
	lines := bufio.NewScanner(bytes.NewReader(mounts))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 4 {
			continue
		}
		switch f[2] {
		case "cgroup":
			for opt := range strings.SplitSeq(f[3], ",") {
				if path, ok := own[opt]; ok && slices.Contains([]string{"memory", "pids", "cpu"}, opt) {
					if dir := filepath.Join(f[1], path); writable(dir) {
						v1.parents[opt] = dir
					}
				}
			}
		case "cgroup2":
			if h, ok := findUnified(f[1], own[""]); ok {
				return h
			}
		}
	}
	if len(v1.parents) == 0 {
		return hierarchy{}
	}
	return v1
}

// findUnified finds the directory of a version 2 hierarchy below which a
// sandbox may stand: the nearest one above us that hands out controllers and
// that we may write. Our own does not do: it has processes, and the kernel
// lets only a group without any hand out controllers.
func findUnified(mount, own string) (hierarchy, bool) {
	for dir := filepath.Dir(filepath.Join(mount, own)); strings.HasPrefix(dir+"/", mount+"/"); dir = filepath.Dir(dir) {
		if !writable(dir) || !writable(filepath.Join(dir, "cgroup.procs")) {
			return hierarchy{}, false
		}
		data, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
		if err != nil {
			return hierarchy{}, false
		}
		h := hierarchy{version: 2, parents: map[string]string{}}
		for c := range strings.FieldsSeq(string(data)) {
			if slices.Contains([]string{"memory", "pids", "cpu"}, c) {
				h.parents[c] = dir
			}
		}
		if h.parents["memory"] != "" && h.parents["pids"] != "" {
			return h, true
		}
	}
	return hierarchy{}, false
}

func writable(name string) bool { return unix.Access(name, unix.W_OK) == nil }

// currentHierarchy is findHierarchy of this process.
func currentHierarchy() hierarchy {
	self, serr := os.ReadFile("/proc/self/cgroup")
	mounts, merr := os.ReadFile("/proc/self/mounts")
	if serr != nil || merr != nil {
		return hierarchy{}
	}
	return findHierarchy(self, mounts)
}

// dirs are the directories of a run's cgroup, by controller.
func (h hierarchy) dirs(id string) map[string]string {
	dirs := map[string]string{}
	for c, parent := range h.parents {
		dirs[c] = filepath.Join(parent, cgroupPrefix+id)
	}
	return dirs
}

// newCgroup makes the cgroup of a run and sets its limits. A controller that
// cannot be had is left to the other means; the rest of the group stands.
func newCgroup(h hierarchy, id string, limits sandbox.Limits) (*cgroup, error) {
	g := &cgroup{version: h.version, dirs: map[string]string{}, homes: h.parents, limited: map[string]bool{}}
	made := map[string]bool{} // version 2 has one directory for all
	for c, dir := range h.dirs(id) {
		if c == "cpu" && limits.CPUs == 0 {
			continue // nothing to limit there
		}
		if !made[dir] {
			err := os.Mkdir(dir, 0o750)
			if errors.Is(err, fs.ErrExist) {
				for own := range made {
					err = errors.Join(err, unix.Rmdir(own))
				}
				return g, fmt.Errorf("cgroup %q: a sandbox of that id runs or was not cleaned up: %w", dir, err)
			}
			if err != nil {
				continue
			}
			made[dir] = true
		}
		g.dirs[c] = dir
	}
	for _, s := range g.settings(limits) {
		dir, ok := g.dirs[s.controller]
		if !ok {
			continue
		}
		err := writeFile(filepath.Join(dir, s.file), s.value)
		switch {
		case err == nil:
			g.limited[s.limit] = true
		case s.optional && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)):
		default:
			return g, fmt.Errorf("set %s of cgroup %q: %w", s.file, dir, err)
		}
	}
	return g, nil
}

// setting is one file of a controller.
type setting struct {
	limit, controller, file, value string
	optional                       bool
}

// settings are the files to write, in order.
func (g *cgroup) settings(l sandbox.Limits) []setting {
	mem, pids := strconv.FormatInt(l.MemoryBytes, 10), strconv.FormatInt(l.PIDs, 10)
	quota := strconv.FormatInt(int64(l.CPUs*cpuPeriod), 10)
	var out []setting
	if g.version == 2 {
		out = append(out,
			setting{"memory", "memory", "memory.max", mem, false},
			setting{"memory", "memory", "memory.swap.max", "0", true},
			setting{"pids", "pids", "pids.max", pids, false})
		if l.CPUs > 0 {
			out = append(out, setting{"cpus", "cpu", "cpu.max", quota + " " + strconv.Itoa(cpuPeriod), false})
		}
		return out
	}
	out = append(out,
		setting{"memory", "memory", "memory.limit_in_bytes", mem, false},
		setting{"memory", "memory", "memory.memsw.limit_in_bytes", mem, true},
		setting{"pids", "pids", "pids.max", pids, false})
	if l.CPUs > 0 {
		out = append(out,
			setting{"cpus", "cpu", "cpu.cfs_period_us", strconv.Itoa(cpuPeriod), false},
			setting{"cpus", "cpu", "cpu.cfs_quota_us", quota, false})
	}
	return out
}

// writeFile writes an existing file of a kernel file system.
func writeFile(name, value string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// birthplace says that a child can be born in the group: in version 1 threads
// of a process may be in groups of their own, and a child is born where the
// thread is that clones it. Moving a process later makes the kernel stop every
// fork and exit of the machine for a while, several milliseconds at times;
// moving the thread that asks does not.
func (g *cgroup) birthplace() bool { return g != nil && g.version == 1 && len(g.dirs) > 0 }

// enter moves the calling thread, which must be locked, into the group; leave
// moves it back.
func (g *cgroup) enter() error { return moveThread(g.dirs, g.dirs) }

func (g *cgroup) leave() error { return moveThread(g.dirs, g.homes) }

// moveThread moves the calling thread to the directories of some controllers.
func moveThread(controllers, dirs map[string]string) error {
	for c := range controllers {
		if err := writeFile(filepath.Join(dirs[c], "tasks"), "0"); err != nil {
			return fmt.Errorf("move a thread to cgroup %q: %w", dirs[c], err)
		}
	}
	return nil
}

// join moves a process into the group.
func (g *cgroup) join(pid int) error {
	for _, dir := range g.unique() {
		if err := writeFile(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("join cgroup %q: %w", dir, err)
		}
	}
	return nil
}

func (g *cgroup) unique() []string {
	var dirs []string
	for _, d := range g.dirs {
		if !slices.Contains(dirs, d) {
			dirs = append(dirs, d)
		}
	}
	return dirs
}

// name says which mechanism it is.
func (g *cgroup) name() string { return "cgroup v" + strconv.Itoa(g.version) }

// usage reads what the group has used.
func (g *cgroup) usage() pidone.Cgroup {
	if g == nil {
		return pidone.Cgroup{}
	}
	return pidone.Cgroup{Memory: g.dirs["memory"], Unified: g.version == 2}
}

// removeCgroups kills what is in the directories and removes them.
func removeCgroups(ctx context.Context, dirs []string) error {
	var errs error
	for _, dir := range dirs {
		errs = errors.Join(errs, removeCgroup(ctx, dir))
	}
	return errs
}

func removeCgroup(ctx context.Context, dir string) error {
	tick := time.NewTicker(removePeriod)
	defer tick.Stop()
	for try := 0; ; try++ {
		err := unix.Rmdir(dir)
		switch {
		case err == nil, errors.Is(err, unix.ENOENT):
			return nil
		case !errors.Is(err, unix.EBUSY) || try >= removeTries:
			return fmt.Errorf("remove cgroup %q: %w", dir, err)
		}
		killCgroup(dir)
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove cgroup %q: %w", dir, ctx.Err())
		case <-tick.C:
		}
	}
}

// killCgroup kills every process of a group. Whether it worked is seen by the
// group being empty.
func killCgroup(dir string) {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return
	}
	for f := range strings.FieldsSeq(string(data)) {
		if pid, err := strconv.Atoi(f); err == nil && pid > 1 && pid != os.Getpid() {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// findCgroups finds the groups of a run id anywhere below root.
func findCgroups(root, id string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fs.SkipDir // vanished, or not for us: then it is not ours
		case d.IsDir() && d.Name() == cgroupPrefix+id:
			found = append(found, name)
			return fs.SkipDir
		}
		return nil
	})
	return found, err
}
