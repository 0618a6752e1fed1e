package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"agentprocess/internal/agent"
	"agentprocess/internal/audit"
	"agentprocess/internal/execx"
	"agentprocess/internal/proxy"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/scripted"
	"agentprocess/internal/store"
)

// The demo's agent and what it is asked.
const (
	demoName = "docs"
	demoGoal = "Add documentation to the main.go file"
	demoHost = "api.anthropic.com"
	// demoToken opens nothing: the scripted API takes it.
	demoToken = "sk-ant-oat01-demo-token-that-only-the-scripted-api-takes-AA" //nolint:gosec // G101: no credential, as it says
)

// DemoOptions say how the demo runs.
type DemoOptions struct {
	AgentPath string
	Keep      bool
	Out       io.Writer // gets what is said around the run, and the diff
	Progress  func(string)
	Control   *Control
}

// Demo runs the whole pipeline on a copy of the example project: the real
// Claude Code against a scripted Messages API, or a scripted agent when there
// is no Claude Code. shown is called when the run has been shown to view.
func (s *Service) Demo(ctx context.Context, o DemoOptions, view audit.Sink, shown func() error) (run sandbox.Run, err error) {
	dir, err := os.MkdirTemp("", "agent-process-demo-")
	if err != nil {
		return run, err
	}
	if !o.Keep {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	repo, err := s.exampleRepository(ctx, filepath.Join(dir, "greeter"))
	if err != nil {
		return run, err
	}
	demo, done, err := s.inside(ctx, dir)
	if err != nil {
		return run, err
	}
	defer func() { err = errors.Join(err, done()) }()
	start, stop, err := demo.demoStart(ctx, o, repo)
	if err != nil {
		return run, err
	}
	defer stop()
	run, err = demo.Start(ctx, start, view)
	if err := errors.Join(err, shown()); err != nil {
		return run, err
	}
	return run, demo.demoDiff(ctx, repo, run, o)
}

// inside is the same service with a state of its own, so that a demo leaves no
// trace among the person's agents. The cache is shared: an agent's program is
// installed once.
func (s *Service) inside(ctx context.Context, dir string) (*Service, func() error, error) {
	deps := s.Deps
	deps.Paths.State, deps.Paths.Runtime, deps.Paths.Config = filepath.Join(dir, "state"), filepath.Join(dir, "run"), filepath.Join(dir, "config")
	if err := deps.Paths.Create(); err != nil {
		return nil, nil, err
	}
	db, err := store.Open(ctx, deps.Paths.Database())
	if err != nil {
		return nil, nil, err
	}
	deps.Store = db
	return New(deps), db.Close, nil
}

// exampleRepository writes the example project and commits it.
func (s *Service) exampleRepository(ctx context.Context, dir string) (string, error) {
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // a project like any other
		return "", err
	}
	for name, data := range scripted.Example() {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil { //nolint:gosec // as above
			return "", err
		}
	}
	path, _ := s.lookup("PATH")
	env := []string{
		"PATH=" + path, "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=Demo", "GIT_AUTHOR_EMAIL=demo@example.com", "GIT_COMMITTER_NAME=Demo", "GIT_COMMITTER_EMAIL=demo@example.com",
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "Greet people"}} {
		if err := execx.Run(ctx, execx.Cmd{Argv: append([]string{"git"}, args...), Dir: dir, Env: env}); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// demoStart says what to start, and starts the API that it talks to.
func (s *Service) demoStart(ctx context.Context, o DemoOptions, repo string) (StartOptions, func(), error) {
	start := StartOptions{Name: demoName, Goal: demoGoal, Dir: repo, Progress: o.Progress, Control: o.Control, demo: true}
	cli, err := agent.Find(ctx, agent.FindOptions{Path: o.AgentPath, Environ: s.Environ, CacheDir: s.agentsCache(), Progress: o.Progress})
	if err != nil {
		if o.AgentPath != "" || sandbox.ErrorCode(err) != sandbox.CodeAgent {
			return start, nil, err
		}
		fmt.Fprintf(o.Out, "No Claude Code here (%v): a scripted agent stands in for it; everything else is real.\n\n", err)
		start.Agent = agent.KindExec
		start.Argv = []string{"/bin/sh", "-c", `printf %s "$DOCUMENTED" > main.go && echo "main.go is documented"`}
		start.Env = []string{"DOCUMENTED=" + scripted.Documented()}
		return start, func() {}, nil
	}
	fmt.Fprintf(o.Out, "The model is scripted by this program; Claude Code %s, the sandbox, the gateway and git are real.\n\n", cli.Version)
	start.Agent, start.AgentPath = agent.KindClaude, cli.Path
	target, stop, err := s.serveScripted(ctx)
	if err != nil {
		return start, nil, err
	}
	start.Resolve = map[string]proxy.Target{demoHost: target}
	return start, stop, nil
}

// serveScripted serves the scripted API on loopback, behind TLS under the real
// API's name, and makes the service talk to it.
func (s *Service) serveScripted(ctx context.Context) (proxy.Target, func(), error) {
	authority, err := scripted.NewAuthority(s.Now())
	if err != nil {
		return proxy.Target{}, nil, err
	}
	cert, err := authority.Certificate(demoHost)
	if err != nil {
		return proxy.Target{}, nil, err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return proxy.Target{}, nil, err
	}
	addr, err := netip.ParseAddrPort(ln.Addr().String())
	if err != nil {
		return proxy.Target{}, nil, err
	}
	server := &http.Server{
		Handler: scripted.New(scripted.Demo(), scripted.WithCredential(demoToken)), ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.ServeTLS(ln, "", "") // ends with Close
	}()
	s.UpstreamRoots = authority.Pool()
	s.Environ = append(withoutCredentials(s.Environ), "CLAUDE_CODE_OAUTH_TOKEN="+demoToken)
	return proxy.Target{Addr: addr.Addr(), Port: addr.Port()}, func() {
		_ = server.Close() // the run is over
		<-ended
	}, nil
}

// withoutCredentials is the environment without what would take the demo to a
// real account.
func withoutCredentials(environ []string) []string {
	var out []string
	for _, kv := range environ {
		if !strings.HasPrefix(kv, "ANTHROPIC_") && !strings.HasPrefix(kv, "CLAUDE_CODE_OAUTH_TOKEN=") {
			out = append(out, kv)
		}
	}
	return out
}

// demoDiff shows what the agent did.
func (s *Service) demoDiff(ctx context.Context, dir string, run sandbox.Run, o DemoOptions) error {
	repo, err := s.open(ctx, dir)
	if err != nil {
		return err
	}
	fmt.Fprintln(o.Out)
	if err := repo.Diff(ctx, run.Base, run.Tip, o.Out); err != nil {
		return err
	}
	if o.Keep {
		fmt.Fprintf(o.Out, "\nkept: %s\n", dir)
	}
	return nil
}
