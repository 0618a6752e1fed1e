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

// EngineProfile is the filter as container engines take it, in the JSON of the
// OCI runtime specification.
func EngineProfile() (string, error) {
	data, err := programs.ReadFile("programs/engine.json")
	if err != nil {
		return "", fmt.Errorf("no seccomp profile for engines: %w", err)
	}
	return string(data), nil
}
