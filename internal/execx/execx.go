package execx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// WaitDelay bounds the wait for output after a program was killed.
const WaitDelay = 2 * time.Second

// stderrKept is how much of a program's stderr a RunError carries, in bytes.
const stderrKept = 8 << 10

// Cmd is a program to run.
type Cmd struct {
	Argv []string // Argv[0] is looked up on our own PATH unless it has a slash
	Dir  string
	Env  []string // the whole environment; nil is empty
	// Stdin, Stdout and Stderr are nil for /dev/null. Stderr is also kept for
	// the error.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	ExtraFiles     []*os.File // from descriptor 3 on
	SysProcAttr    *syscall.SysProcAttr
}

// RunError says what ran and how it ended.
type RunError struct {
	Argv   []string
	Exit   int    // -1 when it did not exit by itself
	Stderr string // the last part of it, trimmed
	Err    error
}

// Error implements error.
func (e *RunError) Error() string {
	msg := fmt.Sprintf("run %q: %v", e.Argv, e.Err)
	if e.Stderr != "" {
		msg += ": " + e.Stderr
	}
	return msg
}

// Unwrap gives the cause.
func (e *RunError) Unwrap() error { return e.Err }

// ExitCode is the exit status that err's program ended with, -1 if none.
func ExitCode(err error) int {
	if e, ok := errors.AsType[*RunError](err); ok {
		return e.Exit
	}
	return -1
}

// Run runs a program to its end.
func Run(ctx context.Context, c Cmd) error {
	p, err := Start(ctx, c)
	if err != nil {
		return err
	}
	return p.Wait()
}

// Output runs a program to its end and gives its stdout.
func Output(ctx context.Context, c Cmd) ([]byte, error) {
	var out bytes.Buffer
	c.Stdout = &out
	err := Run(ctx, c)
	return out.Bytes(), err
}

// Process is a program that runs.
type Process struct {
	cmd    *exec.Cmd
	stderr *tail
}

// Start starts a program.
func Start(ctx context.Context, c Cmd) (*Process, error) {
	if len(c.Argv) == 0 {
		return nil, errors.New("run: empty argv")
	}
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Dir, cmd.Env = c.Dir, c.Env
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	cmd.Stdin, cmd.Stdout = c.Stdin, c.Stdout
	cmd.ExtraFiles, cmd.SysProcAttr = c.ExtraFiles, c.SysProcAttr
	cmd.WaitDelay = WaitDelay
	p := &Process{cmd: cmd, stderr: &tail{}}
	switch w := c.Stderr.(type) {
	case nil:
		cmd.Stderr = p.stderr
	case *os.File:
		cmd.Stderr = w // handed over as it is; nothing is kept for the error
	default:
		cmd.Stderr = io.MultiWriter(w, p.stderr)
	}
	if err := cmd.Start(); err != nil {
		return nil, &RunError{Argv: c.Argv, Exit: -1, Err: err}
	}
	return p, nil
}

// PID is the program's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends sig to the program.
func (p *Process) Signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

// State is how the program ended; nil before Wait has returned.
func (p *Process) State() *os.ProcessState { return p.cmd.ProcessState }

// Wait waits for the end of the program and its output. The error is a
// *RunError unless it exited with 0.
func (p *Process) Wait() error {
	err := p.cmd.Wait()
	if err == nil {
		return nil
	}
	exit := -1
	if p.cmd.ProcessState != nil {
		exit = p.cmd.ProcessState.ExitCode()
	}
	return &RunError{Argv: p.cmd.Args, Exit: exit, Stderr: p.stderr.String(), Err: err}
}

// tail keeps the last stderrKept bytes written to it.
type tail struct{ buf []byte }

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - stderrKept; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

// String is what was kept, trimmed.
func (t *tail) String() string { return strings.TrimSpace(string(t.buf)) }

// LookPath finds an executable in a PATH value. Relative entries do not count.
func LookPath(name, path string) (string, bool) {
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, true
		}
	}
	return "", false
}
