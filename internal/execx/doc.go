// Package execx is the only door to os/exec: a program is an argv, never a
// shell string, with an environment that is spelled out, a context that ends
// it, and an error that says what ran and what it answered.
//
//	out, err := execx.Output(ctx, execx.Cmd{Argv: []string{"git", "rev-parse", "HEAD"}, Dir: dir, Env: env})
//
// # Invariants
//
//   - A nil Env is the empty environment, not ours.
//   - When the context ends the program gets SIGKILL, and Wait returns within
//     WaitDelay even if a grandchild holds its output open.
package execx
