package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"agentprocess/internal/report"
	"agentprocess/internal/workspace"
)

func newCmdList(d *deps) *cobra.Command {
	var json, all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show agents of this repository: state, age, changes, cost",
		Long: `list shows the agents of this repository, newest first: those that run, and
those whose branches have committed changes. MERGE is how an agent's work would
come home: clean, in conflict with what is checked out here or with another
agent (see ` + "`agent-process conflicts`" + `), or merged already.` + exitStatus(exitRepository),
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runList(cmd.Context(), d, json, all)
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	cmd.Flags().BoolVar(&all, "all", false, "also those of other repositories, and those without changes")
	return cmd
}

func runList(ctx context.Context, d *deps, json, all bool) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	runs, err := svc.List(ctx, ".", all)
	if err != nil {
		return err
	}
	forecast, err := svc.Conflicts(ctx, ".")
	if err != nil { // a git that is too old for it, or no repository here: the list is worth more than nothing
		forecast = workspace.Forecast{}
	}
	if json {
		return report.JSON(d.streams.Out, listViews(runs, forecast))
	}
	return report.List(d.streams.Out, runs, merging(runs, forecast), time.Now())
}

func newCmdShow(d *deps) *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show one agent: what it did, where it went, what it cost",
		Long:  "show sums up the newest run of an agent from its record." + exitStatus(exitRepository, exitNotFound),
		Args:  exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runShow(cmd.Context(), d, args[0], json)
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	return cmd
}

func runShow(ctx context.Context, d *deps, name string, json bool) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	run, events, err := svc.Show(ctx, ".", name)
	if err != nil {
		return err
	}
	detail := report.DetailOf(run, events)
	if json {
		return report.JSON(d.streams.Out, detail)
	}
	return report.Show(d.streams.Out, detail, time.Now())
}

func newCmdLogs(d *deps) *cobra.Command {
	var json, follow bool
	cmd := &cobra.Command{
		Use:   "logs NAME",
		Short: "Show everything an agent did, as it was shown when it happened",
		Long:  "logs replays the record of an agent's newest run; -f goes on while it runs." + exitStatus(exitRepository, exitNotFound),
		Args:  exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runLogs(cmd.Context(), d, args[0], follow, json)
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print events as JSON lines")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the run ends")
	return cmd
}

func runLogs(ctx context.Context, d *deps, name string, follow, json bool) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	view, done := d.view(ctx, json)
	err = svc.Logs(ctx, ".", name, follow, view)
	return errors.Join(err, done())
}
