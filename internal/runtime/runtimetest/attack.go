package runtimetest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"agentprocess/internal/sandbox"
)

// attackVerb is the hidden verb of the test binary for attacks.
const attackVerb = "__attack"

// attacks are behaviours of what programs cannot do.
func attacks() []behaviour {
	return []behaviour{
		{"forbidden system calls", testForbidden},
		{"32-bit system calls", testForeignCalls},
		{"everyday system calls", testEveryday},
		{"init survives every signal", testInitSignals},
		{"init survives its limits", testInitLimits},
		{"set-user-id programs", testSetuid},
		{"host processes", testHostProcesses},
		{"abstract sockets of the host", testAbstract},
		{"attaching to others", testTrace},
	}
}

// testForbidden tries each forbidden call; the program prints those that were
// not refused.
func testForbidden(s *suite) {
	t := s.t
	spec := s.spec(t)
	spec.Network = sandbox.NetworkGateway
	box := s.start(t, spec)
	r := s.attack(t, box, "calls")
	if r.exit.Code != 0 {
		t.Errorf("exit %+v\n%s%s", r.exit, r.stdout, r.stderr)
	}
	if !strings.Contains(r.stdout, "tried") {
		t.Errorf("output %q", r.stdout)
	}
}

func testForeignCalls(s *suite) {
	t := s.t
	code, ok := foreignProgram()
	if !ok {
		return // this machine has one kind of system call only
	}
	dir := s.dir(t)
	s.write(t, filepath.Join(dir, "foreign"), string(code), 0o755)
	spec := s.spec(t)
	spec.Mounts = []sandbox.Mount{bind(dir, "/foreign", true)}
	box := s.start(t, spec)
	p, err := box.Exec(s.ctx, sandbox.Command{Argv: []string{"/foreign/foreign"}})
	if err != nil {
		t.Fatal(err)
	}
	// It asks for exit status 42 by the 32-bit table.
	if exit, err := p.Wait(); err != nil || exit.Code == 42 {
		t.Errorf("a 32-bit system call worked: %+v, %v", exit, err)
	}
}

func testEveryday(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	if r := s.attack(t, box, "everyday"); r.exit.Code != 0 {
		t.Errorf("exit %+v\n%s%s", r.exit, r.stdout, r.stderr)
	}
}

func testInitSignals(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	if r := s.attack(t, box, "signals"); r.exit.Code != 0 {
		t.Errorf("exit %+v\n%s%s", r.exit, r.stdout, r.stderr)
	}
	for range 3 {
		if got := s.sh(t, box, "echo alive"); got != "alive" {
			t.Errorf("after the signals: %q", got)
		}
	}
	// And it still reaps.
	s.sh(t, box, "(true &)")
	s.eventually(t, "no zombies", func() bool {
		return s.sh(t, box, "cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z ' || true") == "0"
	})
}

func testInitLimits(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	if r := s.attack(t, box, "prlimit"); r.exit.Code != 0 {
		t.Errorf("exit %+v\n%s%s", r.exit, r.stdout, r.stderr)
	}
	s.sh(t, box, "echo alive")
}

func testSetuid(s *suite) {
	t := s.t
	dir := s.dir(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "id")
	s.write(t, name, string(data), 0o755)
	if err := os.Chmod(name, 0o755|os.ModeSetuid|os.ModeSetgid); err != nil { // root's, when the test runs as root
		t.Fatal(err)
	}
	spec := s.spec(t)
	spec.Mounts = []sandbox.Mount{bind(dir, "/suid", false)}
	box := s.start(t, spec)
	if got := s.sh(t, box, "/suid/id "+attackVerb+" ids"); got != strings.Repeat(strconv.Itoa(s.Identity.UID)+" ", 2)+strings.Repeat(strconv.Itoa(s.Identity.GID)+" ", 2)+"[]" {
		t.Errorf("set-user-id program runs as %q", got)
	}
	s.fails(t, box, "/usr/bin/su -c true root </dev/null")
}

func testHostProcesses(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	self := strconv.Itoa(os.Getpid())
	s.fails(t, box, "kill -0 "+self+" && test \"$(cut -d' ' -f2 /proc/"+self+"/stat)\" = '("+strings.TrimSpace(comm())+")'")
	if got := s.sh(t, box, "ls /proc | grep -c '^[0-9]'"); len(got) > 1 {
		t.Errorf("%s processes are visible", got)
	}
	s.sh(t, box, "kill -9 -1; true") // everything it may reach: not us
	if err := syscall.Kill(os.Getpid(), 0); err != nil {
		t.Error(err)
	}
	s.sh(t, box, "echo alive")
}

// comm is the name of this process as /proc shows it.
func comm() string {
	data, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		return ""
	}
	return string(data)
}

func testAbstract(s *suite) {
	t := s.t
	name := "runtimetest-" + strconv.Itoa(os.Getpid())
	listenAbstract(t, name)
	box := s.start(t, s.spec(t))
	if r := s.attack(t, box, "abstract", name); r.exit.Code != 0 {
		t.Errorf("exit %+v\n%s%s", r.exit, r.stdout, r.stderr)
	}
}

func testTrace(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	s.sh(t, box, "sleep 1000 </dev/null >/dev/null 2>&1 & echo $! > /tmp/pid")
	r := s.attack(t, box, "trace", s.sh(t, box, "cat /tmp/pid"))
	if r.exit.Code != 0 {
		t.Errorf("exit %+v\n%s%s", r.exit, r.stdout, r.stderr)
	}
}
