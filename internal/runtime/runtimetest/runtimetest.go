package runtimetest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"agentprocess/internal/sandbox"
)

// Subject is a runtime under test.
type Subject struct {
	Runtime  sandbox.Runtime
	Identity sandbox.Identity
}

// Factory makes a subject.
type Factory func(t *testing.T) Subject

// Timeout bounds one behaviour: far beyond what any takes.
const Timeout = 2 * time.Minute

// behaviour is one thing every runtime does.
type behaviour struct {
	name string
	run  func(s *suite)
}

// suite is what a behaviour works with.
type suite struct {
	Subject
	t     *testing.T
	ctx   context.Context
	count *atomic.Int64
}

// Run runs the whole suite.
func Run(t *testing.T, f Factory) {
	t.Helper()
	var count atomic.Int64
	for _, b := range behaviours() {
		t.Run(b.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), Timeout)
			defer cancel()
			b.run(&suite{Subject: f(t), t: t, ctx: ctx, count: &count})
		})
	}
	t.Run("shared", func(t *testing.T) { // and the table of what there is
		ctx, cancel := context.WithTimeout(t.Context(), Timeout)
		defer cancel()
		s := &suite{Subject: f(t), t: t, ctx: ctx, count: &count}
		s.runLines(t)
	})
}

func behaviours() []behaviour {
	var all []behaviour
	for _, part := range [][]behaviour{programs(), views(), attacks(), networks(), limits()} {
		all = append(all, part...)
	}
	return all
}

// spec is the least a sandbox can be.
func (s *suite) spec(t *testing.T) sandbox.Spec {
	t.Helper()
	id := fmt.Sprintf("rt-%d-%d", os.Getpid(), s.count.Add(1))
	return sandbox.Spec{ID: id, Identity: s.Identity, Home: "/home/agent", Network: sandbox.NetworkNone}
}

// start starts a sandbox that ends with the test.
func (s *suite) start(t *testing.T, spec sandbox.Spec) sandbox.Sandbox {
	t.Helper()
	box, err := s.Runtime.Start(s.ctx, spec)
	if err != nil {
		t.Fatalf("start: %v (%s)", err, sandbox.ErrorHint(err))
	}
	t.Cleanup(func() {
		if err := box.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return box
}

// result is what a program did.
type result struct {
	exit           sandbox.Exit
	stdout, stderr string
}

// run runs a program to its end.
func (s *suite) run(t *testing.T, box sandbox.Sandbox, cmd sandbox.Command) result {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if cmd.Env == nil {
		cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/home/agent"}
	}
	p, err := box.Exec(s.ctx, cmd)
	if err != nil {
		t.Fatalf("exec %q: %v", cmd.Argv, err)
	}
	exit, err := p.Wait()
	if err != nil {
		t.Fatalf("wait for %q: %v", cmd.Argv, err)
	}
	return result{exit, out.String(), errOut.String()}
}

// sh runs a shell script and gives its output, which must end well.
func (s *suite) sh(t *testing.T, box sandbox.Sandbox, script string) string {
	t.Helper()
	r := s.run(t, box, sandbox.Command{Argv: []string{"/bin/sh", "-c", script}})
	if r.exit.Code != 0 {
		t.Fatalf("script %q: exit %d\n%s%s", script, r.exit.Code, r.stdout, r.stderr)
	}
	return strings.TrimSpace(r.stdout)
}

// fails runs a shell script that must not succeed.
func (s *suite) fails(t *testing.T, box sandbox.Sandbox, script string) {
	t.Helper()
	r := s.run(t, box, sandbox.Command{Argv: []string{"/bin/sh", "-c", script}})
	if r.exit.Code == 0 {
		t.Errorf("script %q succeeded:\n%s", script, r.stdout)
	}
}

// attack runs an attack of the test binary inside.
func (s *suite) attack(t *testing.T, box sandbox.Sandbox, args ...string) result {
	t.Helper()
	return s.run(t, box, sandbox.Command{Argv: append([]string{sandbox.BinaryPath, attackVerb}, args...)})
}

// dir makes a directory that belongs to the agent.
func (s *suite) dir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "runtimetest-*") //nolint:usetesting // other users cannot pass what is above t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := removeAll(dir); err != nil {
			t.Error(err)
		}
	})
	s.own(t, dir)
	return dir
}

// own gives files to the agent.
func (s *suite) own(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Lchown(name, s.Identity.UID, s.Identity.GID); err != nil {
			t.Fatal(err)
		}
	}
}

// removeAll removes a tree with directories that nobody may enter, such as an
// overlay's work directory.
func removeAll(dir string) error {
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			return os.Chmod(name, 0o700)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("remove %q: %w", dir, err)
	}
	return os.RemoveAll(dir)
}

// write makes a file of the agent's.
func (s *suite) write(t *testing.T, name, data string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(data), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition: looked at again and again, until the
// context ends.
func (s *suite) eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-s.ctx.Done():
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}
