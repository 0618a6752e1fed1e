//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestCommittedProgramsAreCurrent fails when the rules were changed, or what
// they start from was upgraded, and the programs were not written again.
func TestCommittedProgramsAreCurrent(t *testing.T) {
	all, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range all {
		t.Run(name, func(t *testing.T) {
			got, err := os.ReadFile(filepath.Join("..", "programs", name))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes are committed, the rules make %d others: run go generate ./internal/seccomp and review", len(got), len(want))
			}
			if name == profileFile {
				return
			}
			if len(want)/8 > 1000 || len(want)%8 != 0 {
				t.Errorf("%d bytes", len(want))
			}
		})
	}
}
