//go:build linux

// Command generate writes the seccomp programs that the sandbox loads. They are
// compiled here, where they are reviewed and committed, and not at every start.
//
//	go generate ./internal/seccomp
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: generate DIRECTORY")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// write puts every program into dir.
func write(dir string) error {
	all, err := programs()
	if err != nil {
		return err
	}
	for name, code := range all {
		if err := os.WriteFile(filepath.Join(dir, name), code, 0o644); err != nil { //nolint:gosec // G306: source code, for everybody
			return err
		}
	}
	return nil
}

// programs compiles every program and the profile of engines, by file name.
func programs() (map[string][]byte, error) {
	all := map[string][]byte{}
	for _, goarch := range []string{"amd64", "arm64"} {
		for name, affinity := range map[string]bool{"plain": true, "pinned": false} {
			code, err := compile(goarch, affinity)
			if err != nil {
				return nil, err
			}
			all[goarch+"-"+name+".bpf"] = code
		}
	}
	var err error
	all[profileFile], err = profile()
	return all, err
}
