package cli

import (
	"context"

	"github.com/spf13/cobra"

	"agentprocess/internal/report"
	"agentprocess/internal/sandbox"
)

func newCmdDoctor(d *deps) *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Try what the sandbox needs on this machine, and say how to fix the rest",
		Long: `doctor really tries each step in a throw-away child: a step that fails is named
with its cause and the exact fix.` + exitStatus("\n  10  something that is needed does not work"),
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDoctor(cmd.Context(), d, json)
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	return cmd
}

func runDoctor(ctx context.Context, d *deps, json bool) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	found, err := svc.Doctor(ctx)
	if err != nil {
		return err
	}
	if json {
		err = report.JSON(d.streams.Out, found)
	} else {
		err = report.Doctor(d.streams.Out, found.Capabilities, found.Others...)
	}
	if err == nil && !found.Usable() {
		return exitError{sandbox.ExitStatus(sandbox.Fail(sandbox.CodeRuntime, errUnusable, ""))}
	}
	return err
}
