package exectest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"agentprocess/internal/execx"
)

// built is the binary without the detector, in a directory of its own.
var built = sync.OnceValues(build)

// Main runs the tests and removes what Binary has built.
func Main(m *testing.M) int {
	status := m.Run()
	if !raced {
		return status
	}
	exe, err := built()
	if err == nil {
		err = os.RemoveAll(filepath.Dir(exe))
	}
	if err != nil {
		return max(status, 1)
	}
	return status
}

// Binary is the running test's binary, without the race detector.
func Binary(tb testing.TB) string {
	tb.Helper()
	exe, err := os.Executable()
	if raced {
		exe, err = built()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return exe
}

// build builds the tests of the working directory, which is their package's.
func build() (string, error) {
	dir, err := os.MkdirTemp("", "agent-process-plain-")
	if err != nil {
		return "", err
	}
	exe := filepath.Join(dir, "test")
	cmd := execx.Cmd{Argv: []string{"go", "test", "-c", "-o", exe, "."}, Env: append(os.Environ(), "CGO_ENABLED=0")}
	if _, err := execx.Output(context.Background(), cmd); err != nil { //nolint:forbidigo // for all tests of the process
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return exe, nil
}
