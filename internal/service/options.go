package service

import (
	"time"

	"agentprocess/internal/approval"
	"agentprocess/internal/proxy"
	"agentprocess/internal/sandbox"
)

// StartOptions say what Start is to do.
type StartOptions struct {
	Name string // required, see sandbox.ValidateName
	Goal string // required, except for exec agents
	Dir  string // a directory of the repository

	Agent     string   // "claude" or "exec"
	AgentPath string   // the agent's program; empty means to find it
	Argv      []string // what an exec agent runs
	Model     string
	Source
	Egress
	Env    []string // K=V, or K for the person's own value
	Checks []string // shell commands that must succeed after the work

	// Scope bounds what the agent may change: globs relative to the root of the
	// repository; none is everything.
	Scope []string
	Ask   Asking

	Machine
	Keep bool // keep the worktree
	// NoVerify leaves the project's pre-commit hook aside.
	NoVerify bool
	// Progress is told what takes long before there is a record; it may be nil.
	Progress func(string)
	// Control ends the run early; nil means only the context can.
	Control *Control

	resume *resumption // what it goes on from; nil is a new agent
	demo   bool        // what it opens is the demo's own, which says so
}

// Source says what of a repository an agent begins with.
type Source struct {
	Base string // a ref; empty means HEAD
	// History is what of the repository's history the agent can read: all of
	// its objects when it is empty, what the base reaches when it is "base", or
	// that many commits.
	History string
	// IncludeDirty has the agent start from a commit of what is in the worktree
	// and in no commit.
	IncludeDirty bool
}

// Egress says what an agent may reach, besides what files list.
type Egress struct {
	Allow   []string // egress rules of this run
	Secrets []string // stored secrets that the agent may use, by name
	Resolve map[string]proxy.Target
	// Learn lets through what no line denies, and records what would have been
	// denied.
	Learn bool
}

// Machine says where an agent runs, and for how long at most.
type Machine struct {
	Backend sandbox.Backend
	Limits  sandbox.Limits
	Timeout time.Duration // 0 means none
}

// Asking says how a person is asked what a policy leaves to them.
type Asking struct {
	// Prompt asks at the terminal; nil when nobody sits there.
	Prompt approval.Prompter
	// Notify is told of each question that waits; it may be nil.
	Notify func(approval.Question)
	// Timeout is how long a question waits; 0 is approval.DefaultDeadline.
	Timeout time.Duration
	// Unattended says no at once.
	Unattended bool
}

// Control lets a person end a run: the first Stop asks the agent to stop and
// keeps its work, the second ends it at once and keeps its work all the same.
type Control struct{ stops chan struct{} }

// NewControl makes a Control.
func NewControl() *Control { return &Control{stops: make(chan struct{}, 2)} }

// Stop asks once; it never blocks, and more than twice is no more than twice.
func (c *Control) Stop() {
	select {
	case c.stops <- struct{}{}:
	default:
	}
}

// asked receives once for each Stop; nil never does.
func (c *Control) asked() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.stops
}
