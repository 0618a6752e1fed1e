package sandbox

import "io"

// BinaryPath is where our own binary stands, read-only, inside every sandbox.
const BinaryPath = "/opt/agent-process/agent-process"

// PutVerb makes that binary replace a file by what comes on stdin: `PutVerb
// PATH MODE`, MODE in octal. What a hook changed goes back into the agent's tree
// by it, as the agent and inside its sandbox: the host never writes where an
// agent may have laid a link.
const PutVerb = "__put"

// ConnectVerb makes that binary connect to a port of the sandbox's own loopback
// and copy between that and its standard streams: `ConnectVerb PORT`.
const ConnectVerb = "__connect"

// RunDir is the directory inside that holds the hook socket and the CA.
const RunDir = "/run/agent-process"

// HookSocketPath is the unix socket inside on which the gateway answers hooks.
const HookSocketPath = RunDir + "/hook.sock"

// Spec is the whole desired state of one sandbox. Zero values are the strict
// choice: no network, no mounts, no environment.
type Spec struct {
	// ID is the run id; everything created on the host is labelled with it.
	ID string
	// Identity is who processes inside are. Never uid 0.
	Identity Identity
	// Hostname inside; empty means "sandbox".
	Hostname string
	// Home is the absolute path of the home directory inside.
	Home string
	// Mounts are added to the runtime's own base (system directories
	// read-only, private /tmp, /run, /proc, /dev), parents before children.
	Mounts []Mount
	// Files are written before the root becomes read-only.
	Files []File
	// ToolPath is a PATH value: what it names outside the system directories
	// appears read-only inside, without credential files.
	ToolPath string
	// Network says what there is besides lo.
	Network Network
	// Limits bound what the sandbox may use.
	Limits Limits
}

// Identity is a user inside a sandbox.
type Identity struct {
	UID, GID int
	// Name is the passwd entry; empty means "agent".
	Name string
}

// MountKind says how a Mount comes to be.
type MountKind string

// The kinds of mounts.
const (
	MountBind    MountKind = "bind"    // Source on the host appears at Target
	MountTmpfs   MountKind = "tmpfs"   // empty, Size bytes at most
	MountOverlay MountKind = "overlay" // Lower read-only under Upper; without Upper a read-only view
)

// Mount is one entry of a sandbox's view of files. All mounts are nosuid and
// nodev.
type Mount struct {
	Kind     MountKind
	Source   string // host path, for MountBind
	Target   string // absolute path inside
	ReadOnly bool
	NoExec   bool
	// Optional mounts are left out when Source does not exist.
	Optional bool
	Size     int64 // bytes, for MountTmpfs
	// Lower, Upper and Work are host directories, for MountOverlay. Without
	// Upper and Work the mount is read-only.
	Lower, Upper, Work string
	// Lowers are more layers that stay as they are, topmost first, above Lower.
	// One may be the Upper of another sandbox that runs: what that changes
	// after this one started may or may not be seen.
	Lowers []string
}

// File is a file that a sandbox finds when it starts.
type File struct {
	Path string // absolute path inside
	Data []byte
	Mode uint32 // permission bits; 0 means 0o444
	// Owned files belong to the sandbox's identity, others to nobody inside.
	Owned bool
}

// Network says what a sandbox can reach.
type Network string

// The networks there are.
const (
	// NetworkNone is an empty lo and nothing else.
	NetworkNone Network = "none"
	// NetworkGateway hands the sandbox's Sockets to a gateway on the host side.
	NetworkGateway Network = "gateway"
)

// Limits bound a sandbox. Zero means the runtime's default, not "none".
type Limits struct {
	MemoryBytes int64
	PIDs        int64
	CPUs        float64
	DiskBytes   int64
}

// Command is one program to run inside a sandbox.
type Command struct {
	Argv []string
	Env  []string // K=V, the whole environment
	Dir  string   // absolute path inside; empty means "/"
	// Stdin, Stdout and Stderr are copied; nil is /dev/null. An *os.File is
	// handed over as it is. With TTY set, Stdout gets both and Stderr is unused.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// TTY gives the program a terminal of the sandbox's own.
	TTY *TTY
	// Sealed makes the copied streams sockets instead of pipes: another program
	// of the same user can open a pipe through /proc/PID/fd and read what was
	// meant for us, or write into it. A program that opens /dev/stdout itself
	// cannot run so.
	Sealed bool
}

// TTY is the size of a terminal in cells.
type TTY struct{ Rows, Cols uint16 }
