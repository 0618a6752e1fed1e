package runtimetest

import (
	"path/filepath"
	"strings"
	"syscall"

	"agentprocess/internal/sandbox"
)

// limits are behaviours of what programs may use.
func limits() []behaviour {
	return []behaviour{
		{"memory", testMemory},
		{"processes", testProcesses},
		{"processors", testProcessors},
		{"disk, one file", testDiskFile},
		{"disk, in all", testDiskTotal},
	}
}

func testMemory(s *suite) {
	t := s.t
	spec := s.spec(t)
	spec.Limits.MemoryBytes = 128 << 20
	box := s.start(t, spec)
	if box.Facts().LimitedBy["memory"] == "" {
		t.Error("facts do not say what limits memory")
	}
	r := s.attack(t, box, "memory", "600")
	if r.exit.Code != 137 || r.exit.Signal != syscall.SIGKILL || !r.exit.OOM {
		t.Errorf("exit %+v\n%s", r.exit, r.stderr)
	}
	if box.Usage().OOMKills == 0 {
		t.Error("usage does not count the kill")
	}
	// The sandbox lives on, and who stays below is not blamed.
	if r := s.run(t, box, sandbox.Command{Argv: []string{"/bin/true"}}); r.exit.Code != 0 || r.exit.OOM {
		t.Errorf("afterwards: %+v", r.exit)
	}
}

func testProcesses(s *suite) {
	t := s.t
	spec := s.spec(t)
	spec.Limits.PIDs = 64
	box := s.start(t, spec)
	r := s.attack(t, box, "processes", "200")
	if r.exit.Code != 0 || !strings.Contains(r.stdout, "refused after") {
		t.Errorf("exit %+v\n%s%s", r.exit, r.stdout, r.stderr)
	}
	// A fork bomb that stays: PID 1 lives, and orders still end it.
	r = s.run(t, box, sandbox.Command{Argv: []string{"/bin/sh", "-c", "for i in $(seq 100); do sleep 1000 >/dev/null 2>&1 & done"}})
	if _, err := box.Exec(s.ctx, sandbox.Command{Argv: []string{"/bin/true"}}); err == nil && r.exit.Code == 0 {
		t.Error("100 processes fit in a limit of 64")
	}
}

func testProcessors(s *suite) {
	t := s.t
	spec := s.spec(t)
	spec.Limits.CPUs = 1
	box := s.start(t, spec)
	if box.Facts().LimitedBy["cpus"] == "" {
		t.Error("facts do not say what limits processors")
	}
	s.sh(t, box, "true")
}

func testDiskFile(s *suite) {
	t := s.t
	dir := s.dir(t)
	spec := s.spec(t)
	spec.Mounts = []sandbox.Mount{bind(dir, "/data", false)}
	spec.Limits.DiskBytes = 8 << 20
	box := s.start(t, spec)
	s.fails(t, box, "head -c 20000000 /dev/zero > /data/big")
}

func testDiskTotal(s *suite) {
	t := s.t
	dir := s.dir(t)
	s.write(t, filepath.Join(dir, "before"), strings.Repeat("x", 20<<20), 0o644) // not the sandbox's
	spec := s.spec(t)
	spec.Mounts = []sandbox.Mount{bind(dir, "/data", false)}
	spec.Limits.DiskBytes = 16 << 20
	box := s.start(t, spec)
	p, err := box.Exec(s.ctx, sandbox.Command{
		Argv: []string{"/bin/sh", "-c", "for i in 1 2 3 4 5 6 7; do head -c 4000000 /dev/zero > /data/$i; done; sleep 1000"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if exit, _ := p.Wait(); exit.Code != 137 {
		t.Errorf("exit %+v", exit)
	}
	if !box.Usage().DiskExceeded {
		t.Error("usage does not tell")
	}
}
