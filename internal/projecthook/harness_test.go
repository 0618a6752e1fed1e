package projecthook_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"agentprocess/internal/projecthook"
	"agentprocess/internal/runtime/native"
	"agentprocess/internal/sandbox"
)

// workspace is where the tree appears inside.
const workspace = "/src/app"

func TestMain(m *testing.M) {
	if handled, status := native.Main(os.Args); handled {
		os.Exit(status)
	}
	os.Exit(m.Run())
}

// world is an agent with a tree: a checkout below, what it changed above.
type world struct {
	rt          sandbox.Runtime
	id          sandbox.Identity
	dir         string
	lower, work string
	upper       string
	scratch     string
	runs        atomic.Int64
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	rt := native.New(native.Config{StateDir: tb.TempDir()})
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
	id, err := native.DefaultIdentity()
	if err != nil {
		tb.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "projecthook-*") //nolint:usetesting // other users cannot pass what is above t.TempDir
	if err != nil {
		tb.Fatal(err)
	}
	w := &world{rt: rt, id: id, dir: dir}
	tb.Cleanup(func() { w.remove(tb) })
	w.lower, w.upper, w.work, w.scratch = w.mkdir(tb, "lower"), w.mkdir(tb, "upper"), w.mkdir(tb, "work"), w.mkdir(tb, "scratch")
	w.mkdir(tb, "lower/pkg")
	w.write(tb, "lower/a.txt", "base\n")
	w.write(tb, "lower/b.txt", "base\n")
	w.write(tb, "lower/pkg/c.txt", "base\n")
	return w
}

// remove removes the tree with the directories that nobody may enter.
func (w *world) remove(tb testing.TB) {
	tb.Helper()
	left, err := os.ReadDir(w.scratch)
	if err != nil || len(left) > 0 {
		tb.Errorf("left in the scratch directory: %v, %v", left, err)
	}
	err = filepath.WalkDir(w.dir, func(name string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && err == nil {
			return os.Chmod(name, 0o700)
		}
		return err
	})
	if err := errors.Join(err, os.RemoveAll(w.dir)); err != nil {
		tb.Error(err)
	}
}

func (w *world) mkdir(tb testing.TB, name string) string {
	tb.Helper()
	full := filepath.Join(w.dir, name)
	if err := errors.Join(os.Mkdir(full, 0o755), os.Lchown(full, w.id.UID, w.id.GID)); err != nil {
		tb.Fatal(err)
	}
	return full
}

func (w *world) write(tb testing.TB, name, data string) {
	tb.Helper()
	full := filepath.Join(w.dir, name)
	if err := errors.Join(os.WriteFile(full, []byte(data), 0o644), os.Lchown(full, w.id.UID, w.id.GID)); err != nil {
		tb.Fatal(err)
	}
}

// view is what a workspace gives: the agent's layers below ours.
func (w *world) view(l projecthook.Layer) ([]sandbox.Mount, error) {
	return []sandbox.Mount{{
		Kind: sandbox.MountOverlay, Lower: w.lower, Lowers: []string{w.upper}, Upper: l.Upper, Work: l.Work, Target: workspace,
	}}, nil
}

// agent starts the agent's own sandbox.
func (w *world) agent(tb testing.TB) sandbox.Sandbox {
	tb.Helper()
	box, err := w.rt.Start(tb.Context(), sandbox.Spec{
		ID: fmt.Sprintf("ph-%d-agent-%d", os.Getpid(), w.runs.Add(1)), Identity: w.id, Home: "/home/agent",
		Mounts: []sandbox.Mount{{Kind: sandbox.MountOverlay, Lower: w.lower, Upper: w.upper, Work: w.work, Target: workspace}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := box.Close(); err != nil {
			tb.Error(err)
		}
	})
	return box
}

// sh runs a script in a sandbox's tree and gives its output.
func sh(tb testing.TB, box sandbox.Sandbox, script string) string {
	tb.Helper()
	var out strings.Builder
	p, err := box.Exec(tb.Context(), sandbox.Command{
		Argv: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: workspace, Stdout: &out, Stderr: &out,
	})
	if err != nil {
		tb.Fatal(err)
	}
	if exit, err := p.Wait(); err != nil || exit.Code != 0 {
		tb.Fatalf("%q: %+v, %v\n%s", script, exit, err, out.String())
	}
	return out.String()
}

// script is a hook of the shell.
func script(name, body string) projecthook.File {
	return projecthook.File{Name: name, Data: []byte("#!/bin/sh\n" + body + "\n"), Mode: 0o100755}
}

// options are those of a run with these hooks.
func (w *world) options(files ...projecthook.File) projecthook.Options {
	return projecthook.Options{
		Runtime: w.rt, Identity: w.id, Home: "/home/agent", ToolPath: "/usr/bin:/bin", Files: files, View: w.view, Scratch: w.scratch,
		About: projecthook.About{
			Run: fmt.Sprintf("ph-%d-%d", os.Getpid(), w.runs.Add(1)), Agent: projecthook.Agent{Name: "docs", Kind: "claude"},
			Goal: "describe <main.go>", Workspace: workspace, Base: "1111111111111111111111111111111111111111", Branch: "agent--docs",
		},
	}
}

// runner runs these hooks with these settings for all of them.
func (w *world) runner(tb testing.TB, s projecthook.Settings, files ...projecthook.File) *projecthook.Runner {
	tb.Helper()
	o := w.options(files...)
	o.Settings = func(string) projecthook.Settings { return s }
	r, err := projecthook.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// bash is the call of a shell command.
func bash(command string) projecthook.Input {
	return projecthook.Input{
		Event:    "PreToolUse",
		Tool:     &projecthook.Tool{Name: "Bash", UseID: "toolu_1", Input: []byte(`{"command":"` + command + `"}`)},
		Commands: [][]string{strings.Fields(command)},
	}
}

// wrote is the end of a call that wrote files of the tree.
func wrote(names ...string) projecthook.Input {
	in := projecthook.Input{
		Event:  "PostToolUse",
		Tool:   &projecthook.Tool{Name: "Write", UseID: "toolu_2", Input: []byte(`{}`)},
		Result: []byte(`{"ok":true}`),
	}
	for _, n := range names {
		in.Paths = append(in.Paths, filepath.Join(workspace, n))
	}
	return in
}
