// Package docker is the runtime of container engines: one driver for Docker and
// Podman over the Docker API, with a table of what they say differently.
//
//	rt, err := docker.New(docker.Config{Kind: docker.Docker, Image: "debian:stable-slim", StateDir: dir, Program: inside})
//	box, err := rt.Start(ctx, spec)
//
// A sandbox is one container without any network. Its PID 1 is our own small
// binary, mounted read-only into whatever image it is; before it starts a
// program it makes the loopback network, becomes the agent's user and gives up
// the few capabilities that took (package contained), and then every program
// gets the same lockdown as in the native runtime (package pidone), under the
// engine's own walls: all capabilities dropped, no new privileges, our seccomp
// profile, a read-only root, bounded memory, processes and processors.
//
// PID 1 and the supervisor talk over a unix socket that is mounted for the
// moment it takes to connect; descriptors of listening sockets come over it, so
// the gateway serves the container's loopback from outside.
//
// # Invariants
//
//   - The engine's socket is never mounted, no port is published, no network is
//     joined, no image is pulled.
//   - Everything that an engine keeps for a run carries [LabelRun]; Cleanup
//     needs nothing else.
//   - What the engine cannot give is an error of Start; what may be missing is
//     listed in Facts.
//
// # Must not
//
// Let an image say what runs, as whom or with which protections; mount through
// a link that an agent left; write to a path in a tree of the agent's other
// than through os.Root.
package docker
