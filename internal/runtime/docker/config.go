package docker

import (
	"log/slog"

	"agentprocess/internal/sandbox"
)

// Kind is an engine: the word people choose it by.
type Kind string

// The engines there are.
const (
	Docker Kind = "docker"
	Podman Kind = "podman"
)

// LabelRun is the label of everything that an engine keeps for a run; its value
// is the id of the sandbox.
const LabelRun = "agent-process.run"

// namePrefix begins the names of containers.
const namePrefix = "agent-process-"

// Config is what a Runtime needs.
type Config struct {
	Kind Kind
	// Host is the engine's address, such as unix:///var/run/docker.sock; see
	// FindHost.
	Host string
	// Image is the root of sandboxes; it must be there already.
	Image string
	// OCIRuntime is the engine's runtime to use instead of its default, such as
	// runsc.
	OCIRuntime string
	// StateDir holds what is mounted into running containers.
	StateDir string
	// Program is the static binary that runs as PID 1 and that the sandbox shows
	// as ours; empty is the running program.
	Program string
	// Identity is who agents are by default; Probe uses it.
	Identity sandbox.Identity
	// Logger gets what nobody waits for; nil discards it.
	Logger *slog.Logger
}

func (c Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}
