//go:build linux

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"agentprocess/internal/approval"
	"agentprocess/internal/audit"
	"agentprocess/internal/execx"
	"agentprocess/internal/report"
	"agentprocess/internal/term"
)

// asPrompt in the environment makes the test binary ask on its terminal.
const asPrompt = "CLI_TEST_PROMPT"

func TestMain(m *testing.M) {
	if mode := os.Getenv(asPrompt); mode != "" {
		os.Exit(promptChild(context.Background(), mode))
	}
	os.Exit(m.Run())
}

func aQuestion() approval.Question {
	at := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	return approval.Question{
		ID: "q-7k2mf", Run: "docs-1", Name: "docs", Repository: "/home/ada/shop/.git", Kind: approval.KindTool,
		Subject: "Bash: git push origin x\x1b[2J", Detail: "git push origin x\n" + strings.Repeat("and more\n", 40),
		Rule: "push", Source: "built-in", Reason: "pushes are yours", Created: at, Deadline: at.Add(10 * time.Minute),
	}
}

// promptChild asks and prints what it was told. SIGUSR1 starts the question,
// SIGUSR2 answers it elsewhere, and Ctrl-C stops it as it stops a run.
func promptChild(ctx context.Context, mode string) int {
	switch mode {
	case "background":
		_, err := openKeyboard(os.Stdin)
		fmt.Fprintln(os.Stdout, "in the background:", errors.Is(err, errBackground))
		return 0
	case "shell": // starts the one above as shells start what ends with &
		err := execx.Run(ctx, execx.Cmd{
			Argv: os.Args[:1], Env: []string{asPrompt + "=background"}, Stdin: os.Stdin, Stdout: os.Stdout,
			SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
		})
		return max(execx.ExitCode(err), 0)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	begin, elsewhere, stop := make(chan os.Signal, 1), make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(begin, syscall.SIGUSR1)
	signal.Notify(elsewhere, syscall.SIGUSR2)
	signal.Notify(stop, syscall.SIGINT)
	go func() {
		select {
		case <-elsewhere:
			cancel(approval.SettledError{Answer: approval.Answer{Allow: true, By: "bob"}})
		case <-stop:
			cancel(errors.New("stopped"))
		}
	}()
	streams := term.OS()
	live := report.NewLive(streams.Out, report.LiveOptions{Status: true, Now: time.Now})
	rec := audit.NewRecorder("docs-1", time.Now, live)
	rec.Record(audit.Output{Stream: "stdout", Text: "ready"})
	<-begin
	p := (&deps{streams: streams}).prompter(live)
	if p == nil {
		fmt.Fprintln(os.Stdout, "no prompter")
		return 1
	}
	a, err := p.Prompt(ctx, aQuestion())
	rec.Record(audit.Output{Stream: "stdout", Text: fmt.Sprintf("answer: allow %t, reason %q, by a person %t, error %v.", a.Allow, a.Reason, a.ByPerson(), err)})
	if err := live.Close(); err != nil {
		return 1
	}
	return 0
}

// sitting is a person at a terminal on which something is asked.
type sitting struct {
	t             *testing.T
	master, slave *os.File
	child         *execx.Process
	before        unix.Termios
	raw           []byte
}

// sit starts the test binary on a terminal of its own.
func sit(t *testing.T, mode string, attr *syscall.SysProcAttr) *sitting {
	t.Helper()
	s := &sitting{t: t}
	s.master, s.slave = pty(t)
	state, err := unix.IoctlGetTermios(int(s.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	s.before = *state
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	s.child, err = execx.Start(ctx, execx.Cmd{
		Argv: []string{self}, Env: []string{asPrompt + "=" + mode, "TERM=xterm", "NO_COLOR=1"},
		Stdin: s.slave, Stdout: s.slave, Stderr: s.slave, SysProcAttr: attr,
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = s.master.SetReadDeadline(time.Unix(1, 0)) })
	t.Cleanup(func() { stop() })
	return s
}

// pty makes a pseudo terminal.
func pty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("wants a pseudo terminal, got: %v", err)
		}
		t.Skipf("wants a pseudo terminal, got: %v", err)
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	return master, slave
}

var controls = regexp.MustCompile(`\x1b\[[0-9;]*[a-zA-Z]|\r`)

// sees waits until the screen has shown a text since the last time.
func (s *sitting) sees(want string) {
	s.t.Helper()
	buf := make([]byte, 4096)
	for {
		shown := controls.ReplaceAllString(string(s.raw), "")
		if _, rest, found := strings.Cut(shown, want); found {
			s.raw = []byte(rest)
			return
		}
		n, err := s.master.Read(buf)
		s.raw = append(s.raw, buf[:n]...)
		if err != nil {
			s.t.Fatalf("the screen never shows %q (%v):\n%s", want, err, shown)
		}
	}
}

func (s *sitting) types(keys string) {
	s.t.Helper()
	if _, err := s.master.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

func (s *sitting) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.child.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// ends waits for the child and sees that the terminal is as it was.
func (s *sitting) ends() {
	s.t.Helper()
	if err := s.child.Wait(); err != nil {
		s.t.Fatal(err)
	}
	after, err := unix.IoctlGetTermios(int(s.slave.Fd()), unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	if diff := cmp.Diff(s.before, *after); diff != "" {
		s.t.Errorf("the terminal was left in another state:\n%s", diff)
	}
}

// foreground makes the terminal the child's.
func foreground() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true, Setctty: true} }

const asksFor = "y or n, or n and a reason, then Enter: "

func TestPromptOnATerminal(t *testing.T) {
	tests := []struct{ name, keys, want string }{
		{"yes", "y\r", `allow true, reason "", by a person true, error <nil>.`},
		{"yes in full", " Yes \n", `allow true, reason "", by a person true, error <nil>.`},
		{"no", "n\r", `allow false, reason "denied by person`},
		{"no and why", "n use the staging registry\r", `allow false, reason "use the staging registry", by a person true`},
		{"corrected", "yes\x7f\x7f\x7fno, näh\x7f\x7f\x7fnever\r", `allow false, reason "never"`},
		{"words taken back", "n one two\x17three\r", `allow false, reason "one three"`},
		{"a line taken back", "y\x15n\r", "allow false"},
		{"arrows", "y\x1b[A\r", "nothing"},
		{"nonsense first", "maybe\r", "nothing"},
		{"nothing at all", "\r", "nothing"},
		{"yes, but", "y but only once\r", "nothing"},
		{"more than one line", "n\ry\r", "allow false"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := sit(t, "ask", foreground())
			s.sees("ready")
			s.signal(syscall.SIGUSR1)
			s.sees("? docs asks")
			s.sees(asksFor)
			s.types(tt.keys)
			if tt.want == "nothing" {
				s.sees(asksFor)
				s.types("\x15n so be it\r")
				tt.want = `allow false, reason "so be it"`
			}
			s.sees("answer: " + tt.want)
			s.ends()
		})
	}
}

func TestPromptShowsWhatIsAsked(t *testing.T) {
	s := sit(t, "ask", foreground())
	s.sees("ready")
	s.signal(syscall.SIGUSR1)
	for _, text := range []string{
		"? docs asks", "Bash: git push origin x␛[2J", "pushes are yours (rule push, built-in)", "│ git push origin x", "│ and more",
		"more lines: agent-process policy pending", "agent-process policy answer q-7k2mf", asksFor,
	} {
		s.sees(text)
	}
	s.types("n because")
	s.sees(asksFor + "n because")
	s.types("\r")
	s.sees("answer: allow false")
	s.ends()
}

func TestPromptIsTakenAway(t *testing.T) {
	tests := []struct {
		name string
		do   func(*sitting)
		want string
	}{
		{"answered elsewhere", func(s *sitting) { s.signal(syscall.SIGUSR2) }, "error allowed by bob."},
		{"Ctrl-C", func(s *sitting) { s.types("y\x03") }, "error stopped."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := sit(t, "ask", foreground())
			s.sees("ready")
			s.signal(syscall.SIGUSR1)
			s.sees(asksFor)
			tt.do(s)
			s.sees(`answer: allow false, reason "", by a person false, ` + tt.want)
			s.ends()
		})
	}
}

// What somebody typed before the question stood there is no answer to it.
func TestPromptTakesNoKeysInAdvance(t *testing.T) {
	s := sit(t, "ask", foreground())
	s.sees("ready")
	s.types("y\ry\r")
	s.sees("y")
	s.signal(syscall.SIGUSR1)
	s.sees(asksFor)
	s.types("n read it first\r")
	s.sees(`answer: allow false, reason "read it first"`)
	s.ends()
}

// In the background the terminal is not touched: that would stop the run.
func TestNoPromptInTheBackground(t *testing.T) {
	s := sit(t, "shell", foreground())
	s.sees("in the background: true")
	s.ends()
}

func TestNoPrompterWithoutATerminal(t *testing.T) {
	_, slave := pty(t)
	tests := []struct {
		name    string
		streams term.Streams
		want    bool
	}{
		{"a terminal", term.Streams{In: slave, InTTY: true, Out: &term.Screen{TTY: true}}, true},
		{"input from a pipe", term.Streams{In: strings.NewReader("y\n"), Out: &term.Screen{TTY: true}}, false},
		{"input from a file", term.Streams{In: slave, Out: &term.Screen{TTY: true}}, false},
		{"output to a pipe", term.Streams{In: slave, InTTY: true, Out: &term.Screen{}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := (&deps{streams: tt.streams}).prompter(nil); (got != nil) != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
