package agent_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"agentprocess/internal/agent"
	"agentprocess/internal/execx"
	"agentprocess/internal/scripted"
)

// dialogs are what a first run may ask.
var dialogs = []string{
	"Choose the text style", "Select login method", "Do you trust", "Quick safety check", "Yes, I accept", "Yes, I trust",
	"custom API key", "New MCP server", "MCP servers found", "Paste code here",
}

// On an empty home the interactive CLI comes up to its prompt without a
// question, with a repository that brings its own settings and MCP servers.
func TestClaudeAsksNothing(t *testing.T) {
	credentials := map[string]agent.StandIn{
		"api key": {Env: "ANTHROPIC_API_KEY", Value: "sk-ant-api03-agentprocess-placeholder-0123456789"},
		"oauth":   {Env: "CLAUDE_CODE_OAUTH_TOKEN", Value: "sk-ant-oat01-agentprocess-placeholder"},
		"bearer":  {Env: "ANTHROPIC_AUTH_TOKEN", Value: "agentprocess-placeholder"},
	}
	for name, credential := range credentials {
		t.Run(name, func(t *testing.T) {
			s := newSession(t, one(scripted.Turn{Text: "The answer is forty-two."}))
			s.write(filepath.Join(s.dir, ".mcp.json"), []byte(`{"mcpServers":{"m":{"command":"touch","args":["mcp-ran"]}}}`))
			argv, env, _ := s.plan(agent.Request{Goal: "--ask", Interactive: true, Credential: credential})
			screen := watch(t, s, argv, env, "forty-two")
			for _, d := range dialogs {
				if strings.Contains(screen, d) {
					t.Errorf("the screen shows %q:\n%s", d, screen)
				}
			}
			if _, err := os.Stat(filepath.Join(s.dir, "mcp-ran")); err == nil {
				t.Error("the repository's MCP server ran")
			}
		})
	}
}

// watch runs a program on a terminal until its screen shows want.
func watch(t *testing.T, s *session, argv, env []string, want string) string {
	t.Helper()
	attr := attributes()
	if s.helper != "" {
		attr = namespaced() // argv starts with it
	}
	attr.Setsid, attr.Setctty = true, true
	master, slave := terminal(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := execx.Start(ctx, execx.Cmd{
		Argv: argv, Env: env, Dir: s.dir, Stdin: slave, Stdout: slave, Stderr: slave,
		SysProcAttr: attr,
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = master.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var raw []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := master.Read(buf)
		raw = append(raw, buf[:n]...)
		if strings.Contains(visible(raw), want) {
			break
		}
		if err != nil {
			t.Errorf("the screen never shows %q (%v):\n%s", want, err, visible(raw))
			break
		}
	}
	cancel()
	_ = p.Wait() // it was killed
	return visible(raw)
}

var (
	forward = regexp.MustCompile(`\x1b\[\d*C`)
	escapes = regexp.MustCompile(`\x1b\[[0-9;?<>=]*[a-zA-Z]|\x1b\][^\x07]*\x07|\x1b[()78].?`)
)

// visible is roughly what a screen showed at one time or another.
func visible(raw []byte) string {
	return escapes.ReplaceAllString(forward.ReplaceAllString(string(raw), " "), "")
}

// terminal makes a pseudo terminal of a usual size.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("wants a pseudo terminal, got: %v", err)
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 120}); err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	return master, slave
}
