// Package contained is what PID 1 of a container does before it is at work: it
// makes the network of the container ours, writes the files that only exist
// inside, becomes the agent's user and gives everything up.
//
//	if handled, status := contained.Main(os.Args); handled {
//		os.Exit(status)
//	}
//
// The engine starts our small binary as root of the container with a handful
// of capabilities (see [Capabilities]) and nothing else of the image; it
// connects to the supervisor by the socket that is mounted for it, and from
// then on is the same PID 1 as that of every other runtime (package pidone).
//
// # Invariants
//
//   - Nothing of the image runs before the capabilities are gone, from the
//     bounding set too.
//   - A protection that cannot be had ends the container before any program
//     was started.
//
// # Must not
//
// Import what talks to an engine: this is part of the binary that starts fast.
package contained
