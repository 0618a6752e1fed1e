package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"agentprocess/internal/inspect"
	"agentprocess/internal/sandbox"
)

// Agents are the kinds of agents that `agent` may name.
const (
	AgentClaude = "claude"
	AgentExec   = "exec"
)

// Config is what holds for a run unless a flag says otherwise.
type Config struct {
	Agent     string        // "claude" or "exec"
	AgentPath string        // the agent's program; empty means to find it
	Model     string        // empty means the agent's own choice
	Timeout   time.Duration // of a run; 0 means none
	History   string        // what of the history agents can read; empty means all
	Keep      bool          // keep the worktree of a finished run
	Backend   sandbox.Backend
	Limits    sandbox.Limits // zero fields mean the runtime's defaults
	// Notify is a command and its arguments, run with one more that says what a
	// person is asked; empty means none.
	Notify []string
	// Proxy is the proxy of the host's network, "none" for none whatever the
	// environment says; empty means what that says. NoProxy is what is reached
	// without.
	Proxy, NoProxy string
	// Import says what is done about what an agent's commits bring.
	Import inspect.Policy
}

// Default is the configuration without any file.
func Default() Config { return Config{Agent: AgentClaude} }

// Load reads a file over the defaults. A file that does not exist is none.
func Load(path string) (Config, error) {
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Default(), nil
	case err != nil:
		return Config{}, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("read configuration: %w", err), "")
	}
	cfg, problems := Parse(path, data)
	if len(problems) > 0 {
		return Config{}, sandbox.Fail(sandbox.CodeUsage, problems,
			fmt.Sprintf("correct %q; known keys are %s", path, strings.Join(keys(), ", ")))
	}
	return cfg, nil
}

// FileError is one thing wrong with a file.
type FileError struct {
	File         string
	Line, Column int
	Text         string
}

// Error implements error.
func (p FileError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text)
}

// FileErrors are all things wrong with a file, in order.
type FileErrors []FileError

// Error implements error, one problem a line.
func (p FileErrors) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}
