package docker_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"agentprocess/internal/runtime/contained"
	"agentprocess/internal/runtime/docker"
	"agentprocess/internal/runtime/enginetest"
	"agentprocess/internal/runtime/idmap"
	"agentprocess/internal/runtime/runtimetest"
	"agentprocess/internal/sandbox"
)

// testImage is made here and nowhere else.
const testImage = "agent-process-test"

func TestMain(m *testing.M) {
	for _, run := range []func([]string) (bool, int){contained.Main, runtimetest.Main, hold, supervise} {
		if handled, status := run(os.Args); handled {
			os.Exit(status)
		}
	}
	os.Exit(testMain(m))
}

// engines are started by the first test that wants them, and stopped at the end.
type engines struct {
	mu  sync.Mutex
	dir string
	all map[docker.Kind]*enginetest.Engine
	why map[docker.Kind]error
}

var shared engines

func testMain(m *testing.M) int {
	// Others than root pass what is above what is mounted into containers.
	dir, err := os.MkdirTemp("", "docker-test-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	shared = engines{dir: dir, all: map[docker.Kind]*enginetest.Engine{}, why: map[docker.Kind]error{}}
	status := m.Run()
	for kind, e := range shared.all {
		if err := e.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, kind, err)
			status = 1
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	return status
}

// engine gives the shared engine of a kind, or skips where there can be none.
func engine(tb testing.TB, kind docker.Kind) *enginetest.Engine {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.all[kind] == nil && shared.why[kind] == nil {
		e, err := startEngine(context.WithoutCancel(tb.Context()), kind, filepath.Join(shared.dir, string(kind)))
		if err != nil {
			shared.why[kind] = err
		} else {
			shared.all[kind] = e
		}
	}
	if err := shared.why[kind]; err != nil {
		if os.Getenv("CI") == "true" && os.Getuid() == 0 {
			tb.Fatalf("wants an engine of its own: %v", err)
		}
		tb.Skipf("wants an engine of its own: %v", err)
	}
	return shared.all[kind]
}

func startEngine(ctx context.Context, kind docker.Kind, dir string) (*enginetest.Engine, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	run := enginetest.StartDocker
	if kind == docker.Podman {
		run = enginetest.StartPodman
	}
	e, err := run(ctx, dir)
	if err != nil {
		return nil, err
	}
	tools, err := enginetest.Tools(ctx, []string{"git"})
	if err == nil {
		err = e.Import(ctx, testImage, tools)
	}
	if err != nil {
		return nil, errors.Join(err, e.Stop())
	}
	return e, nil
}

// identity is who agents are in these tests.
func identity() sandbox.Identity { return sandbox.Identity{UID: 54321, GID: 54321, Name: "tester"} }

func newRuntime(tb testing.TB, kind docker.Kind) *docker.Runtime {
	tb.Helper()
	e := engine(tb, kind)
	rt, err := docker.New(docker.Config{Kind: kind, Host: e.Host, Image: testImage, StateDir: tb.TempDir(), Identity: identity()})
	if err != nil {
		tb.Fatal(err)
	}
	return rt
}

func TestProbe(t *testing.T) {
	for _, kind := range []docker.Kind{docker.Docker, docker.Podman} {
		t.Run(string(kind), func(t *testing.T) {
			caps, err := newRuntime(t, kind).Probe(t.Context())
			if err != nil || !caps.Usable() {
				t.Fatalf("%+v, %v", caps, err)
			}
			for _, s := range caps.Steps {
				t.Logf("%-20s %t %s", s.Name, s.OK, s.Detail)
				if !s.OK {
					t.Errorf("%s: %s", s.Name, s.Detail)
				}
			}
		})
	}
}

func TestConformanceDocker(t *testing.T) { conformance(t, docker.Docker) }

func TestConformancePodman(t *testing.T) { conformance(t, docker.Podman) }

func conformance(t *testing.T, kind docker.Kind) {
	t.Helper()
	rt := newRuntime(t, kind)
	runtimetest.Run(t, func(*testing.T) runtimetest.Subject { return runtimetest.Subject{Runtime: rt, Identity: identity()} })
}

// hold is what shows root's files as the agent's.
func hold(args []string) (bool, int) {
	if len(args) == 2 && args[1] == idmap.Verb {
		return true, idmap.Hold()
	}
	return false, 0
}
