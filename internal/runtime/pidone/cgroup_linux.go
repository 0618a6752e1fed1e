package pidone

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Cgroup reads what a sandbox's control group has counted. The zero value
// counts nothing.
type Cgroup struct {
	Memory  string // the directory of its memory controller
	Unified bool   // version 2
}

// CgroupOf finds the group of a process by the cgroup file systems that are
// mounted here.
func CgroupOf(pid int) Cgroup {
	own, oerr := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	mounts, merr := os.ReadFile("/proc/self/mounts")
	if oerr != nil || merr != nil {
		return Cgroup{}
	}
	return findCgroup(own, mounts)
}

func findCgroup(own, mounts []byte) Cgroup {
	paths := CgroupPaths(own)
	lines := bufio.NewScanner(bytes.NewReader(mounts))
	var unified Cgroup
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 4 {
			continue
		}
		switch path, ok := paths["memory"]; {
		case f[2] == "cgroup" && ok && strings.Contains(","+f[3]+",", ",memory,"):
			return Cgroup{Memory: filepath.Join(f[1], path)}
		case f[2] == "cgroup2" && paths[""] != "":
			unified = Cgroup{Memory: filepath.Join(f[1], paths[""]), Unified: true}
		}
	}
	return unified
}

// CgroupPaths reads the text of /proc/PID/cgroup: path by controller, "" for
// version 2.
func CgroupPaths(text []byte) map[string]string {
	paths := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		part := strings.SplitN(lines.Text(), ":", 3)
		if len(part) != 3 {
			continue
		}
		for c := range strings.SplitSeq(part[1], ",") {
			paths[c] = part[2]
		}
	}
	return paths
}

// OOMKills is how many processes the kernel killed for the limit.
func (g Cgroup) OOMKills() int {
	file := "memory.oom_control"
	if g.Unified {
		file = "memory.events"
	}
	data, err := g.read(file)
	if err != nil {
		return 0
	}
	return oomCount(data)
}

func (g Cgroup) read(file string) ([]byte, error) {
	if g.Memory == "" {
		return nil, os.ErrNotExist
	}
	return os.ReadFile(filepath.Join(g.Memory, file))
}

func oomCount(data []byte) int {
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "oom_kill "); ok {
			n, err := strconv.Atoi(v)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}

// Peak is the most memory there was, in bytes; 0 when unknown.
func (g Cgroup) Peak() int64 {
	file := "memory.max_usage_in_bytes"
	if g.Unified {
		file = "memory.peak"
	}
	data, err := g.read(file)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
