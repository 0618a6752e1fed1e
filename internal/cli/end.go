package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"agentprocess/internal/service"
	"agentprocess/internal/term"
	"agentprocess/internal/workspace"
)

func newCmdStop(d *deps) *cobra.Command {
	var now bool
	cmd := &cobra.Command{
		Use:   "stop NAME",
		Short: "Stop a running agent and keep its work",
		Long: `stop asks an agent to stop, waits until its work is committed and its sandbox
is gone, and says how it ended. --now does not wait for the agent's own end.` + exitStatus(exitRepository, exitNotFound),
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runStop(cmd.Context(), d, args[0], now)
		},
	}
	cmd.Flags().BoolVar(&now, "now", false, "kill it at once; its work is kept all the same")
	return cmd
}

func runStop(ctx context.Context, d *deps, name string, now bool) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	run, err := svc.Stop(ctx, ".", name, now)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.streams.Out, "%s: %s, %d commits on %s\n", run.Name, run.Outcome, run.Stat.Commits, run.Branch)
	return nil
}

func newCmdRemove(d *deps) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "rm NAME...",
		Short: "Remove agents: branch, worktree and run, recoverably",
		Long: `rm removes an agent's branch, worktree and run. What was on the branch stays
under a ref of its own, and the command that brings it back is printed. A
running agent is refused without --force, which stops it first. Files that you
changed in the worktree are never removed.` + exitStatus(exitRepository, exitNotFound, exitBusy),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(cmd, "no NAME")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRemove(cmd.Context(), d, args, force)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "stop it first when it runs")
	return cmd
}

func runRemove(ctx context.Context, d *deps, names []string, force bool) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		removed, err := svc.Remove(ctx, ".", name, force)
		if err != nil {
			return err
		}
		d.printRemoved(removed)
	}
	return nil
}

// printRemoved says what went, what stayed, and how to undo it.
func (d *deps) printRemoved(r service.Removed) {
	out := d.streams.Out
	switch r.Landed {
	case workspace.LandedMerged:
		fmt.Fprintf(out, "removed %s, whose work is merged\n", r.Name)
	case workspace.LandedSquashed:
		fmt.Fprintf(out, "removed %s, whose work is merged (squashed or rebased)\n", r.Name)
	default:
		fmt.Fprintf(out, "removed %s\n", r.Name)
	}
	if r.Entry != 0 {
		fmt.Fprintf(out, "  undo: agent-process undo %d\n", r.Entry)
		fmt.Fprintf(out, "  with git alone: %s\n", term.Visible(r.UndoCommand))
	}
	for _, ref := range r.More {
		fmt.Fprintf(out, "  also kept: %s\n", term.Visible(ref))
	}
	for _, look := range r.Held {
		fmt.Fprintf(out, "  held: %s\n", term.Visible(look))
	}
}

func newCmdCleanup(d *deps) *cobra.Command {
	var merged bool
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Bring home what crashed runs left, and remove the rest of them",
		Long: `cleanup looks for everything of ours that nobody uses any more, by its label and
without the database: sandboxes, worktrees, directories of runs whose supervisor
died. Work found there is committed and brought to its branch first. Running
agents are left alone. --merged also removes agents all of whose work is in what
is checked out here, squashed and rebased merges too; ` + "`agent-process undo`" + ` brings
them back.` + exitStatus(),
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runCleanup(cmd.Context(), d, merged)
		},
	}
	cmd.Flags().BoolVar(&merged, "merged", false, "also remove agents whose work is merged here")
	return cmd
}

func runCleanup(ctx context.Context, d *deps, merged bool) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	results, err := svc.Cleanup(ctx)
	for _, r := range results {
		fmt.Fprintf(d.streams.Out, "%s: %s\n", r.Name, term.Visible(r.What))
	}
	var removed []service.Removed
	if merged && err == nil {
		removed, err = svc.RemoveMerged(ctx, ".")
		for _, r := range removed {
			d.printRemoved(r)
		}
	}
	if err == nil && len(results)+len(removed) == 0 {
		fmt.Fprintln(d.streams.Out, "nothing to clean up")
	}
	return err
}
