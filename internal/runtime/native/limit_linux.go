package native

import (
	"bufio"
	"cmp"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"agentprocess/internal/sandbox"
)

// The limits of a sandbox whose spec has none: 4096 processes and 80 % of the
// machine's memory; processors and disk are not limited.
const (
	defaultPIDs          = 4096
	defaultMemoryPercent = 80
)

// withDefaults fills in the limits that are zero.
func withDefaults(l sandbox.Limits) sandbox.Limits {
	l.PIDs = cmp.Or(l.PIDs, defaultPIDs)
	l.MemoryBytes = cmp.Or(l.MemoryBytes, machineMemory()/100*defaultMemoryPercent)
	return l
}

func machineMemory() int64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 8 << 30 // never seen to fail
	}
	return int64(info.Totalram) * int64(info.Unit) // far below 2^63
}

// hostHomes are the home directories of this host's people, never shown whole.
func hostHomes() []string {
	homes := []string{"/root", "/home"}
	if h, err := os.UserHomeDir(); err == nil {
		homes = append(homes, h)
	}
	f, err := os.Open("/etc/passwd")
	if err != nil {
		return homes
	}
	defer func() { _ = f.Close() }() // only read
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if part := strings.Split(lines.Text(), ":"); len(part) == 7 && strings.Count(part[5], "/") > 1 && !inBase(part[5]) {
			homes = append(homes, part[5])
		}
	}
	return homes
}
