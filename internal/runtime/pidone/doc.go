// Package pidone is PID 1 of every sandbox of ours, and its supervisor's side:
// the control channel between them, the lockdown of programs and the sockets
// of the gateway. The runtimes differ in how the sandbox around it comes to be.
//
// Inside, a runtime's own set-up ends with
//
//	one, err := pidone.New(wire, pidone.Setup{Writable: dirs, Limits: limits})
//	wire.Send(pidone.Message{Op: pidone.OpReady, Report: &report}, sockets...)
//	err = one.Run(0)
//
// and on the host the same sandbox is
//
//	link := pidone.NewLink(pidone.LinkConfig{Wire: wire, Init: init, ...})
//	proc, err := link.Exec(ctx, cmd)
//
// # Invariants
//
//   - Every program is started by one locked thread, which has given up its
//     capabilities and stands under Landlock and seccomp: they are properties
//     of a thread, so no program shares a moment with anything it could attack.
//   - PID 1 cannot be killed, traced or read from inside, has no capabilities
//     and no signal handlers after set-up, and ends with its supervisor.
//   - What PID 1 says never carries what a program inside wrote.
package pidone
