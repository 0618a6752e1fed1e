package pidone

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Limits are the limits that PID 1 keeps, where no cgroup does.
type Limits struct {
	Processes uint64 `json:"processes,omitempty"` // RLIMIT_NPROC
	FileSize  uint64 `json:"file_size,omitempty"` // RLIMIT_FSIZE
	Data      uint64 `json:"data,omitempty"`      // RLIMIT_DATA
	// WatchMemory is the bytes that all programs together may have.
	WatchMemory int64 `json:"watch_memory,omitempty"`
	// CPUs is how many processors they may run on.
	CPUs int `json:"cpus,omitempty"`
}

// DataHeadroom is what RLIMIT_DATA allows a process beyond twice the memory
// limit. It bounds what one process can take between two looks of the watcher;
// it must not be tight, since it counts what is only reserved: at 512 MiB some
// JavaScript engines do not start.
const DataHeadroom = 1 << 30

// WatchInterval is how often memory is measured where no cgroup does it.
const WatchInterval = 200 * time.Millisecond

// apply sets the resource limits of this process, which programs inherit.
func (l Limits) apply() error {
	for _, r := range []struct {
		name     string
		resource int
		value    uint64
		set      bool
	}{
		{"core", unix.RLIMIT_CORE, 0, true},
		{"processes", unix.RLIMIT_NPROC, l.Processes, l.Processes > 0},
		{"file size", unix.RLIMIT_FSIZE, l.FileSize, l.FileSize > 0},
		{"data", unix.RLIMIT_DATA, l.Data, l.Data > 0},
	} {
		if !r.set {
			continue
		}
		// Through prlimit: PID 1 may not be allowed more than it has.
		var now unix.Rlimit
		if err := unix.Prlimit(0, r.resource, nil, &now); err != nil {
			return fmt.Errorf("limit of %s: %w", r.name, err)
		}
		value := min(r.value, now.Max)
		if err := unix.Prlimit(0, r.resource, &unix.Rlimit{Cur: value, Max: value}, nil); err != nil {
			return fmt.Errorf("limit of %s to %d: %w", r.name, value, err)
		}
	}
	return nil
}

// pin keeps the calling thread, and what it starts, on some of the processors
// it may use.
func (l Limits) pin() error {
	if l.CPUs == 0 {
		return nil
	}
	var have, want unix.CPUSet
	if err := unix.SchedGetaffinity(0, &have); err != nil {
		return fmt.Errorf("processors: %w", err)
	}
	if have.Count() <= l.CPUs {
		return nil
	}
	// Sandboxes spread by their host process id.
	skip := hostSpread(have.Count())
	for i, seen := 0, 0; want.Count() < l.CPUs && i < 2*len(have)*64; i++ {
		cpu := i % (len(have) * 64)
		if !have.IsSet(cpu) {
			continue
		}
		if seen++; seen > skip {
			want.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &want); err != nil {
		return fmt.Errorf("processors: %w", err)
	}
	return nil
}

// hostSpread is a number below n that differs between sandboxes.
func hostSpread(n int) int {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return 0
	}
	return int(st.Ino % uint64(n)) // below n, a small int
}

// watchMemory kills the biggest program whenever all together have more than
// limit: what a memory cgroup does, where there is none.
func (p *One) watchMemory(limit int64) {
	tick := time.NewTicker(WatchInterval)
	defer tick.Stop()
	for range tick.C {
		total, biggest := memoryUse()
		if total+memoryFiles() <= limit || biggest == 0 {
			continue
		}
		if unix.Kill(biggest, unix.SIGKILL) == nil {
			_ = p.wire.Send(Message{Op: opOOM}) // with the supervisor gone serve ends us
		}
	}
}

// memoryUse is the private memory of all programs, and the one with most.
func memoryUse() (total int64, biggest int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, 0
	}
	most := int64(0)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == 1 {
			continue
		}
		data, err := os.ReadFile("/proc/" + e.Name() + "/statm")
		if err != nil {
			continue // ended
		}
		private, err := privatePages(data)
		if err != nil {
			continue
		}
		private *= int64(os.Getpagesize())
		total += private
		if private > most {
			most, biggest = private, pid
		}
	}
	return total, biggest
}

// privatePages reads resident minus shared pages from statm.
func privatePages(statm []byte) (int64, error) {
	f := bytes.Fields(statm)
	if len(f) < 3 {
		return 0, errors.New("short statm")
	}
	resident, rerr := strconv.ParseInt(string(f[1]), 10, 64)
	shared, serr := strconv.ParseInt(string(f[2]), 10, 64)
	return resident - shared, errors.Join(rerr, serr)
}

// memoryFiles is what the memory file systems hold.
func memoryFiles() int64 {
	total := int64(0)
	for _, dir := range []string{"/tmp", "/var/tmp", "/run", "/dev/shm"} {
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) == nil && st.Type == unix.TMPFS_MAGIC {
			total += int64(st.Blocks-st.Bfree) * st.Bsize // sizes of our own mounts
		}
	}
	return total
}
