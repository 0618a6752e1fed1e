// Package native is the Linux runtime: it makes sandboxes of namespaces,
// mounts, nftables, Landlock and seccomp with nothing but this binary, as an
// ordinary user or as root.
//
//	if handled, status := native.Main(os.Args); handled {
//		os.Exit(status)
//	}
//	rt := native.New(native.Config{StateDir: dir})
//	box, err := rt.Start(ctx, spec)
//
// Two processes of ours take part. The supervisor (the caller) clones PID 1 of
// the sandbox, which is the same binary under the hidden verb of [Main]. PID 1
// builds the view of files and the network, gives up its capabilities, locks
// one of its threads down (capabilities, Landlock, seccomp: all of them are
// properties of a thread) and starts every program from that thread. So a
// program never shares a moment with anything it could attack, and no third
// stage has to be started for it. The two talk over an unnamed socket pair.
//
// As an ordinary user PID 1 opens the sources of mounts itself. As root it
// runs under the agent's own unprivileged id, which may not reach them, so the
// supervisor opens them and passes detached mounts.
//
// # Invariants
//
//   - A protection that the kernel cannot give is an error of Start. What may
//     be missing is listed in Facts: Landlock, the redirect, cgroups.
//   - PID 1 cannot be killed, traced or read from inside, has no capabilities
//     and no signal handlers after set-up, and dies with the supervisor.
//   - Nothing is mounted on the host: everything lives in the sandbox's own
//     mount namespace and goes with it. Only cgroups outlive a kill -9 of the
//     supervisor; Cleanup finds them by name.
//   - Text from PID 1 is trusted as far as the kernel keeps the agent away
//     from it: it never carries what a program inside wrote.
//
// # Must not
//
// Open a path that an agent can write by following its links; start a program
// inside from any thread but the locked one; fall back to a weaker sandbox
// without saying so in Facts.
package native
