package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"agentprocess/internal/sandbox"
)

// programs are behaviours of starting, talking to and ending programs.
func programs() []behaviour {
	return []behaviour{
		{"exit status", testExitStatus},
		{"ended by a signal", testExitSignal},
		{"missing program and directory", testMissing},
		{"environment is only what was given", testEnvironment},
		{"input and output", testStreams},
		{"sealed streams are nobody else's", testSealed},
		{"one writer for both outputs", testOneWriter},
		{"files are handed over", testFileStreams},
		{"signal reaches the group", testSignal},
		{"end of context kills", testContext},
		{"leftovers do not hold up wait", testLeftovers},
		{"terminal and its size", testTerminal},
		{"orphans are reaped", testOrphans},
		{"many at once", testManyAtOnce},
		{"close kills everything", testClose},
		{"cancelled start leaves nothing", testCancelledStart},
		{"cleanup of nothing", testCleanupNothing},
	}
}

func testExitStatus(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	for _, code := range []int{0, 1, 7, 126, 255} {
		r := s.run(t, box, sandbox.Command{Argv: []string{"/bin/sh", "-c", "exit " + strconv.Itoa(code)}})
		if r.exit != (sandbox.Exit{Code: code}) {
			t.Errorf("exit %d: got %+v", code, r.exit)
		}
	}
}

func testExitSignal(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGABRT, syscall.SIGSEGV} {
		r := s.run(t, box, sandbox.Command{Argv: []string{"/bin/sh", "-c", "kill -" + strconv.Itoa(int(sig)) + " $$"}})
		if want := (sandbox.Exit{Code: 128 + int(sig), Signal: sig}); r.exit != want {
			t.Errorf("%v: got %+v, want %+v", sig, r.exit, want)
		}
	}
}

func testMissing(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	for _, cmd := range []sandbox.Command{
		{Argv: []string{"no-such-program"}, Env: []string{"PATH=/usr/bin"}},
		{Argv: []string{"/no/such/program"}},
		{Argv: []string{"/bin/true"}, Dir: "/no/such/directory"},
	} {
		if _, err := box.Exec(s.ctx, cmd); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("exec %q in %q: got %v, want not-exist", cmd.Argv, cmd.Dir, err)
		}
	}
	if _, err := box.Exec(s.ctx, sandbox.Command{}); err == nil {
		t.Error("exec of nothing: no error")
	}
	s.sh(t, box, "true")
}

func testEnvironment(s *suite) {
	t := s.t
	t.Setenv("RUNTIMETEST_SECRET", "from the host")
	box := s.start(t, s.spec(t))
	r := s.run(t, box, sandbox.Command{Argv: []string{"/usr/bin/env"}, Env: []string{"A=1", "B=two words"}})
	if r.stdout != "A=1\nB=two words\n" {
		t.Errorf("environment: %q", r.stdout)
	}
	r = s.run(t, box, sandbox.Command{Argv: []string{"/usr/bin/env"}, Env: []string{}})
	if r.stdout != "" {
		t.Errorf("empty environment: %q", r.stdout)
	}
	if dir := s.sh(t, box, "pwd"); dir != "/" {
		t.Errorf("directory: %q", dir)
	}
}

func testStreams(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	data := strings.Repeat("0123456789abcdef\n", 1<<16) // more than any pipe holds
	var out, errOut bytes.Buffer
	p, err := box.Exec(s.ctx, sandbox.Command{
		Argv:  []string{"/bin/sh", "-c", "cat; echo done >&2"},
		Stdin: strings.NewReader(data), Stdout: &out, Stderr: &errOut,
	})
	if err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(); err != nil || exit.Code != 0 {
		t.Fatal(exit, err)
	}
	if out.String() != data || errOut.String() != "done\n" {
		t.Errorf("output: %d bytes of %d, stderr %q", out.Len(), len(data), errOut.String())
	}
	// Nothing given is /dev/null.
	p, err = box.Exec(s.ctx, sandbox.Command{Argv: []string{"/bin/sh", "-c", "cat; echo x; echo y >&2"}})
	if err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(); err != nil || exit.Code != 0 {
		t.Fatal(exit, err)
	}
}

// Who shares the agent's user may open a pipe of its through /proc, and read or
// write what the supervisor believes to be the agent's own words.
func testSealed(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	data := strings.Repeat("0123456789abcdef\n", 1<<16)
	var out, errOut bytes.Buffer
	run := func(sealed bool, script string) {
		out.Reset()
		errOut.Reset()
		p, err := box.Exec(s.ctx, sandbox.Command{
			Argv: []string{"/bin/sh", "-c", script}, Sealed: sealed, Stdin: strings.NewReader(data), Stdout: &out, Stderr: &errOut,
		})
		if err != nil {
			t.Fatal(err)
		}
		if exit, err := p.Wait(); err != nil || exit.Code != 0 {
			t.Fatal(exit, err, errOut.String())
		}
	}
	run(true, "cat; echo done >&2")
	if out.String() != data || errOut.String() != "done\n" {
		t.Errorf("output: %d bytes of %d, stderr %q", out.Len(), len(data), errOut.String())
	}
	// The neighbour is a child in a session of its own; $$ is the victim.
	const steal = `for fd in 0 1 2; do for how in '<' '>'; do setsid sh -c "exec 2>/dev/null; exec 9$how/proc/$$/fd/$fd" && echo "opened $how $fd"; done; done; cat >/dev/null`
	run(true, steal)
	if out.Len() > 0 {
		t.Errorf("sealed: a neighbour %s", out.String())
	}
	run(false, steal)
	if !strings.Contains(out.String(), "opened < 1") {
		t.Errorf("the attack does not work where it should: %q", out.String())
	}
}

func testOneWriter(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	var both bytes.Buffer
	p, err := box.Exec(s.ctx, sandbox.Command{Argv: []string{"/bin/sh", "-c", "echo 1; echo 2 >&2; echo 3"}, Stdout: &both, Stderr: &both})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	if both.String() != "1\n2\n3\n" {
		t.Errorf("output %q", both.String())
	}
}

func testFileStreams(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := box.Exec(s.ctx, sandbox.Command{Argv: []string{"/bin/echo", "hello"}, Stdout: w})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil || string(data) != "hello\n" {
		t.Errorf("read %q, %v", data, err)
	}
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
}

// notify is a writer that tells when a program said that it is ready.
type notify struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	seen chan struct{}
	once sync.Once
}

func newNotify() *notify { return &notify{seen: make(chan struct{})} }

// Write implements io.Writer.
func (n *notify) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.buf.Write(p)
	if strings.Contains(n.buf.String(), "ready") {
		n.once.Do(func() { close(n.seen) })
	}
	return len(p), nil
}

// String is what was written so far.
func (n *notify) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.buf.String()
}

// wait waits for that.
func (n *notify) wait(s *suite) {
	s.t.Helper()
	select {
	case <-n.seen:
	case <-s.ctx.Done():
		s.t.Fatalf("never ready: %q", n.String())
	}
}

func testSignal(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	out := newNotify()
	p, err := box.Exec(s.ctx, sandbox.Command{
		Argv: []string{"/bin/sh", "-c", "trap 'echo got it; exit 3' USR1; echo ready; while :; do sleep 0.05; done"}, Stdout: out,
		Env: []string{"PATH=/usr/bin:/bin"},
	})
	if err != nil {
		t.Fatal(err)
	}
	out.wait(s)
	if err := p.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	// The sleep of the group may die of it first; the shell's trap runs.
	exit, err := p.Wait()
	if err != nil || exit.Code != 3 || !strings.Contains(out.String(), "got it") {
		t.Errorf("exit %+v, %v, output %q", exit, err, out)
	}
	if err := p.Signal(syscall.SIGUSR1); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal after the end: %v", err)
	}
}

func testContext(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	ctx, cancel := context.WithCancel(s.ctx)
	out := newNotify()
	p, err := box.Exec(ctx, sandbox.Command{Argv: []string{"/bin/sh", "-c", "trap '' TERM INT; echo ready; sleep 1000"}, Stdout: out})
	if err != nil {
		t.Fatal(err)
	}
	out.wait(s)
	cancel()
	exit, err := p.Wait()
	if err != nil || exit.Signal != syscall.SIGKILL || exit.Code != 137 {
		t.Errorf("exit %+v, %v", exit, err)
	}
	if _, err := box.Exec(ctx, sandbox.Command{Argv: []string{"/bin/true"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("exec with an ended context: %v", err)
	}
	s.sh(t, box, "true")
}

func testLeftovers(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	if got := s.sh(t, box, "sleep 1000 & echo $! > /tmp/pid; echo started"); got != "started" {
		t.Errorf("output %q", got)
	}
	s.sh(t, box, "kill -0 $(cat /tmp/pid)") // it stays until Close
}

func testTerminal(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	out := newNotify()
	in, feed := io.Pipe()
	p, err := box.Exec(s.ctx, sandbox.Command{
		Argv:  []string{"/bin/sh", "-c", `tty; stty size; trap 'stty size; exit 5' WINCH; echo ready; while :; do read x && echo "read $x"; done`},
		Env:   []string{"PATH=/usr/bin:/bin", "TERM=xterm"},
		Stdin: in, Stdout: out, TTY: &sandbox.TTY{Rows: 33, Cols: 101},
	})
	if err != nil {
		t.Fatal(err)
	}
	out.wait(s)
	if _, err := feed.Write([]byte("hello\n")); err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "the line to be read", func() bool { return strings.Contains(out.String(), "read hello") })
	if err := p.Resize(sandbox.TTY{Rows: 40, Cols: 120}); err != nil {
		t.Fatal(err)
	}
	if _, err := feed.Write([]byte("\n")); err != nil { // ends a read that restarts
		t.Fatal(err)
	}
	exit, err := p.Wait()
	if err != nil || exit.Code != 5 {
		t.Errorf("exit %+v, %v", exit, err)
	}
	for _, want := range []string{"/dev/pts/", "33 101", "40 120"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output %q does not contain %q", out, want)
		}
	}
	if err := feed.Close(); err != nil {
		t.Error(err)
	}
}

func testOrphans(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	s.sh(t, box, "for i in 1 2 3 4 5 6 7 8; do (sh -c 'true & true &' &) ; done")
	s.eventually(t, "no zombies", func() bool {
		return s.sh(t, box, "cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z ' || true") == "0"
	})
}

func testManyAtOnce(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			var out bytes.Buffer
			p, err := box.Exec(s.ctx, sandbox.Command{Argv: []string{"/bin/sh", "-c", "echo " + strconv.Itoa(i) + "; exit " + strconv.Itoa(i)}, Stdout: &out})
			if err != nil {
				t.Error(err)
				return
			}
			exit, err := p.Wait()
			if err != nil || exit.Code != i || out.String() != strconv.Itoa(i)+"\n" {
				t.Errorf("%d: %+v, %v, %q", i, exit, err, out.String())
			}
		})
	}
	wg.Wait()
}

func testClose(s *suite) {
	t := s.t
	box, err := s.Runtime.Start(s.ctx, s.spec(t))
	if err != nil {
		t.Fatal(err)
	}
	out := newNotify()
	p, err := box.Exec(s.ctx, sandbox.Command{Argv: []string{"/bin/sh", "-c", "setsid sleep 1000 & echo ready; sleep 1000"}, Stdout: out})
	if err != nil {
		t.Fatal(err)
	}
	out.wait(s)
	for range 2 {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	}
	if exit, _ := p.Wait(); exit.Code != 137 {
		t.Errorf("exit %+v", exit)
	}
	if _, err := box.Exec(s.ctx, sandbox.Command{Argv: []string{"/bin/true"}}); err == nil {
		t.Error("exec after close: no error")
	}
}

func testCancelledStart(s *suite) {
	t := s.t
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	spec := s.spec(t)
	if _, err := s.Runtime.Start(ctx, spec); !errors.Is(err, context.Canceled) {
		t.Fatalf("start: %v, want canceled", err)
	}
	s.start(t, spec) // the id is free again
}

func testCleanupNothing(s *suite) {
	t := s.t
	for range 2 {
		if err := s.Runtime.Cleanup(s.ctx, "no-such-run"); err != nil {
			t.Error(err)
		}
	}
}
