package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"agentprocess/internal/report"
	"agentprocess/internal/term"
)

func newCmdCheckpoints(d *deps) *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "checkpoints NAME",
		Short: "Show the places that an agent can be taken back to",
		Long:  "checkpoints lists the turns of an agent after which it can go on anew; see rewind." + exitStatus(exitRepository, exitNotFound),
		Args:  exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runCheckpoints(cmd.Context(), d, args[0], json)
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	return cmd
}

func runCheckpoints(ctx context.Context, d *deps, name string, json bool) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	list, err := svc.Checkpoints(ctx, ".", name)
	if err != nil {
		return err
	}
	if json {
		return report.JSON(d.streams.Out, list)
	}
	if len(list) == 0 {
		fmt.Fprintln(d.streams.Out, "there is no checkpoint yet")
	}
	for _, c := range list {
		fmt.Fprintf(d.streams.Out, "%4d  %s  %s  %s\n", c.Step, c.Time.Local().Format("2006-01-02 15:04:05"), short(c.Tip), term.Visible(c.Text))
	}
	return nil
}

func newCmdRewind(d *deps) *cobra.Command {
	return &cobra.Command{
		Use:   "rewind NAME STEP",
		Short: "Take an agent back to a checkpoint: branch and conversation",
		Long: `rewind moves the branch of an agent that does not run, and its conversation, to
the end of an earlier turn; resume goes on from there. What came after stays: undo
brings it back, and so does a rewind to a later step.` + exitStatus(exitRepository, exitNotFound, exitBusy),
		Args: exactArgs("NAME", "STEP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			step, err := strconv.Atoi(args[1])
			if err != nil || step < 1 {
				return usage(cmd, "%q is no number of a step", args[1])
			}
			return runRewind(cmd.Context(), d, args[0], step)
		},
	}
}

func runRewind(ctx context.Context, d *deps, name string, step int) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	r, err := svc.Rewind(ctx, ".", name, step)
	if err != nil {
		return err
	}
	out := d.streams.Out
	fmt.Fprintf(out, "%s is back at step %d, %s  %s\n", name, r.To.Step, short(r.To.Tip), term.Visible(r.To.Text))
	fmt.Fprintf(out, "  undo: agent-process undo %d\n  next: agent-process resume %s\n", r.Entry, name)
	return nil
}
