package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"agentprocess/internal/service"
)

// Why a command that printed its answer still ends with a status.
var (
	errStatus   = errors.New("no usable credential")
	errUnusable = errors.New("a required step does not work")
)

func newCmdDemo(d *deps) *cobra.Command {
	o := service.DemoOptions{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a whole agent on an example, without an account",
		Long: `demo runs the real pipeline on a copy of a small example project, with the real
Claude Code, against a Messages API that this program serves itself: the model
follows a script, everything else is real. Without npm and without Claude Code a
scripted agent stands in, and demo says so.` + exitStatus("\n  10  this machine cannot run the sandbox"),
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), d, o)
		},
	}
	cmd.Flags().StringVar(&o.AgentPath, "agent-path", "", "the Claude Code program to use")
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "keep the example's copy and say where it is")
	return cmd
}

func runDemo(ctx context.Context, d *deps, o service.DemoOptions) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	view, done := d.view(ctx, false)
	o.Out, o.Progress, o.Control = &visibleWriter{w: d.streams.Out}, d.progress, service.NewControl()
	defer stopOnSignals(o.Control)()
	run, err := svc.Demo(ctx, o, view, done)
	if err != nil {
		return err
	}
	return outcomeError(run)
}
