package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/sandbox"
)

// attackTime bounds one command of an attacked host, far beyond what any takes.
const attackTime = 100 * time.Second

// planted is what every secret of an attacked host holds; the probe looks for
// it. It must stand in nothing that an agent is given.
const planted = "planted-secret"

// attacked is a person's machine: a home with secrets, and a repository.
type attacked struct {
	t    *testing.T
	dir  string // all of it
	home string
	repo string
	env  []string
}

// buildProbe builds the probe once for all tests.
var buildProbe = sync.OnceValues(func() (string, error) {
	name := filepath.Join(os.Getenv(scratchVar), "probe")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-ldflags=-s -w", "-o", name, "./testdata/attack/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return name, nil
})

// binaryPath is the product under attack.
func binaryPath() string { return os.Getenv(binaryVar) }

// newAttacked makes a machine in whose repository the probe is, ignored and
// brought along.
func newAttacked(t *testing.T, files map[string]string) *attacked {
	t.Helper()
	probe, err := buildProbe()
	if err != nil {
		t.Fatal(err)
	}
	h := newMachine(t, files)
	h.copy(probe, "project/probe")
	return h
}

// newMachine makes a person's machine, whose repository has the files.
func newMachine(t *testing.T, files map[string]string) *attacked {
	t.Helper()
	dir := t.TempDir()
	h := &attacked{t: t, dir: dir, home: filepath.Join(dir, "home"), repo: filepath.Join(dir, "project")}
	h.env = []string{
		"HOME=" + h.home, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1", "LANG=C.UTF-8", "TERM=dumb", "GIT_TEMPLATE_DIR=",
		"CLAUDE_CODE_OAUTH_TOKEN=" + planted + "-in-the-environment", "AWS_SECRET_ACCESS_KEY=" + planted + "-too",
	}
	h.write("home/.gitconfig", "[user]\n\tname = Ada Lovelace\n\temail = ada@example.com\n[init]\n\tdefaultBranch = main\n[advice]\n\tdetachedHead = false\n")
	for _, name := range []string{".ssh/id_rsa", ".aws/credentials", ".claude/.credentials.json", ".config/agent-process/credentials", ".netrc", ".git-credentials", "private.txt"} {
		h.write("home/"+name, planted+" in "+name+"\n")
	}
	h.write("project/main.go", "package main\n")
	h.write("project/.gitignore", "/probe\n")
	h.write("project/.worktreeinclude", "/probe\n")
	for name, data := range files {
		h.write("project/"+name, data)
	}
	h.git("init", "-q")
	h.git("add", "-A")
	h.git("commit", "-q", "-m", "base")
	return h
}

// write makes a file of the person's.
func (h *attacked) write(name, data string) {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// program makes a script that can be run.
func (h *attacked) program(name, data string) {
	h.t.Helper()
	h.write(name, data)
	if err := os.Chmod(filepath.Join(h.dir, name), 0o755); err != nil {
		h.t.Fatal(err)
	}
}

func (h *attacked) copy(from, to string) {
	h.t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.dir, to), data, 0o755); err != nil {
		h.t.Fatal(err)
	}
}

// command is a program that runs as the person, in the repository.
func (h *attacked) command(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = h.repo, h.env, time.Second
	return cmd
}

// try runs a program as the person and gives its status and what it said.
func (h *attacked) try(argv ...string) (status int, output string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), attackTime)
	defer cancel()
	out, err := h.command(ctx, argv...).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), string(out)
	}
	if err != nil {
		h.t.Fatalf("%q: %v", argv, err)
	}
	return 0, string(out)
}

// must runs a program that has to succeed.
func (h *attacked) must(argv ...string) string {
	h.t.Helper()
	status, out := h.try(argv...)
	if status != 0 {
		h.t.Fatalf("%q: status %d\n%s", argv, status, out)
	}
	return strings.TrimSpace(out)
}

// git runs git in the repository as the person.
func (h *attacked) git(args ...string) string {
	h.t.Helper()
	return h.must(append([]string{"git"}, args...)...)
}

// product runs a command of ours.
func (h *attacked) product(args ...string) string {
	h.t.Helper()
	return h.must(append([]string{binaryPath()}, args...)...)
}

// trust agrees, as the person, to what the repository brings along; nothing of
// it counts before.
func (h *attacked) trust() {
	h.t.Helper()
	_, out := h.try(binaryPath(), "trust")
	_, rest, found := strings.Cut(out, "trust --yes ")
	digest, _, _ := strings.Cut(rest, "`")
	if !found {
		h.t.Fatalf("trust asks nothing: %s", out)
	}
	h.product("trust", "--yes", strings.TrimSpace(digest))
}

// agentRun is one `start --json` and all it said.
type agentRun struct {
	h      *attacked
	cmd    *exec.Cmd
	cancel context.CancelFunc
	lines  chan audit.Event
	stderr bytes.Buffer

	events []audit.Event
	status int
}

// begin starts an agent without waiting for it.
func (h *attacked) begin(name string, flags []string, argv ...string) *agentRun {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), attackTime)
	args := append([]string{binaryPath(), "start", name, "Attack", "--agent", "exec", "--json"}, flags...)
	r := &agentRun{h: h, cmd: h.command(ctx, append(append(args, "--"), argv...)...), cancel: cancel, lines: make(chan audit.Event, 1000)}
	r.cmd.Stderr = &r.stderr
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go r.read(out)
	return r
}

// read hands over events until the output ends.
func (r *agentRun) read(out io.Reader) {
	defer close(r.lines)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e audit.Event
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			r.lines <- e
		}
	}
}

// waitFor takes events until the agent prints a line that holds text.
func (r *agentRun) waitFor(text string) {
	r.h.t.Helper()
	for e := range r.lines {
		r.events = append(r.events, e)
		if o, ok := decoded[audit.Output](r.h.t, e); ok && strings.Contains(o.Text, text) {
			return
		}
	}
	r.h.t.Fatalf("the agent never said %q\n%s%s", text, r.transcript(), r.stderr.String())
}

// end waits for the run to end.
func (r *agentRun) end() *agentRun {
	r.h.t.Helper()
	defer r.cancel()
	for e := range r.lines {
		r.events = append(r.events, e)
	}
	err := r.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		r.status = exit.ExitCode()
	} else if err != nil {
		r.h.t.Fatal(err)
	}
	return r
}

// start runs an agent to its end.
func (h *attacked) start(name string, flags []string, argv ...string) *agentRun {
	h.t.Helper()
	return h.begin(name, flags, argv...).end()
}

// decoded is an event's payload, if it is of the kind.
func decoded[P audit.Payload](t *testing.T, e audit.Event) (p P, ok bool) {
	t.Helper()
	if e.Kind != p.EventKind() {
		return p, false
	}
	if err := json.Unmarshal(e.Data, &p); err != nil {
		t.Fatal(err)
	}
	return p, true
}

// all are the payloads of a kind, in order.
func all[P audit.Payload](r *agentRun) []P {
	r.h.t.Helper()
	var out []P
	for _, e := range r.events {
		if p, ok := decoded[P](r.h.t, e); ok {
			out = append(out, p)
		}
	}
	return out
}

// outcome is how the run ended.
func (r *agentRun) outcome() audit.Outcome {
	r.h.t.Helper()
	ends := all[audit.Outcome](r)
	if len(ends) != 1 {
		r.h.t.Fatalf("%d outcomes, status %d\n%s%s", len(ends), r.status, r.transcript(), r.stderr.String())
	}
	return ends[0]
}

// phase is what a phase said of itself.
func (r *agentRun) phase(name string) string {
	for _, p := range all[audit.Phase](r) {
		if p.Name == name {
			return p.Detail
		}
	}
	return ""
}

// transcript is all the agent printed.
func (r *agentRun) transcript() string {
	var b strings.Builder
	for _, o := range all[audit.Output](r) {
		b.WriteString(o.Text + "\n")
	}
	return b.String()
}

// probed is what came of one attack, as the probe prints it.
type probed struct {
	Name   string
	Exit   int
	Output string
	MS     int64 `json:"ms"`
}

// assault runs attacks in one start and checks each, in a subtest of its own.
func (h *attacked) assault(name string, flags []string, attacks []attack) (*agentRun, map[string]probed) {
	t := h.t
	t.Helper()
	table := byName(t, attacks)
	var scripts []map[string]string
	for _, a := range attacks {
		scripts = append(scripts, map[string]string{"Name": a.name, "Run": a.run})
	}
	data, err := json.Marshal(scripts)
	if err != nil {
		t.Fatal(err)
	}
	h.write("project/attacks.json", string(data))
	h.git("add", "attacks.json")
	h.git("commit", "-q", "-m", "attacks")
	r := h.start(name, flags, "./probe", "batch", "attacks.json")
	results := map[string]probed{}
	for _, o := range all[audit.Output](r) {
		var p probed
		if json.Unmarshal([]byte(o.Text), &p) == nil && p.Name != "" {
			results[p.Name] = p
		}
	}
	// What an attack leaves in the tree may be held.
	if outcome := r.outcome().Outcome; outcome != sandbox.OutcomeDone && outcome != sandbox.OutcomeNoChanges && outcome != sandbox.OutcomeHeld {
		t.Errorf("outcome %q: %s\n%s", outcome, r.outcome().Reason, r.stderr.String())
	}
	for _, a := range attacks {
		t.Run(strings.ReplaceAll(a.name, "/", "|"), func(t *testing.T) {
			p, ok := results[a.name]
			if !ok {
				t.Fatalf("it did not come to an end: %+v %s", r.outcome(), r.stderr.String())
			}
			table[a.name].check(t, p)
		})
	}
	return r, results
}

// eventually waits for a condition, looked at again and again, for a time that
// was promised.
func eventually(t *testing.T, within time.Duration, what string, left func() []string) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		found := left()
		if len(found) == 0 {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("not within %s: %s\n%s", within, what, strings.Join(found, "\n"))
		case <-tick.C:
		}
	}
}
