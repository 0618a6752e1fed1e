//go:build !linux

package docker

// namespaces show root as an agent, on Linux.
type namespaces struct{}

// shown is a mount that only Linux can show.
type shown struct{ source, target string }

// closed reports whether what is at source can only be shown by us.
func closed(string) bool { return false }

// ownLimits are how many files and processes a container may have.
func ownLimits() (files, processes int64) { return openFiles, manyProcesses }
