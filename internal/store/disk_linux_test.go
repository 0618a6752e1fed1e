package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"agentprocess/internal/audit"
	"agentprocess/internal/execx"
	"agentprocess/internal/sandbox"
)

// Exit statuses of fillDisk for what is no result.
const (
	exitNoMount = 77
	exitWrong   = 1
)

// fillDisk mounts a small file system on dir, which only its own mount
// namespace sees, and records until that is full. What it prints is an error.
func fillDisk(ctx context.Context, dir string) int {
	if err := unix.Mount("small", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=2m"); err != nil {
		fmt.Fprintln(os.Stdout, err)
		return exitNoMount
	}
	if err := fill(ctx, filepath.Join(dir, "state.db")); err != nil {
		fmt.Fprintln(os.Stdout, err)
		return exitWrong
	}
	return 0
}

func fill(ctx context.Context, path string) error {
	s, err := Open(ctx, path)
	if err != nil {
		return err
	}
	sink := s.Sink(ctx)
	rec := audit.NewRecorder("r", time.Now, sink)
	for i := 0; rec.Err() == nil && i < 10_000; i++ {
		rec.Record(audit.Say{Text: strings.Repeat("x", 1000)})
		rec.Record(audit.Verdict{ID: "v", Decision: audit.Allow})
	}
	err = sink.Close()
	if !strings.Contains(sandbox.ErrorHint(err), "disk is full") {
		return fmt.Errorf("the error was %w, its hint %q", err, sandbox.ErrorHint(err))
	}
	events, err := s.Events(ctx, "r", 0, 0)
	if err != nil || len(events) == 0 {
		return fmt.Errorf("%d events left: %w", len(events), err)
	}
	return errors.Join(audit.Verify(events), s.Close())
}

func TestFullDisk(t *testing.T) {
	cmd := writerCmd(t, "fill", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := execx.Output(t.Context(), cmd)
	switch code := execx.ExitCode(err); {
	case err == nil:
	case code == exitNoMount, code == -1:
		wants := fmt.Sprintf("wants a user namespace that can mount tmpfs, got %v: %s", err, out)
		if os.Getenv("CI") == "true" {
			t.Fatal(wants)
		}
		t.Skip(wants)
	default:
		t.Errorf("%v: %s", err, out)
	}
}
