package contained

import "agentprocess/internal/sandbox"

// Verb is the hidden verb of our binary for PID 1 of a container; the argument
// is the path of the supervisor's socket.
const Verb = "__contained"

// ControlDir is where the directory of the supervisor's socket is mounted. The
// socket in it is gone before any program runs.
const ControlDir = sandbox.RunDir + "/control"

// ControlSocket is the name of the socket in ControlDir.
const ControlSocket = ControlDir + "/supervisor"

// Config is what PID 1 is told.
type Config struct {
	Identity sandbox.Identity `json:"identity"`
	Network  sandbox.Network  `json:"network"`
	// Files are written by PID 1: those below sandbox.RunDir, which belong to
	// nobody inside, and those that belong to the agent.
	Files []sandbox.File `json:"files"`
	// Writable are the mounts that the agent may write to.
	Writable []string `json:"writable"`
	// Own are mounts that the engine gave to root, to be given to the agent.
	Own []string `json:"own,omitempty"`
	// FileSize is the most bytes of one file; 0 is no limit.
	FileSize uint64 `json:"file_size,omitempty"`
	// CPUs is how many processors programs may run on, 0 for all: only where
	// the engine cannot limit them.
	CPUs int `json:"cpus,omitempty"`
}

// Capabilities are what the engine must give PID 1 for the moment until it is
// the agent's user; programs have none of them. own says that there are mounts
// to be given to the agent.
func Capabilities(network sandbox.Network, own bool) []string {
	caps := []string{"SETUID", "SETGID", "SETPCAP"}
	if network == sandbox.NetworkGateway {
		caps = append(caps, "NET_ADMIN", "NET_BIND_SERVICE")
	}
	if own {
		caps = append(caps, "CHOWN")
	}
	return caps
}
