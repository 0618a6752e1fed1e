package agent_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"agentprocess/internal/agent"
	"agentprocess/internal/agent/agenttest"
	"agentprocess/internal/audit"
	"agentprocess/internal/execx"
	"agentprocess/internal/execx/exectest"
	"agentprocess/internal/hook"
	"agentprocess/internal/scripted"
)

var update = flag.Bool("update", false, "write real transcripts to testdata")

// hookArg makes the test binary the hook client.
const hookArg = "hook-client-for-tests"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == hookArg {
		os.Exit(hook.ClientMain(os.Stdin, os.Stdout, os.Stderr, os.Args[2]))
	}
	if len(os.Args) > 1 && helpers()[os.Args[1]] != nil {
		os.Exit(helpers()[os.Args[1]](os.Args[2:]))
	}
	os.Exit(exectest.Main(m))
}

// session is one run of the real CLI against a scripted API, outside any
// sandbox, with the settings that it would find inside.
type session struct {
	t        *testing.T
	cli      agent.CLI
	dir      string
	home     string
	api      *scripted.Server
	url      string
	record   *memory
	receipts *hook.Receipts
	server   *hook.Server
	socket   string
	helper   string // the test binary where the CLI's user can run it
	env      []string
}

// memory is a sink that keeps the payloads.
type memory struct {
	mu   sync.Mutex
	seen []audit.Payload
}

func (m *memory) Write(e audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = append(m.seen, e.Payload)
	return nil
}

func (m *memory) payloads() []audit.Payload {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]audit.Payload(nil), m.seen...)
}

func newSession(t *testing.T, script scripted.Script) *session {
	t.Helper()
	cli := agenttest.Claude(t)
	base := agenttest.Dir(t)
	s := &session{t: t, cli: cli, dir: filepath.Join(base, "work"), home: filepath.Join(base, "home"), record: &memory{}}
	for _, d := range []string{s.dir, s.home} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		own(t, d)
	}
	s.api = scripted.New(script)
	server := httptest.NewServer(s.api)
	t.Cleanup(server.Close)
	s.url = server.URL
	s.receipts = hook.NewReceipts(s.home)
	s.server = &hook.Server{Recorder: audit.NewRecorder("test", time.Now, s.record), Receipts: s.receipts, Nonce: "n"}
	s.socket = filepath.Join(base, "hook.sock")
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.socket, 0o777); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.server.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// plan is the CLI's plan, moved out of the sandbox: its files to real places,
// the managed settings to --settings.
func (s *session) plan(r agent.Request, extra ...string) (argv, env []string, stdin []byte) {
	s.t.Helper()
	r.Dir, r.Home = s.dir, s.home
	if r.Credential.Env == "" {
		r.Credential = agent.StandIn{Env: "ANTHROPIC_API_KEY", Value: "sk-ant-api03-agentprocess-placeholder"}
	}
	r.Environ = append(r.Environ, "ANTHROPIC_BASE_URL="+s.url)
	p, err := agent.Claude{CLI: s.cli}.Plan(s.t.Context(), r)
	if err != nil {
		s.t.Fatal(err)
	}
	settings, err := agent.ManagedSettings(fmt.Sprintf("%s %s %s", s.testBinary(), hookArg, s.socket))
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(filepath.Join(filepath.Dir(s.home), "settings.json"), settings)
	for _, f := range p.Files {
		if f.Path != agent.ManagedSettingsPath {
			s.write(f.Path, f.Data)
		}
	}
	argv = append([]string{s.cli.Path, "--settings", filepath.Join(filepath.Dir(s.home), "settings.json")}, extra...)
	argv = append(argv, p.Argv[1:]...)
	return argv, append(s.bare(), p.Env...), p.Stdin
}

// bare is the environment of the CLI before the adapter adds to it.
func (s *session) bare() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.home, "TERM=xterm-256color", "TMPDIR=" + s.home, "CLAUDE_CODE_TMPDIR=" + s.home,
	}
}

func (s *session) write(path string, data []byte) {
	s.t.Helper()
	ensure(s.t, filepath.Dir(path))
	if err := os.WriteFile(path, data, 0o644); err != nil {
		s.t.Fatal(err)
	}
	own(s.t, path)
}

// testBinary is this test's own binary, where the CLI's user can run it.
func (s *session) testBinary() string {
	s.t.Helper()
	data, err := os.ReadFile(exectest.Binary(s.t))
	if err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(filepath.Dir(s.home), "hook-client")
	if err := os.WriteFile(path, data, 0o755); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// outcome is what came of a session.
type outcome struct {
	payloads []audit.Payload
	result   agent.Result
	raw      string
	err      error
}

// run runs the CLI to its end and compares each line with the receipts.
func (s *session) run(ctx context.Context, r agent.Request, extra ...string) outcome {
	s.t.Helper()
	argv, env, stdin := s.plan(r, extra...)
	var o outcome
	var raw strings.Builder
	c := agent.NewCollector(agent.Claude{}.Transcript(), func(p audit.Payload) error {
		o.payloads = append(o.payloads, p)
		return s.receipts.Observe(p)
	})
	stdout := c.Stdout()
	o.err = execx.Run(ctx, execx.Cmd{
		Argv: argv, Env: env, Dir: s.dir, Stdin: strings.NewReader(string(stdin)),
		Stdout: writerFunc(func(p []byte) (int, error) {
			raw.Write(p)
			return stdout.Write(p)
		}),
		Stderr: c.Stderr(), SysProcAttr: attributes(),
	})
	var err error
	o.result, err = c.Close()
	o.err = errors.Join(o.err, err)
	o.raw = raw.String()
	return o
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: agenttest.Credential()}
}

func own(t *testing.T, path string) {
	t.Helper()
	if c := agenttest.Credential(); c != nil {
		if err := os.Chown(path, int(c.Uid), int(c.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

func one(turns ...scripted.Turn) scripted.Script {
	return scripted.Script{Conversations: []scripted.Conversation{{Name: "main", Turns: turns}}}
}

func tool(name string, input map[string]any) []scripted.Tool {
	return []scripted.Tool{{Name: name, Input: input}}
}

// find gives the payloads of a type that fit.
func find[T audit.Payload](payloads []audit.Payload, fits func(T) bool) []T {
	var out []T
	for _, p := range payloads {
		if v, ok := p.(T); ok && fits(v) {
			out = append(out, v)
		}
	}
	return out
}

// runUntil runs the CLI and ends it as soon as stop says so.
func (s *session) runUntil(r agent.Request, c *agent.Collector, stop func() bool) error {
	argv, env, stdin := s.plan(r)
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	stdout := c.Stdout()
	return execx.Run(ctx, execx.Cmd{
		Argv: argv, Env: env, Dir: s.dir, Stdin: strings.NewReader(string(stdin)),
		Stdout: writerFunc(func(p []byte) (int, error) {
			n, err := stdout.Write(p)
			if stop() {
				cancel()
			}
			return n, err
		}),
		SysProcAttr: attributes(),
	})
}
