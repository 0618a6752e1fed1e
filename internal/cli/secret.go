package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"agentprocess/internal/report"
	"agentprocess/internal/secret"
	"agentprocess/internal/term"
)

func newCmdSecret(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "Keep secrets that agents use and never see",
		Long: `A secret is a token or password for hosts that you name. An agent that is
started with --secret NAME, or whose rules say HOST secret=NAME, finds a
placeholder in a variable, and for --basic in ~/.netrc; the gateway puts the
secret in its place, on those hosts only, and masks it in what they answer. A
request to such a host with any other credential is refused.` + exitStatus(),
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCmdSecretAdd(d), newCmdSecretList(d), newCmdSecretRemove(d))
	return cmd
}

// secretOptions are what `secret add` was given.
type secretOptions struct {
	hosts                                 []string
	header, basic, query                  string
	bearer                                bool
	variable, fromEnv, fromFile, fromExec string
}

func newCmdSecretAdd(d *deps) *cobra.Command {
	o := &secretOptions{}
	cmd := &cobra.Command{
		Use:   "add NAME --host HOST",
		Short: "Add a secret, or replace it",
		Long: `add keeps a secret for one or more hosts. Its value is read from standard input
and stored, mode 0600; or it stays where it is, in a variable of yours, a file or
what a command prints, and is looked up at each start. Agents that run have what
you replace it by within a second; a command is run again, by one run at a time,
when a host answers 401.` + exitStatus("\n  11  the value is not there"),
		Example: `  agent-process secret add npm-token --host registry.example.com --bearer < token.txt
  agent-process secret add forge --host git.example.com --basic x-access-token --from-env FORGE_TOKEN
  agent-process secret add maps --host maps.example.com --query key --from-command 'op read op://dev/maps/key'`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := o.named(cmd, args[0])
			if err != nil {
				return err
			}
			return runSecretAdd(cmd.Context(), d, n)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.hosts, "host", nil, "the `HOST` it goes to (repeatable)")
	f.StringVar(&o.header, "header", "", "it is the value of the header `NAME`")
	f.BoolVar(&o.bearer, "bearer", false, "it is a bearer token (the default)")
	f.StringVar(&o.basic, "basic", "", "it is the password of `USER`: for git, pip, Go, Maven")
	f.StringVar(&o.query, "query", "", "it is the value of the query parameter `NAME`")
	f.StringVar(&o.variable, "var", "", "the `VARIABLE` inside that holds the placeholder (default: NAME in capitals)")
	f.StringVar(&o.fromEnv, "from-env", "", "take it from your `VARIABLE` at each start")
	f.StringVar(&o.fromFile, "from-file", "", "take it from `FILE` at each start")
	f.StringVar(&o.fromExec, "from-command", "", "take it from what `COMMAND` prints at each start")
	return cmd
}

// named reads the flags of add.
func (o *secretOptions) named(cmd *cobra.Command, name string) (secret.Named, error) {
	n := secret.Named{Name: name, Hosts: o.hosts, Way: secret.WayBearer, Var: o.variable, Origin: secret.OriginStored}
	ways, origins := 0, 0
	for _, w := range []struct {
		way   secret.Way
		param string
	}{{secret.WayHeader, o.header}, {secret.WayBasic, o.basic}, {secret.WayQuery, o.query}} {
		if cmd.Flags().Changed(string(w.way)) {
			ways++
			n.Way, n.Param = w.way, w.param
		}
	}
	for _, from := range []struct {
		origin secret.Origin
		value  string
	}{{secret.OriginEnv, o.fromEnv}, {secret.OriginFile, o.fromFile}, {secret.OriginCommand, o.fromExec}} {
		if cmd.Flags().Changed("from-" + string(from.origin)) {
			origins++
			n.Origin, n.From = from.origin, from.value
		}
	}
	switch {
	case ways > 1 || ways == 1 && o.bearer:
		return n, usage(cmd, "a secret travels in one way: --header, --bearer, --basic or --query")
	case origins > 1:
		return n, usage(cmd, "a secret comes from one place: standard input, --from-env, --from-file or --from-command")
	case len(o.hosts) == 0:
		return n, usage(cmd, "--host is missing: a secret goes to the hosts you name and nowhere else")
	}
	return n, nil
}

func runSecretAdd(ctx context.Context, d *deps, n secret.Named) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	if n.Origin == secret.OriginStored && d.streams.InTTY {
		fmt.Fprintln(d.streams.Err, "reading the secret from standard input; end it with Ctrl-D")
	}
	if err := svc.SecretAdd(ctx, n, d.streams.In); err != nil {
		return err
	}
	fmt.Fprintf(d.streams.Out, "%s is kept for %s; use it with `agent-process start ... --secret %s`\n", n.Name, term.Visible(strings.Join(n.Hosts, ", ")), n.Name)
	return nil
}

// secretView is a secret as JSON, without its value.
type secretView struct {
	Name   string        `json:"name"`
	Hosts  []string      `json:"hosts"`
	Way    secret.Way    `json:"way"`
	Param  string        `json:"param,omitempty"`
	Var    string        `json:"var"`
	Origin secret.Origin `json:"origin"`
	From   string        `json:"from,omitempty"`
	Added  time.Time     `json:"added"`
}

func newCmdSecretList(d *deps) *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List secrets, without their values",
		Long:  "list shows the secrets there are, where they go and where they come from." + exitStatus(),
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runSecretList(cmd.Context(), d, json)
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	return cmd
}

func runSecretList(ctx context.Context, d *deps, json bool) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	all, err := svc.Secrets()
	if err != nil {
		return err
	}
	if json {
		views := make([]secretView, len(all))
		for i, n := range all {
			views[i] = secretView{n.Name, n.Hosts, n.Way, n.Param, n.Var, n.Origin, n.From, n.Added}
		}
		return report.JSON(d.streams.Out, views)
	}
	if len(all) == 0 {
		fmt.Fprintln(d.streams.Out, "there are no secrets; `agent-process secret add` adds one")
	}
	for _, n := range all {
		line := fmt.Sprintf("%-20s %s  %s", n.Name, strings.TrimSpace(string(n.Way)+" "+n.Param), strings.Join(n.Hosts, ", "))
		if n.Origin != secret.OriginStored {
			line += fmt.Sprintf("  (%s: %s)", n.Origin, n.From)
		}
		fmt.Fprintln(d.streams.Out, term.Visible(line))
	}
	return nil
}

func newCmdSecretRemove(d *deps) *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME",
		Short: "Forget a secret",
		Long:  "rm forgets a secret. Agents that run keep the use of it until they end." + exitStatus("\n  11  there is no such secret"),
		Args:  exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			svc, err := d.service(cmd.Context())
			if err != nil {
				return err
			}
			return svc.SecretRemove(args[0])
		},
	}
}
