package execx

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

func sh(script string) Cmd { return Cmd{Argv: []string{"/bin/sh", "-c", script}} }

func TestOutput(t *testing.T) {
	tests := []struct {
		name string
		cmd  Cmd
		want string
	}{
		{"argv is not a shell's", Cmd{Argv: []string{"/bin/echo", "$HOME", "a b", ";"}}, "$HOME a b ;\n"},
		{"no environment unless it is given", Cmd{Argv: []string{"/usr/bin/env"}}, ""},
		{"the environment that is given", Cmd{Argv: []string{"/usr/bin/env"}, Env: []string{"A=1"}}, "A=1\n"},
		{"the directory that is given", Cmd{Argv: []string{"/bin/pwd"}, Dir: "/"}, "/\n"},
		{"standard input", Cmd{Argv: []string{"/bin/cat"}, Stdin: strings.NewReader("in")}, "in"},
		{"no standard input", Cmd{Argv: []string{"/bin/cat"}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Output(t.Context(), tt.cmd)
			if err != nil || string(got) != tt.want {
				t.Errorf("Output(%q) = %q, %v, want %q", tt.cmd.Argv, got, err, tt.want)
			}
		})
	}
}

func TestRunError(t *testing.T) {
	var shown bytes.Buffer
	noisy := sh("echo ' why ' >&2; exit 3")
	noisy.Stderr = &shown
	tests := []struct {
		name   string
		cmd    Cmd
		exit   int
		stderr string
	}{
		{"an exit status", noisy, 3, "why"},
		{"a signal", sh("kill -KILL $$"), -1, ""},
		{"no such program", Cmd{Argv: []string{"/nonexistent/program"}}, -1, ""},
		{"much on stderr", sh("i=0; while [ $i -lt 3000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1"), 1, "line 2999"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Run(t.Context(), tt.cmd)
			e, ok := errors.AsType[*RunError](err)
			if !ok {
				t.Fatalf("Run(%q) = %v, want a *RunError", tt.cmd.Argv, err)
			}
			if e.Exit != tt.exit || ExitCode(err) != tt.exit || !strings.HasSuffix(e.Stderr, tt.stderr) || len(e.Stderr) > stderrKept {
				t.Errorf("Run(%q) = %+v, want exit %d and stderr %q", tt.cmd.Argv, e, tt.exit, tt.stderr)
			}
			if e.Argv[0] != tt.cmd.Argv[0] || !strings.Contains(err.Error(), tt.cmd.Argv[0]) {
				t.Errorf("%q does not say what ran", err)
			}
		})
	}
	if shown.String() != " why \n" {
		t.Errorf("stderr was passed on as %q", shown.String())
	}
}

func TestRunRefusesAnEmptyArgv(t *testing.T) {
	if err := Run(t.Context(), Cmd{}); err == nil {
		t.Error("Run() of nothing is no error")
	}
}

func TestExitCodeOfOtherErrors(t *testing.T) {
	for _, err := range []error{nil, errors.New("x")} {
		if got := ExitCode(err); got != -1 {
			t.Errorf("ExitCode(%v) = %d, want -1", err, got)
		}
	}
}

// The end of the context kills the program, and a grandchild that holds its
// output open does not keep us.
func TestContextEndsAProgram(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close() // ends the grandchild
	started := &firstWrite{wrote: make(chan struct{})}
	c := sh("exec 3<&0; cat <&3 & echo started; wait")
	c.Stdin, c.Stdout = in, started
	p, err := Start(ctx, c)
	if err := errors.Join(err, in.Close()); err != nil {
		t.Fatal(err)
	}
	<-started.wrote
	cancel()
	err = p.Wait()
	if _, ok := errors.AsType[*RunError](err); !ok {
		t.Errorf("Wait() = %v, want a *RunError", err)
	}
	if got := p.State().Sys().(syscall.WaitStatus).Signal(); got != syscall.SIGKILL {
		t.Errorf("the program ended by %v, want %v", got, syscall.SIGKILL)
	}
}

// firstWrite says when something was written to it.
type firstWrite struct{ wrote chan struct{} }

func (f *firstWrite) Write(p []byte) (int, error) {
	select {
	case <-f.wrote:
	default:
		close(f.wrote)
	}
	return len(p), nil
}
