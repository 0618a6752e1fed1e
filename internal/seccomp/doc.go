// Package seccomp holds the system call filters of a sandbox, as programs for
// the kernel.
//
//	program, err := seccomp.Program(runtime.GOARCH, seccomp.Plain)
//
// The rules stand in the command generate beside it, which starts from the
// profile that container engines use and withholds more. The programs are
// compiled there and committed, since every start of a sandbox would pay for
// compiling them: nothing of what that takes may be imported here.
package seccomp
