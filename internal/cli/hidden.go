package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"agentprocess/internal/app"
	"agentprocess/internal/config"
	"agentprocess/internal/inside"
	"agentprocess/internal/inside/verb"
	"agentprocess/internal/runtime/native"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/service"
	"agentprocess/internal/term"
)

// Hidden runs the verbs by which our binary runs itself: the stages of a
// sandbox, the probe of the proof, and the hook client, all of them inside. It
// comes before anything else is built.
func Hidden(ctx context.Context, argv []string) (handled bool, status int) {
	if handled, status := verb.Main(ctx, argv); handled {
		return true, status
	}
	if len(argv) > 3 && argv[1] == sandboxVerb && argv[2] == "--" {
		return true, bareSandbox(ctx, argv[3:])
	}
	return false, 0
}

// sandboxVerb runs a command in a bare sandbox with a gateway's sockets that
// nobody serves: what benchmarks compare with other sandboxes.
const sandboxVerb = "__sandbox"

func bareSandbox(ctx context.Context, argv []string) int {
	exit, err := inBareSandbox(ctx, argv)
	if err != nil {
		return complain(term.OS(), err)
	}
	return exit.Code
}

func inBareSandbox(ctx context.Context, argv []string) (exit sandbox.Exit, err error) {
	identity, err := native.DefaultIdentity()
	if err != nil {
		return exit, err
	}
	state, err := os.MkdirTemp("", "agent-process-bare-")
	if err != nil {
		return exit, err
	}
	defer func() { _ = os.RemoveAll(state) }() // scratch of ours
	paths, err := config.PathsFor(app.Environment(os.Environ()))
	if err != nil {
		return exit, err
	}
	program, err := inside.Install(paths.Programs())
	if err != nil {
		return exit, err
	}
	box, err := native.New(native.Config{StateDir: state, Program: program}).Start(ctx, sandbox.Spec{
		ID: fmt.Sprintf("bare-%d", os.Getpid()), Identity: identity, Home: "/home/agent", Network: sandbox.NetworkGateway,
	})
	if err != nil {
		return exit, err
	}
	defer func() {
		if cerr := box.Close(); err == nil {
			err = cerr
		}
	}()
	proc, err := box.Exec(ctx, sandbox.Command{Argv: argv, Env: []string{"PATH=" + box.Facts().ToolPath}, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
	if err != nil {
		return exit, err
	}
	return proc.Wait()
}

// newDeps makes what commands share, and what to call at the end.
func newDeps(streams term.Streams, environ []string, version string) (*deps, func() error) {
	d := &deps{streams: streams, environ: environ, version: version}
	var svc *service.Service
	done := func() error { return nil }
	d.service = func(ctx context.Context) (*service.Service, error) {
		if svc != nil {
			return svc, nil
		}
		var err error
		var closeAll func() error
		svc, closeAll, err = app.New(ctx, app.Options{Environ: environ, Logger: newLogger(streams.Err, environ)})
		if err == nil {
			done = closeAll
		}
		return svc, err
	}
	return d, func() error { return done() }
}

// newLogger writes what nobody waits for, when AGENT_PROCESS_DEBUG asks.
func newLogger(w io.Writer, environ []string) *slog.Logger {
	if slices.Contains(environ, "AGENT_PROCESS_DEBUG=1") {
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}
