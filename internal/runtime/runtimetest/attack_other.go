//go:build !linux

package runtimetest

// Main runs the attacks, which only a Linux build of the test binary has.
func Main([]string) (handled bool, status int) { return false, 0 }

func foreignProgram() ([]byte, bool) { return nil, false }
