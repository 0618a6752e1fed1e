package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"agentprocess/internal/report"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/service"
	"agentprocess/internal/term"
)

// learnOptions are what `policy learn` was given.
type learnOptions struct {
	name        string
	write, json bool
}

func newCmdPolicyLearn(d *deps) *cobra.Command {
	o := learnOptions{}
	cmd := &cobra.Command{
		Use:   "learn NAME",
		Short: "Make lines for the project's list of what an agent was denied",
		Long: `learn reads in the record of an agent's newest run what it wanted to reach and was
denied, or what ` + "`start --learn`" + ` let through, and prints a diff that adds the
narrowest lines that would allow it to .agent-process/allowlist. Look at each: it
is what the agent asked for, not what it should have. Nothing is changed without
--write.` + exitStatus(exitRepository, exitNotFound, "\n  15  a line of the list is wrong"),
		Example: `  agent-process policy learn docs
  agent-process policy learn docs | git apply`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return runLearn(cmd.Context(), d, o)
		},
	}
	cmd.Flags().BoolVar(&o.write, "write", false, "add the lines to the list in your tree; commit them yourself")
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

func runLearn(ctx context.Context, d *deps, o learnOptions) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	l, err := svc.Learn(ctx, ".", o.name)
	if err != nil {
		return err
	}
	if o.json {
		l.Lines = append([]string{}, l.Lines...)
		return report.JSON(d.streams.Out, l)
	}
	d.printLearned(l)
	if !o.write || len(l.Lines) == 0 {
		return nil
	}
	path, err := svc.WriteLearned(ctx, ".", l)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.streams.Err, "%d lines are in %s; commit it and `agent-process trust` it\n", len(l.Lines), term.Visible(path))
	return nil
}

// printLearned prints the diff, and what is to be said of it to standard error.
func (d *deps) printLearned(l service.Learned) {
	paint := d.streams.Out.Paint()
	for line := range strings.Lines(l.Diff) {
		text := term.Visible(strings.TrimSuffix(line, "\n"))
		if strings.HasPrefix(line, "+") && !strings.HasPrefix(line, "+++") {
			text = paint.Green(text)
		}
		fmt.Fprintln(d.streams.Out, text)
	}
	switch {
	case len(l.Lines) == 0:
		fmt.Fprintln(d.streams.Err, "it wanted to reach nothing that the list does not allow")
	case l.More > 0:
		fmt.Fprintf(d.streams.Err, "and %d more, which are too many to learn from\n", l.More)
	}
}

// learnedAfter prints what a run that learns has learned, after its end.
func learnedAfter(ctx context.Context, d *deps, name string) error {
	fmt.Fprintf(d.streams.Err, "%s learned this; look at each line before you add it:\n", term.Visible(name))
	err := runLearn(ctx, d, learnOptions{name: name})
	if sandbox.ErrorCode(err) == sandbox.CodeNotFound {
		return nil // nothing ran
	}
	return err
}
