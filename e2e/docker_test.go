package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"agentprocess/internal/runtime/enginetest"
)

// dockerImage is made of this machine's own programs, and nothing is pulled.
const dockerImage = "agent-process-e2e"

// startDocker starts an engine of our own and makes the image, or skips.
func startDocker(t *testing.T) *enginetest.Engine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skipf("wants root, to run an engine of its own, got uid %d", os.Getuid())
	}
	dir, err := os.MkdirTemp("", "agent-process-docker-") //nolint:usetesting // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	e, err := enginetest.StartDocker(t.Context(), dir)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	tools, err := enginetest.Tools(t.Context(), []string{"git", "bash", "curl"}, os.Getenv(claudeVar))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Import(t.Context(), dockerImage, tools); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestDockerScripts runs the scripts of containers, and some of those of every
// runtime, in containers.
func TestDockerScripts(t *testing.T) {
	e := startDocker(t)
	t.Cleanup(func() { checkEmpty(t, e) }) // after all scripts
	w := newWorld(t)
	files, err := filepath.Glob("testdata/docker/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range []string{"start/exec", "start/outcomes", "start/base", "start/url", "policy/egress", "hooks/scope"} {
		files = append(files, filepath.FromSlash("testdata/"+name+".txtar"))
	}
	testscript.Run(t, testscript.Params{
		Files: files, Cmds: commands(), RequireExplicitExec: true, Condition: condition,
		Setup: func(env *testscript.Env) error {
			if err := setup(env, w); err != nil {
				return err
			}
			env.Vars = append(env.Vars, "DOCKER_HOST="+e.Host, "IMAGE="+dockerImage)
			return useImage(env)
		},
	})
}

// useImage makes containers of the image what a start without flags uses.
func useImage(env *testscript.Env) error {
	dir := filepath.Join(env.WorkDir, "home", ".config", "agent-process")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text := fmt.Sprintf("runtime = \"docker\"\nimage = %q\n", dockerImage)
	return os.WriteFile(filepath.Join(dir, "config.toml"), []byte(text), 0o644)
}

// checkEmpty fails if an engine has kept anything of a run.
func checkEmpty(tb testing.TB, e *enginetest.Engine) {
	tb.Helper()
	left, err := e.Left(context.WithoutCancel(tb.Context()))
	if err != nil || len(left) > 0 {
		tb.Errorf("the engine has kept %q, %v", left, err)
	}
}
