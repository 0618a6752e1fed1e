package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"agentprocess/internal/report"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/service"
	"agentprocess/internal/term"
)

func newCmdAuth(d *deps) *cobra.Command {
	o := service.AuthOptions{}
	cmd := &cobra.Command{
		Use:   "auth",
		Short: "Log in once, for all agents",
		Long: `auth runs the agent's own login (claude setup-token) on your terminal, in a
sandbox that reaches only the login's hosts, and keeps the token it gives. With
--with-token or --api-key it reads the credential from standard input instead.

The credential stays on this side: agents get a placeholder.` + exitStatus(
			"\n  10  this machine cannot run the sandbox", "\n  11  no credential was given, or a dead one",
			"\n  18  the agent's program is not there"),
		Example: `  agent-process auth
  agent-process auth --with-token < token.txt
  agent-process auth status`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Token && o.APIKey {
				return usage(cmd, "--with-token and --api-key: there is one credential on standard input")
			}
			return runAuth(cmd.Context(), d, o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Token, "with-token", false, "read a token, as claude setup-token gives it, from standard input")
	f.BoolVar(&o.APIKey, "api-key", false, "read an API key from standard input")
	f.StringVar(&o.AgentPath, "agent-path", "", "the agent's program, instead of finding or installing it")
	f.BoolVar(&o.NoInput, "no-input", false, "never ask anything")
	cmd.AddCommand(newCmdAuthStatus(d))
	return cmd
}

func runAuth(ctx context.Context, d *deps, o service.AuthOptions) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	o.NoInput = o.NoInput || !d.streams.InTTY
	o.In, o.Out, o.Progress = d.streams.In, d.streams.Out, d.progress
	if d.streams.InTTY {
		o.Terminal = d.rawTerminal
	}
	status, err := svc.Auth(ctx, o)
	if err != nil {
		return err
	}
	d.printStatus(status)
	return nil
}

func newCmdAuthStatus(d *deps) *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say whether the credential works, by asking",
		Long:  "status asks the API whether it takes the credential: valid, expiring, expired or missing." + exitStatus("\n  11  expired or missing"),
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runAuthStatus(cmd.Context(), d, json)
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	return cmd
}

func runAuthStatus(ctx context.Context, d *deps, json bool) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	status, err := svc.AuthStatus(ctx)
	if err != nil {
		return err
	}
	if json {
		err = report.JSON(d.streams.Out, status)
	} else {
		d.printStatus(status)
	}
	if err == nil && !status.Usable() {
		return exitError{sandbox.ExitStatus(sandbox.Fail(sandbox.CodeCredential, errStatus, ""))}
	}
	return err
}

// printStatus says what is known of the credential, in one line.
func (d *deps) printStatus(s service.AuthStatus) {
	line := string(s.State)
	if s.Source != "" {
		line += fmt.Sprintf(": %s, %s", s.Kind, s.Source)
	}
	if !s.Expires.IsZero() {
		line += ", until " + s.Expires.Local().Format(time.DateOnly)
	}
	if s.Reason != "" {
		line += ": " + s.Reason
	}
	fmt.Fprintln(d.streams.Out, term.Visible(line))
}
