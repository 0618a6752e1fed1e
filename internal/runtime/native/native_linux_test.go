package native_test

import (
	"errors"
	"os"
	"testing"

	"agentprocess/internal/runtime/native"
	"agentprocess/internal/runtime/runtimetest"
	"agentprocess/internal/sandbox"
)

func TestMain(m *testing.M) {
	for _, run := range []func([]string) (bool, int){native.Main, runtimetest.Main, supervise} {
		if handled, status := run(os.Args); handled {
			os.Exit(status)
		}
	}
	os.Exit(m.Run())
}

// newRuntime makes the runtime under test, or skips where it cannot work.
func newRuntime(tb testing.TB) (*native.Runtime, sandbox.Identity) {
	tb.Helper()
	rt := native.New(native.Config{StateDir: tb.TempDir()})
	id, err := native.DefaultIdentity()
	if err != nil {
		tb.Fatal(err)
	}
	caps, err := rt.Probe(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	if b, bad := caps.Blocker(); bad {
		if os.Getenv("CI") == "true" {
			tb.Fatalf("wants %s, got %s", b.Name, b.Detail)
		}
		tb.Skipf("wants %s, got %s", b.Name, b.Detail)
	}
	return rt, id
}

func TestConformance(t *testing.T) {
	rt, id := newRuntime(t)
	runtimetest.Run(t, func(*testing.T) runtimetest.Subject { return runtimetest.Subject{Runtime: rt, Identity: id} })
}

func BenchmarkStart(b *testing.B) {
	rt, id := newRuntime(b)
	for b.Loop() {
		if err := runtimetest.Once(b.Context(), runtimetest.Subject{Runtime: rt, Identity: id}, "bench"); err != nil {
			b.Fatal(err)
		}
	}
}

func TestOverlayRefused(t *testing.T) {
	rt, id := newRuntime(t)
	lower, upper, work := t.TempDir(), t.TempDir(), "/dev/shm" // another file system
	_, err := rt.Start(t.Context(), sandbox.Spec{
		ID: "overlay-refused", Identity: id,
		Mounts: []sandbox.Mount{{Kind: sandbox.MountOverlay, Lower: lower, Upper: upper, Work: work, Target: "/tree"}},
	})
	if !errors.Is(err, native.ErrOverlay) || sandbox.ErrorCode(err) != sandbox.CodeRuntime {
		t.Errorf("got %v", err)
	}
}

func TestExecAfterClose(t *testing.T) {
	rt, id := newRuntime(t)
	box, err := rt.Start(t.Context(), sandbox.Spec{ID: "closed", Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			p, err := box.Exec(t.Context(), sandbox.Command{Argv: []string{"/bin/true"}})
			if err != nil {
				return
			}
			_, _ = p.Wait() // killed at some time
		}
	}()
	if err := box.Close(); err != nil {
		t.Error(err)
	}
	<-done
}
