package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"agentprocess/internal/approval"
	"agentprocess/internal/report"
	"agentprocess/internal/term"
)

func newCmdPolicyPending(d *deps, o policyOptions) *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "pending",
		Short: "List what agents ask and nobody has answered yet",
		Long: `pending lists the questions of all your agents, in every repository, oldest
first. A question that nobody answers in time is a no. Those of unattended
agents were denied at once: a yes to one lets the agent's next try pass, once. So
was what an agent wanted to reach and may not: a yes to that lets it from now on.` + exitStatus(),
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runPolicyPending(cmd.Context(), d, o, json)
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	return cmd
}

func runPolicyPending(ctx context.Context, d *deps, o policyOptions, json bool) error {
	svc, err := o.open(ctx)
	if err != nil {
		return err
	}
	questions, err := svc.Pending(ctx)
	if err != nil {
		return err
	}
	if json {
		return report.JSON(d.streams.Out, append([]approval.Question{}, questions...))
	}
	d.printPending(questions, o.now())
	return nil
}

// printPending shows questions in full: nothing is cut off what a person is
// to agree to.
func (d *deps) printPending(questions []approval.Question, now time.Time) {
	out := d.streams.Out
	paint := out.Paint()
	if len(questions) == 0 {
		fmt.Fprintln(out, "no agent asks anything")
		return
	}
	for _, q := range questions {
		fmt.Fprintf(out, "%s  %s  %s\n", paint.Bold(term.Visible(q.ID)), term.Visible(q.Name), paint.Dim(waits(q, now)))
		for _, line := range wrapped(out, q.Subject, 2) {
			fmt.Fprintln(out, "  "+line)
		}
		for _, line := range wrapped(out, ruleText(q), 2) {
			fmt.Fprintln(out, "  "+paint.Dim(line))
		}
		for _, line := range detailLines(q) {
			fmt.Fprintln(out, "  │ "+line)
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintln(out, "answer with:")
	for _, command := range report.AnswerCommands(questions[0].ID) {
		fmt.Fprintln(out, "  "+paint.Cyan(command))
	}
}

// waits says how long a question waits.
func waits(q approval.Question, now time.Time) string {
	if q.Kind == approval.KindEgress {
		return "denied; yes lets it, for the rest of its run (or --once, --project)"
	}
	if q.Unattended {
		return "denied, nobody was there; yes is for its next try"
	}
	left := q.Deadline.Sub(now).Truncate(time.Second)
	return fmt.Sprintf("%s left, then it is a no", max(left, 0))
}
