package docker_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"agentprocess/internal/runtime/docker"
	"agentprocess/internal/runtime/enginetest"
	"agentprocess/internal/runtime/runtimetest"
	"agentprocess/internal/sandbox"
)

// superviseVerb makes the test binary a supervisor that is to be killed.
const superviseVerb = "__supervise"

// supervise starts a sandbox with programs that would live for ever, says that
// it stands, and waits to be killed: KIND HOST STATE ID.
func supervise(args []string) (bool, int) {
	if len(args) != 6 || args[1] != superviseVerb {
		return false, 0
	}
	ctx := context.Background()
	rt, err := docker.New(docker.Config{Kind: docker.Kind(args[2]), Host: args[3], Image: testImage, StateDir: args[4], Identity: identity()})
	if err != nil {
		return true, 3
	}
	return true, runtimetest.Supervise(ctx, rt, crashSpec(args[5], args[4]))
}

// crashSpec is a sandbox with all that an engine can be left with.
func crashSpec(id, state string) sandbox.Spec {
	layer := func(name string) string { return filepath.Join(state, name) }
	return sandbox.Spec{
		ID: id, Identity: identity(), Home: "/home/agent", Network: sandbox.NetworkGateway,
		Mounts: []sandbox.Mount{{Kind: sandbox.MountOverlay, Lower: layer("lower"), Upper: layer("upper"), Work: layer("work"), Target: "/tree"}},
	}
}

// layers makes the directories of crashSpec.
func layers(t *testing.T, state string) {
	t.Helper()
	for _, name := range []string{"lower", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(state, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSupervisorKilled kills a supervisor with no warning: nothing of the
// sandbox runs on, and its label is enough to remove the rest.
func TestSupervisorKilled(t *testing.T) {
	for _, kind := range []docker.Kind{docker.Docker, docker.Podman} {
		t.Run(string(kind), func(t *testing.T) {
			e := engine(t, kind)
			before := kept(t, e)
			state, id := t.TempDir(), "killed-"+strconv.Itoa(os.Getpid())
			layers(t, state)
			kill(t, kind, e, state, id)
			rt, err := docker.New(docker.Config{Kind: kind, Host: e.Host, Image: testImage, StateDir: t.TempDir(), Identity: identity()})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // from nothing but the id
				if err := rt.Cleanup(t.Context(), id); err != nil {
					t.Error(err)
				}
			}
			if left := kept(t, e); !slices.Equal(left, before) {
				t.Errorf("the engine keeps %q, before %q", left, before)
			}
		})
	}
}

// kill runs a supervisor until its sandbox stands, kills it, and waits for the
// end of every program inside.
func kill(t *testing.T, kind docker.Kind, e *enginetest.Engine, state, id string) {
	t.Helper()
	proc, r := runtimetest.Supervisor(t, superviseVerb, string(kind), e.Host, state, id)
	if err := proc.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = proc.Wait() // killed
	// The pipe is also the program's inside: it ends when nothing there holds it.
	if _, err := r.Read(make([]byte, 1)); err == nil {
		t.Error("something inside still writes")
	}
}

func kept(t *testing.T, e *enginetest.Engine) []string {
	t.Helper()
	left, err := e.Left(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(left)
	return left
}

// TestEngineKilled kills the engine under a sandbox: what runs inside ends with
// the sandbox all the same, and a new engine on the same data cleans up.
func TestEngineKilled(t *testing.T) {
	engine(t, docker.Docker) // or skip
	dir := filepath.Join(shared.dir, "killed")
	e, err := startEngine(t.Context(), docker.Docker, dir)
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	layers(t, state)
	cfg := docker.Config{Kind: docker.Docker, Host: e.Host, Image: testImage, StateDir: state, Identity: identity()}
	rt, err := docker.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	box, err := rt.Start(t.Context(), crashSpec("engine-killed", state))
	if err != nil {
		t.Fatal(err)
	}
	p, err := box.Exec(t.Context(), sandbox.Command{Argv: []string{"/bin/sleep", "100000"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := box.Close(); err == nil {
		t.Error("the sandbox was closed without its engine, and nobody says that its container is left")
	}
	if exit, _ := p.Wait(); exit.Code != 137 {
		t.Errorf("exit %+v", exit)
	}
	if e, err = enginetest.StartDocker(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if rt, err = docker.New(cfg); err != nil {
		t.Fatal(err)
	}
	if err := rt.Cleanup(t.Context(), "engine-killed"); err != nil {
		t.Error(err)
	}
	if left := kept(t, e); len(left) > 0 {
		t.Errorf("the engine keeps %q", left)
	}
}
