package sandbox

import (
	"context"
	"net"
	"net/netip"
	"syscall"
)

// Runtime makes sandboxes.
type Runtime interface {
	// Name is the word people choose it by, such as "native".
	Name() string
	// Probe really tries each step on this machine, in throw-away children,
	// and says which work. The error is for the probing itself.
	Probe(ctx context.Context) (Capabilities, error)
	// Start makes the sandbox that spec describes, with nothing running in it
	// but its init. It fails with CodeRuntime when a protection cannot be had.
	Start(ctx context.Context, spec Spec) (Sandbox, error)
	// Cleanup removes whatever is left on the host of the run id, with no
	// memory of it; it is idempotent.
	Cleanup(ctx context.Context, id string) error
}

// Sandbox is a running sandbox. When its owner process dies, it dies.
type Sandbox interface {
	// Exec starts a program inside. ctx bounds its life: when it ends the
	// program is killed.
	Exec(ctx context.Context, cmd Command) (Process, error)
	// Sockets are what the sandbox listens on inside, served by the host;
	// the zero value with NetworkNone.
	Sockets() Sockets
	// Facts say what was really set up, for the record and for people.
	Facts() Facts
	// Usage says what it has used so far, and whether a limit was hit.
	Usage() Usage
	// Close kills everything inside and returns when nothing is left.
	Close() error
}

// Process is a program running inside a sandbox.
type Process interface {
	// Wait returns when the program has ended and its output was copied.
	Wait() (Exit, error)
	// Signal sends sig to the program's process group.
	Signal(sig syscall.Signal) error
	// Resize changes the size of its terminal.
	Resize(tty TTY) error
}

// Exit says how a program ended.
type Exit struct {
	Code   int            // exit status, or 128+Signal
	Signal syscall.Signal // 0 when it exited
	// OOM is set when a process of the sandbox was killed for memory while
	// the program ran.
	OOM bool
}

// Sockets are the listening ends of a sandbox's network, accepted on the host
// side. All are bound to loopback addresses inside the sandbox's namespace.
type Sockets struct {
	Proxy    net.Listener     // HTTP proxy, 127.0.0.1:3128
	Redirect []net.Listener   // TCP to any other address, v4 and v6; may be empty
	DNS      []net.PacketConn // resolver, UDP
	DNSTCP   []net.Listener   // resolver, TCP
	Hook     net.Listener     // unix socket HookSocketPath
	// OriginalDst tells where a connection from Redirect was going.
	OriginalDst func(net.Conn) (netip.AddrPort, error)
}

// Facts say what a sandbox really has.
type Facts struct {
	Runtime     string `json:"runtime"`
	Rootless    bool   `json:"rootless"`
	LandlockABI int    `json:"landlock_abi"` // 0 means none
	Seccomp     bool   `json:"seccomp"`
	// Redirect says whether TCP that ignores the proxy is caught and judged;
	// otherwise it is unreachable.
	Redirect bool `json:"redirect"`
	// LimitedBy names the mechanism per limit: "memory": "cgroup v1".
	LimitedBy map[string]string `json:"limited_by"`
	// ToolPath is the PATH to use inside.
	ToolPath string `json:"tool_path"`
	// Image is the image that is the root; empty when that is this machine's
	// own system.
	Image string `json:"image,omitempty"`
	// ImageEnv are the variables that the image gives its programs, K=V, and
	// ImageUser is what it calls them, if anything.
	ImageEnv  []string `json:"-"`
	ImageUser string   `json:"-"`
	// Prepare are commands that the image asks to run once the tree is there.
	Prepare [][]string `json:"-"`
	// Notes are weaknesses of this host that a person should know of.
	Notes []string `json:"notes,omitempty"`
}

// Usage is what a sandbox used.
type Usage struct {
	MemoryPeak int64 // bytes, 0 when unknown
	OOMKills   int
	// DiskExceeded is set when the disk limit ended the sandbox.
	DiskExceeded bool
}

// Capabilities is the result of a probe: one Step per thing needed.
type Capabilities struct {
	Runtime string `json:"runtime"`
	Steps   []Step `json:"steps"`
}

// Step is one thing that was tried.
type Step struct {
	Name     string `json:"name"`     // "user namespace"
	OK       bool   `json:"ok"`       //
	Required bool   `json:"required"` // without it there is no sandbox
	Detail   string `json:"detail"`   // what was found, or the exact error
	Cause    string `json:"cause,omitempty"`
	Fix      string `json:"fix,omitempty"` // the exact command or setting
}

// Usable reports whether every required step works.
func (c Capabilities) Usable() bool {
	for _, s := range c.Steps {
		if s.Required && !s.OK {
			return false
		}
	}
	return len(c.Steps) > 0
}

// Blocker is the first required step that failed, if any.
func (c Capabilities) Blocker() (Step, bool) {
	for _, s := range c.Steps {
		if s.Required && !s.OK {
			return s, true
		}
	}
	return Step{}, false
}
