package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"agentprocess/internal/app"
	"agentprocess/internal/audit"
	"agentprocess/internal/execx"
	"agentprocess/internal/hook"
	"agentprocess/internal/proof"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/service"
)

// broken is `start` with a runtime that forgets one protection: KIND NAME
// CANARY. The agent it would run leaves CANARY in the tree's place on the host
// side of a bind, so that anybody can see that it ran.
func broken(ctx context.Context, args []string) error {
	svc, done, err := app.New(ctx, app.Options{Environ: os.Environ()})
	if err != nil {
		return err
	}
	open := svc.Open
	svc.Open = func(b sandbox.Backend) (sandbox.Runtime, error) {
		rt, err := open(b)
		return brokenRuntime{Runtime: rt, kind: args[0]}, err
	}
	_, err = svc.Start(ctx, service.StartOptions{
		Name: args[1], Goal: "none", Dir: ".", Agent: "exec", Argv: []string{"/bin/sh", "-c", "echo ran"}, Control: service.NewControl(),
	}, watcher{args[2]})
	err = errors.Join(err, done())
	if err != nil {
		fmt.Println(err)
		return exitStatus(sandbox.ExitStatus(err))
	}
	return nil
}

// watcher leaves a file when the agent says anything.
type watcher struct{ canary string }

// Write implements audit.Sink.
func (w watcher) Write(e audit.Event) error {
	if _, ok := e.Payload.(audit.Output); ok {
		return os.WriteFile(w.canary, nil, 0o600)
	}
	return nil
}

// brokenRuntime makes sandboxes that lack something.
type brokenRuntime struct {
	sandbox.Runtime
	kind string
}

// Start implements sandbox.Runtime.
func (r brokenRuntime) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	box, err := r.Runtime.Start(ctx, spec)
	if err != nil || spec.Network != sandbox.NetworkGateway {
		return box, err
	}
	return &brokenBox{Sandbox: box, kind: r.kind}, nil
}

// brokenBox is a sandbox that lacks something.
type brokenBox struct {
	sandbox.Sandbox
	kind string
}

// Sockets implements sandbox.Sandbox: some of them are served by somebody
// else than the gateway.
func (b *brokenBox) Sockets() sandbox.Sockets {
	s := b.Sandbox.Sockets()
	switch b.kind {
	case "redirect leads elsewhere":
		for _, l := range s.Redirect {
			go answerAll(l, "welcome to the world\n")
		}
		s.Redirect = nil
	case "proxy is somebody else's":
		go answerAll(s.Proxy, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		s.Proxy = nil
	case "proxy is open":
		go answerAll(s.Proxy, "HTTP/1.1 200 Connection established\r\n\r\n")
		s.Proxy = nil
	case "resolver is open":
		for _, c := range s.DNS {
			go resolveAll(c)
		}
		s.DNS = nil
	}
	return s
}

// Exec implements sandbox.Sandbox.
func (b *brokenBox) Exec(ctx context.Context, cmd sandbox.Command) (sandbox.Process, error) {
	verb := ""
	if len(cmd.Argv) > 1 && cmd.Argv[0] == sandbox.BinaryPath {
		verb = cmd.Argv[1]
	}
	switch {
	case b.kind == "network of the host" && verb == proof.Verb:
		// A sandbox without a network namespace of its own: what it tries, it
		// tries in ours.
		return outside(ctx, cmd)
	case b.kind == "hooks allow" && verb == hook.Verb:
		cmd.Argv = []string{"/bin/true"}
	case b.kind == "no probe" && verb == proof.Verb:
		cmd.Argv = []string{"/bin/true"}
	}
	return b.Sandbox.Exec(ctx, cmd)
}

// process is a program outside any sandbox.
type process struct {
	sandbox.Process
	p *execx.Process
}

func outside(ctx context.Context, cmd sandbox.Command) (sandbox.Process, error) {
	self, err := filepath.EvalSymlinks("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	p, err := execx.Start(ctx, execx.Cmd{Argv: append([]string{self}, cmd.Argv[1:]...), Stdout: cmd.Stdout})
	return process{p: p}, err
}

// Wait implements sandbox.Process.
func (p process) Wait() (sandbox.Exit, error) {
	err := p.p.Wait()
	return sandbox.Exit{Code: max(0, execx.ExitCode(err))}, nil
}

func answerAll(l net.Listener, text string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		fmt.Fprint(conn, text)
		buf := make([]byte, 512)
		_, _ = conn.Read(buf)
		conn.Close()
	}
}

// resolveAll answers every question with an address, as a resolver that
// forwards would.
func resolveAll(c net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		if n < 17 {
			continue
		}
		reply := append([]byte{}, buf[:n]...)
		reply[2], reply[3] = 0x81, 0x80 // an answer, no error
		reply[6], reply[7] = 0, 1       // one answer
		reply[8], reply[9], reply[10], reply[11] = 0, 0, 0, 0
		reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1)
		_, _ = c.WriteTo(reply, from)
	}
}
