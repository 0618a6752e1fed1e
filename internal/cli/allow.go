package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"agentprocess/internal/report"
	"agentprocess/internal/service"
	"agentprocess/internal/term"
)

// scopeFlags say for how long a change counts.
type scopeFlags struct{ once, run, project bool }

func (s *scopeFlags) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&s.once, "once", false, "for one connection, or one request where requests are judged")
	f.BoolVar(&s.run, "run", false, "for the rest of its run, also when it is resumed (the default)")
	f.BoolVar(&s.project, "project", false, "for the rest of its run, and as a line of .agent-process/allowlist in your tree, which you commit")
}

// read gives the one scope that was said, or otherwise.
func (s *scopeFlags) read(cmd *cobra.Command, otherwise service.Scope) (service.Scope, error) {
	scope, said := otherwise, 0
	for _, one := range []struct {
		on    bool
		scope service.Scope
	}{{s.once, service.ScopeOnce}, {s.run, service.ScopeRun}, {s.project, service.ScopeProject}} {
		if one.on {
			scope = one.scope
			said++
		}
	}
	if said > 1 {
		return "", usage(cmd, "--once, --run and --project: say one of them")
	}
	return scope, nil
}

// newCmdAllow is `allow`, and `deny`, which is its opposite.
func newCmdAllow(d *deps, deny bool) *cobra.Command {
	var scope scopeFlags
	var json bool
	e := service.EgressEdit{Dir: ".", Deny: deny}
	cmd := &cobra.Command{
		Use:   "allow NAME RULE|ID",
		Short: "Let a running agent reach something, from now on",
		Long: `allow adds a line to what a running agent may reach. It counts within a second,
and nothing that is under way is disturbed. RULE is a line as in an allowlist
(` + "`agent-process policy explain --grammar`" + `), ID is that of a denial, such as net-12,
and stands for the narrowest line that would allow it. A deny line beats what is
allowed; one that was added while the agent runs is taken back by allowing the
same. Who changed what, and when, is in the record.` + exitStatus(exitRepository, exitNotFound, "\n  15  the rule is wrong, or cannot count while the agent runs; nothing was changed"),
		Example: `  agent-process allow docs registry.example.com
  agent-process allow docs net-12 --once
  agent-process allow docs 'git.example.com/my-org/* git:read' --project`,
		Args: exactArgs("NAME", "RULE"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			e.Name, e.Rule, e.By = args[0], args[1], person()
			if e.Scope, err = scope.read(cmd, service.ScopeRun); err != nil {
				return err
			}
			return runAllow(cmd.Context(), d, e, json)
		},
	}
	if deny {
		cmd.Use, cmd.Short = "deny NAME RULE", "Forbid a running agent to reach something, from now on"
		cmd.Long = `deny adds a deny line to what a running agent may reach. It counts within a
second: what is under way and no longer allowed is cut, the rest is not disturbed.
A deny line beats every line that allows. RULE is a host, or a line as in an
allowlist. ` + "`agent-process allow`" + ` of the same takes it back.` + exitStatus(exitRepository, exitNotFound, "\n  15  the rule is wrong; nothing was changed")
		cmd.Example = `  agent-process deny docs uploads.example.com
  agent-process deny docs 'git.example.com git:write' --project`
	}
	scope.flags(cmd)
	if deny {
		_ = cmd.Flags().MarkHidden("once") // refused: there is no denying once
	}
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	return cmd
}

func runAllow(ctx context.Context, d *deps, e service.EgressEdit, json bool) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	begin := time.Now()
	done, err := svc.ChangeEgress(ctx, e)
	if err != nil {
		return err
	}
	if json {
		return report.JSON(d.streams.Out, done)
	}
	d.printEdited(e, done, time.Since(begin))
	return nil
}

// printEdited says what a change came to.
func (d *deps) printEdited(e service.EgressEdit, done service.EgressEdited, took time.Duration) {
	out := d.streams.Out
	for _, gone := range done.Gone {
		fmt.Fprintf(out, "taken back: %s\n", term.Visible(gone.Rule))
	}
	if done.Ran {
		rule := done.Rule.Rule
		if rule == "" {
			rule = e.Rule + " (it was so already)"
		}
		line := fmt.Sprintf("%s: %s, in force after %.1f s", term.Visible(e.Name), term.Visible(rule), took.Seconds())
		if done.Cut > 0 {
			line += "; " + connections(done.Cut) + " cut"
		}
		fmt.Fprintln(out, line)
	}
	if done.File != "" {
		fmt.Fprintf(out, "it stands in %s; commit it and `agent-process trust` it for agents to come\n", term.Visible(done.File))
	}
	if done.Beaten != nil {
		fmt.Fprintf(out, "%s it counts for nothing: this line denies it: %s\n", out.Paint().Yellow("warning:"), term.Visible(done.Beaten.Cite()))
	}
}

func connections(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", n)
}
