package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/cobra"

	"agentprocess/internal/config"
	"agentprocess/internal/proxy"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/service"
	"agentprocess/internal/term"
)

// silent are streams that nobody looks at.
func silent() term.Streams {
	return term.Streams{In: strings.NewReader(""), Out: term.Plain(io.Discard), Err: term.Plain(io.Discard)}
}

// startWith is what start makes of its arguments on top of a configuration.
func startWith(t *testing.T, cfg config.Config, args ...string) (*startOptions, error) {
	t.Helper()
	var got *startOptions
	var cmd *cobra.Command
	cmd = newCmdStart(&deps{streams: silent()}, func(_ context.Context, o *startOptions) error {
		got = o
		return o.complete(cmd, cfg)
	})
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(args)
	return got, cmd.ExecuteContext(t.Context())
}

func TestStartOptions(t *testing.T) {
	configured := config.Config{
		Agent: config.AgentClaude, AgentPath: "/opt/claude", Model: "m1", Timeout: time.Hour, Keep: true,
		Limits: sandbox.Limits{MemoryBytes: 1 << 30, PIDs: 100, CPUs: 2, DiskBytes: 2 << 30},
	}
	plain := config.Config{Agent: config.AgentClaude}
	tests := []struct {
		name string
		cfg  config.Config
		args []string
		want service.StartOptions
	}{
		{"a goal", plain, []string{"docs", "Write docs"}, service.StartOptions{Name: "docs", Goal: "Write docs", Agent: "claude"}},
		{
			"a command", plain,
			[]string{"fmt", "--agent", "exec", "--", "gofmt", "-w", "--", "."},
			service.StartOptions{Name: "fmt", Agent: "exec", Argv: []string{"gofmt", "-w", "--", "."}},
		},
		{
			"a command with a goal", plain,
			[]string{"fmt", "Format it", "--agent=exec", "--", "true"},
			service.StartOptions{Name: "fmt", Goal: "Format it", Agent: "exec", Argv: []string{"true"}},
		},
		{
			"the configuration", configured,
			[]string{"docs", "g"},
			service.StartOptions{
				Name: "docs", Goal: "g", Agent: "claude", AgentPath: "/opt/claude", Model: "m1", Keep: true,
				Machine: service.Machine{Timeout: time.Hour, Limits: sandbox.Limits{MemoryBytes: 1 << 30, PIDs: 100, CPUs: 2, DiskBytes: 2 << 30}},
			},
		},
		{
			"flags over the configuration", configured,
			[]string{
				"docs", "g", "--agent-path", "/c", "--model", "m2", "--timeout", "90s", "--keep=false",
				"--memory", "2GB", "--pids", "7", "--cpus", "0.5", "--disk", "1MB",
			},
			service.StartOptions{
				Name: "docs", Goal: "g", Agent: "claude", AgentPath: "/c", Model: "m2",
				Machine: service.Machine{Timeout: 90 * time.Second, Limits: sandbox.Limits{MemoryBytes: 2 << 30, PIDs: 7, CPUs: 0.5, DiskBytes: 1 << 20}},
			},
		},
		{
			"what may be said again", plain,
			[]string{
				"docs", "g", "--allow", "a.example", "--allow", "b.example,c.example", "--env", "A=1,2", "--env", "B",
				"--check", "make test", "--check", "make lint", "--resolve", "API.example.=192.0.2.1:8443", "--resolve", "v6.example=[2001:db8::1]",
			},
			service.StartOptions{
				Name: "docs", Goal: "g", Agent: "claude", Env: []string{"A=1,2", "B"},
				Checks: []string{"make test", "make lint"},
				Egress: service.Egress{Allow: []string{"a.example", "b.example,c.example"}, Resolve: map[string]proxy.Target{
					"api.example": {Addr: netip.MustParseAddr("192.0.2.1"), Port: 8443}, "v6.example": {Addr: netip.MustParseAddr("2001:db8::1")},
				}},
			},
		},
		{"the rest", plain, []string{"docs", "g", "--base", "v1", "--no-input", "--json"}, service.StartOptions{Name: "docs", Goal: "g", Agent: "claude", Source: service.Source{Base: "v1"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := startWith(t, tt.cfg, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			options := cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}), cmpopts.IgnoreUnexported(service.StartOptions{}), cmpopts.IgnoreFields(service.StartOptions{}, "Progress", "Control")}
			if diff := cmp.Diff(tt.want, got.StartOptions, options); diff != "" {
				t.Errorf("start %q (-want +got):\n%s", tt.args, diff)
			}
			if got.json != slices.Contains(tt.args, "--json") {
				t.Errorf("json is %t", got.json)
			}
		})
	}
}

func TestStartRefuses(t *testing.T) {
	tests := []struct {
		name, says string
		args       []string
	}{
		{"nothing", "want NAME GOAL", nil},
		{"no goal", "the goal is missing", []string{"docs"}},
		{"an empty goal", "the goal is missing", []string{"docs", ""}},
		{"three words", "3 arguments", []string{"docs", "write", "docs"}},
		{"no command", "needs a command", []string{"docs", "--agent", "exec"}},
		{"an empty command", "needs a command", []string{"docs", "--agent", "exec", "--"}},
		{"a command and no exec", "needs --agent exec", []string{"docs", "g", "--", "true"}},
		{"an agent there is not", `"codex"`, []string{"docs", "g", "--agent", "codex"}},
		{"a name alone after --", "0 arguments before --", []string{"--", "docs", "g"}},
		{"negative processes", "negative", []string{"docs", "g", "--pids", "-1"}},
		{"negative processors", "negative", []string{"docs", "g", "--cpus", "-1"}},
		{"no time", "--timeout", []string{"docs", "g", "--timeout", "soon"}},
		{"a time in the past", "--timeout", []string{"docs", "g", "--timeout", "-5m"}},
		{"no size of memory", "--memory", []string{"docs", "g", "--memory", "much"}},
		{"no size of a disk", "--disk", []string{"docs", "g", "--disk", "1 sector"}},
		{"no address", "--resolve", []string{"docs", "g", "--resolve", "a.example=b.example"}},
		{"no host", "--resolve", []string{"docs", "g", "--resolve", "=192.0.2.1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := startWith(t, config.Config{Agent: config.AgentClaude}, tt.args...)
			if sandbox.ErrorCode(err) != sandbox.CodeUsage || sandbox.ErrorHint(err) == "" || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("start %q: %v, hint %q, want a usage error that says %q", tt.args, err, sandbox.ErrorHint(err), tt.says)
			}
		})
	}
}

func TestOutcomeError(t *testing.T) {
	tests := []struct {
		outcome sandbox.Outcome
		status  int
	}{
		{sandbox.OutcomeDone, 0},
		{sandbox.OutcomeNoChanges, 3},
		{sandbox.OutcomeChecksFailed, 4},
		{sandbox.OutcomeFailed, 5},
		{sandbox.OutcomeStopped, 6},
		{sandbox.OutcomeTimedOut, 7},
		{sandbox.OutcomePolicyBroken, 8},
		{sandbox.OutcomeOutOfMemory, 9},
		{sandbox.OutcomeHeld, 20},
		{"", 1},
	}
	for _, tt := range tests {
		t.Run(string(tt.outcome), func(t *testing.T) {
			var stderr bytes.Buffer
			streams := silent()
			streams.Err = term.Plain(&stderr)
			if got := complain(streams, outcomeError(sandbox.Run{Outcome: tt.outcome})); got != tt.status || stderr.Len() > 0 {
				t.Errorf("exit status %d and %q, want %d and silence", got, stderr.String(), tt.status)
			}
		})
	}
}

// Every status that start can end with stands in its help.
func TestStartHelpNamesEveryStatus(t *testing.T) {
	help := newCmdStart(&deps{streams: silent()}, nil).Long
	for _, code := range []sandbox.Code{
		sandbox.CodeInternal, sandbox.CodeUsage, sandbox.CodeRuntime, sandbox.CodeCredential, sandbox.CodeNameInUse,
		sandbox.CodeRepository, sandbox.CodePolicy, sandbox.CodeProof, sandbox.CodeAgent,
	} {
		if status := sandbox.ExitStatus(sandbox.Fail(code, errors.New("x"), "")); !strings.Contains(help, statusLine(status)) {
			t.Errorf("help does not tell of %d, %s", status, code)
		}
	}
	for status := 3; status <= 9; status++ {
		if !strings.Contains(help, statusLine(status)) {
			t.Errorf("help does not tell of %d", status)
		}
	}
}
