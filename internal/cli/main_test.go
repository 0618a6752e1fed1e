package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"agentprocess/internal/sandbox"
	"agentprocess/internal/service"
	"agentprocess/internal/term"
)

// statusLine is how a status begins its line in a help.
func statusLine(status int) string { return fmt.Sprintf("\n  %-4d", status) }

// called is a call of Main in an empty home.
type called struct {
	status   int
	out, err string
	home     string
}

func call(t *testing.T, args ...string) called {
	t.Helper()
	var out, talk bytes.Buffer
	c := called{home: t.TempDir()}
	streams := term.Streams{In: strings.NewReader(""), Out: term.Plain(&out), Err: term.Plain(&talk)}
	c.status = Main(t.Context(), args, streams, []string{"HOME=" + c.home, "PATH=" + os.Getenv("PATH")}, "v1.2.3")
	c.out, c.err = out.String(), talk.String()
	return c
}

func TestMainWithoutAService(t *testing.T) {
	tests := []struct {
		name   string
		args   []string
		status int
		out    string // part of stdout
		hint   string // part of stderr
	}{
		{"nothing", nil, 0, "Available Commands", ""},
		{"help", []string{"--help"}, 0, "Available Commands", ""},
		{"help of a command", []string{"start", "--help"}, 0, "EXIT STATUS", ""},
		{"version", []string{"--version"}, 0, "agent-process v1.2.3\n", ""},
		{"no command", []string{"bogus"}, 2, "", "--help"},
		{"nearly a command", []string{"startt", "docs"}, 2, "", "did you mean start"},
		{"no flag", []string{"list", "--bogus"}, 2, "", "agent-process list --help"},
		{"no flag of ours", []string{"--bogus"}, 2, "", "agent-process --help"},
		{"arguments where none go", []string{"list", "docs"}, 2, "", `["docs"]`},
		{"no argument where one goes", []string{"show"}, 2, "", "want NAME"},
		{"nothing to remove", []string{"rm"}, 2, "", "no NAME"},
		{"two kinds of credential", []string{"auth", "--with-token", "--api-key"}, 2, "", "one credential"},
		{"no goal", []string{"start"}, 2, "", "usage: agent-process start"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := call(t, tt.args...)
			if c.status != tt.status || !strings.Contains(c.out, tt.out) || !strings.Contains(c.err, tt.hint) {
				t.Errorf("agent-process %q: %+v", tt.args, c)
			}
			if entries, err := os.ReadDir(c.home); err != nil || len(entries) > 0 {
				t.Errorf("it left %v, %v", entries, err)
			}
		})
	}
}

func TestMainWithAService(t *testing.T) {
	t.Chdir(t.TempDir()) // no repository
	tests := []struct {
		args   []string
		status int
		out    string // how stdout begins; empty is all of it
	}{
		{[]string{"list"}, 13, ""},
		{[]string{"list", "--all", "--json"}, 0, "[]\n"},
		{[]string{"show", "docs"}, 13, ""},
		{[]string{"cleanup"}, 0, "nothing to clean up\n"},
		{[]string{"auth", "--with-token"}, 11, ""},
		{[]string{"auth"}, 11, ""}, // nobody can be asked
		{[]string{"auth", "status"}, 11, "missing: no credential"},
		{[]string{"start", "no/name", "goal"}, 2, ""},
		{[]string{"start", "docs", "goal"}, 13, ""},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			if c := call(t, tt.args...); c.status != tt.status || !strings.HasPrefix(c.out, tt.out) || (tt.out == "") != (c.out == "") {
				t.Errorf("agent-process %q: %+v, want status %d", tt.args, c, tt.status)
			}
		})
	}
}

func TestMainWithABadConfiguration(t *testing.T) {
	home := t.TempDir()
	dir := filepath.Join(home, ".config", "agent-process")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte("modell = 'x'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var talk bytes.Buffer
	streams := term.Streams{In: strings.NewReader(""), Out: term.Plain(io.Discard), Err: term.Plain(&talk)}
	if got := Main(t.Context(), []string{"list"}, streams, []string{"HOME=" + home}, ""); got != 2 || !strings.Contains(talk.String(), "modell") {
		t.Errorf("exit status %d, %s", got, talk.String())
	}
	if _, err := os.Lstat(filepath.Join(home, ".local")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("state was made all the same: %v", err)
	}
}

func TestComplain(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		status int
		want   string
	}{
		{"nothing", nil, 0, ""},
		{"a status", fmt.Errorf("start: %w", exitError{7}), 7, ""},
		{"an error", errors.New("disk full"), 1, "agent-process: error: disk full\n"},
		{
			"a hint", sandbox.Fail(sandbox.CodeRuntime, errors.New("no namespaces"), "sysctl a=1\nsysctl b=1"), 10,
			"agent-process: error: no namespaces\nagent-process: hint: sysctl a=1\n    sysctl b=1\n",
		},
		{"several errors", errors.Join(errors.New("one"), sandbox.Fail(sandbox.CodeBusy, errors.New("two"), "")), 17, "agent-process: error: one\n    two\n"},
		{"an interrupt", fmt.Errorf("list: %w", context.Canceled), 130, "agent-process: error: interrupted\n"},
		{
			"a refusal whose cause is an interrupt", sandbox.Fail(sandbox.CodeBusy, context.Canceled, "wait"), 17,
			"agent-process: error: context canceled\nagent-process: hint: wait\n",
		},
		{"control characters", errors.New("name \x1b[31m"), 1, "agent-process: error: name " + term.Visible("\x1b[31m") + "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var talk bytes.Buffer
			streams := silent()
			streams.Err = term.Plain(&talk)
			if got := complain(streams, tt.err); got != tt.status || talk.String() != tt.want {
				t.Errorf("complain(%v) = %d and %q, want %d and %q", tt.err, got, talk.String(), tt.status, tt.want)
			}
		})
	}
}

// Every command that people see tells of its exit statuses, and no flag's help
// is torn apart: what stands in backquotes is taken for the name of a value.
func TestHelpTellsOfExitStatuses(t *testing.T) {
	flagLine := regexp.MustCompile(`^ +(-[a-z], )?--[a-z-]+( \S+)? {3,}\S.*\n$`)
	root := newCmdRoot(&deps{streams: silent(), service: func(context.Context) (*service.Service, error) { return nil, fs.ErrClosed }})
	shown := 0
	var look func(*cobra.Command)
	look = func(cmd *cobra.Command) {
		for _, below := range cmd.Commands() {
			if below.Hidden || below.Name() == "help" || below.Name() == "completion" {
				continue
			}
			shown++
			if !strings.Contains(below.Long, "EXIT STATUS") || below.Short == "" {
				t.Errorf("the help of %q has no EXIT STATUS", below.CommandPath())
			}
			for line := range strings.Lines(below.Flags().FlagUsages()) {
				if !flagLine.MatchString(line) {
					t.Errorf("the help of %q has %q", below.CommandPath(), line)
				}
			}
			look(below)
		}
	}
	look(root)
	if shown < 17 {
		t.Errorf("only %d commands were looked at", shown)
	}
}
