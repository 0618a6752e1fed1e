package runtimetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"agentprocess/internal/execx"
	"agentprocess/internal/sandbox"
)

// Supervise starts a sandbox with programs that would live for ever, says "ready"
// from inside, and waits to be killed. It is what a test binary does that
// Supervisor starts.
func Supervise(ctx context.Context, rt sandbox.Runtime, spec sandbox.Spec) (status int) {
	box, err := rt.Start(ctx, spec)
	if err != nil {
		return 4
	}
	p, err := box.Exec(ctx, sandbox.Command{
		Argv: []string{"/bin/sh", "-c", "trap '' TERM HUP INT; setsid sleep 100000 & echo ready; sleep 100000"}, Stdout: os.Stdout,
	})
	if err != nil {
		return 5
	}
	if _, err := p.Wait(); err != nil {
		return 6
	}
	return 0
}

// Supervisor starts the running test binary with args, as one that does
// Supervise, and returns when its programs run. The pipe is also theirs: it ends
// when nothing inside holds it any more.
func Supervisor(tb testing.TB, args ...string) (*execx.Process, *os.File) {
	tb.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	proc, err := execx.Start(tb.Context(), execx.Cmd{Argv: append([]string{"/proc/self/exe"}, args...), Stdout: w, Env: os.Environ()})
	if err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	if line, err := bufio.NewReader(r).ReadString('\n'); err != nil || line != "ready\n" {
		tb.Fatalf("supervisor said %q, %v: %v", line, err, proc.Wait())
	}
	return proc, r
}

// Once is a sandbox with its gateway's sockets around /bin/true, from nothing to
// nothing: what benchmarks of a start repeat.
func Once(ctx context.Context, s Subject, id string) error {
	box, err := s.Runtime.Start(ctx, sandbox.Spec{ID: id, Identity: s.Identity, Home: "/home/agent", Network: sandbox.NetworkGateway})
	if err != nil {
		return err
	}
	p, err := box.Exec(ctx, sandbox.Command{Argv: []string{"/bin/true"}})
	if err != nil {
		return errors.Join(err, box.Close())
	}
	exit, err := p.Wait()
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("/bin/true ended with %d", exit.Code)
	}
	return errors.Join(err, box.Close())
}
