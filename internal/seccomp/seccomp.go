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

import (
	"embed"
	"fmt"
)

//go:generate go run ./generate programs

//go:embed programs
var programs embed.FS

// Variant says which of the programs.
type Variant string

// The variants.
const (
	Plain  Variant = "plain"
	Pinned Variant = "pinned" // without sched_setaffinity: CPUs are limited by pinning
)

// Program is the filter for an architecture as GOARCH names it: struct
// sock_filter after struct sock_filter, little-endian.
func Program(goarch string, v Variant) ([]byte, error) {
	code, err := programs.ReadFile("programs/" + goarch + "-" + string(v) + ".bpf")
	if err != nil {
		return nil, fmt.Errorf("no seccomp program for %s: %w", goarch, err)
	}
	return code, nil
}
