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
	"syscall"
	"testing"
	"time"

	"agentprocess/internal/audit"
)

// host is a person's machine as a Go test sees it: a home, a repository and
// the built binary.
type host struct {
	tb   testing.TB
	home string
	repo string
	env  []string
}

// newHost makes a repository with one commit of files.
func newHost(tb testing.TB, files map[string]string) *host {
	tb.Helper()
	dir := tb.TempDir()
	h := &host{tb: tb, home: filepath.Join(dir, "home"), repo: filepath.Join(dir, "project")}
	for _, d := range []string{h.home, h.repo} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	h.env = []string{
		"HOME=" + h.home, "PATH=" + filepath.Dir(os.Getenv(binaryVar)) + ":" + os.Getenv("PATH"), "XDG_CACHE_HOME=" + sharedCache(),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com",
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com",
	}
	for name, data := range files {
		path := filepath.Join(h.repo, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	h.git("init", "-q", "-b", "main")
	h.git("add", "-A")
	h.git("commit", "-q", "--allow-empty", "-m", "base")
	return h
}

// command is a program in the repository, ended with the test.
func (h *host) command(name string, args ...string) *exec.Cmd {
	if name == "agent-process" {
		name = os.Getenv(binaryVar)
	}
	cmd := exec.CommandContext(h.tb.Context(), name, args...)
	cmd.Dir, cmd.Env = h.repo, h.env
	return cmd
}

// git runs git in the repository and gives what it prints.
func (h *host) git(args ...string) string {
	h.tb.Helper()
	out, err := h.command("git", args...).CombinedOutput()
	if err != nil {
		h.tb.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// run runs agent-process to its end and gives its exit status and output.
func (h *host) run(args ...string) (int, string) {
	h.tb.Helper()
	out, err := h.command("agent-process", args...).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), string(out)
	}
	if err != nil {
		h.tb.Fatalf("agent-process %q: %v", args, err)
	}
	return 0, string(out)
}

// supervised is a start that is being watched.
type supervised struct {
	*exec.Cmd
	events *bufio.Scanner
	stderr bytes.Buffer
}

// start starts an exec agent with --json.
func (h *host) start(name, script string) *supervised {
	h.tb.Helper()
	s := &supervised{Cmd: h.command("agent-process", "start", name, "Goal of "+name, "--agent", "exec", "--json", "--", "/bin/sh", "-c", script)}
	s.Stderr = &s.stderr
	out, err := s.StdoutPipe()
	if err != nil {
		h.tb.Fatal(err)
	}
	if err := s.Start(); err != nil {
		h.tb.Fatal(err)
	}
	s.events = bufio.NewScanner(out)
	s.events.Buffer(nil, 16<<20)
	return s
}

// until reads events until one satisfies want; false when they end before.
func (s *supervised) until(want func(audit.Event) bool) bool {
	for s.events.Scan() {
		var e audit.Event
		if json.Unmarshal(s.events.Bytes(), &e) == nil && want(e) {
			return true
		}
	}
	return false
}

// end waits for the end and gives the exit status.
func (s *supervised) end(tb testing.TB) int {
	tb.Helper()
	for s.events.Scan() {
		_ = s.events.Bytes() // nobody asks for the rest
	}
	err := s.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil && !errors.Is(err, io.ErrClosedPipe) {
		tb.Fatal(err)
	}
	return 0
}

// has finds an event of a kind whose data holds text.
func has(kind, text string) func(audit.Event) bool {
	return func(e audit.Event) bool { return e.Kind == kind && strings.Contains(string(e.Data), text) }
}

// gone waits, at most a second as the product promises, until nothing of the
// host's runs is left in processes and mounts.
func (h *host) gone() {
	h.tb.Helper()
	ctx, cancel := context.WithTimeout(h.tb.Context(), time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		left := leftovers(filepath.Dir(h.repo))
		if len(left) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			h.tb.Fatalf("left after a second:\n%s", strings.Join(left, "\n"))
		case <-tick.C:
		}
	}
}

// kill ends the supervisor as nothing can prevent it.
func (s *supervised) kill(tb testing.TB) {
	tb.Helper()
	if err := s.Process.Signal(syscall.SIGKILL); err != nil {
		tb.Fatal(err)
	}
	s.end(tb)
}
