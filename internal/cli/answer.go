package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"agentprocess/internal/approval"
	"agentprocess/internal/service"
	"agentprocess/internal/term"
)

func newCmdPolicyAnswer(d *deps, o policyOptions) *cobra.Command {
	var scope scopeFlags
	cmd := &cobra.Command{
		Use:   "answer ID allow|deny [REASON]",
		Short: "Answer a question of an agent",
		Long: `answer answers one of the questions that pending lists. The first answer counts.
The agent's model reads the REASON of a denial, and can go on by it. A yes to what
an agent wants to reach counts within a second, for the rest of its run, or as
--once or --project say; see allow.` + exitStatus(
			"\n  14  there is no such question"),
		Example: `  agent-process policy answer q-7k2mf allow
  agent-process policy answer q-7k2mf deny "use the staging registry"`,
		Args: func(cmd *cobra.Command, args []string) error {
			_, _, err := answerArgs(cmd, args)
			return err
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			id, answer, err := answerArgs(cmd, args)
			if err != nil {
				return err
			}
			a := service.AnswerOptions{Answer: answer, Dir: "."}
			if a.Scope, err = scope.read(cmd, ""); err != nil {
				return err
			}
			if a.Scope != "" && !a.Allow {
				return usage(cmd, "--%s is for allow", a.Scope)
			}
			return runPolicyAnswer(cmd.Context(), d, o, id, a)
		},
	}
	scope.flags(cmd)
	return cmd
}

// answerArgs reads ID, the word and the reason.
func answerArgs(cmd *cobra.Command, args []string) (id string, a approval.Answer, err error) {
	if len(args) < 2 {
		return "", a, usage(cmd, "%d arguments, want ID and allow or deny", len(args))
	}
	switch args[1] {
	case "allow":
		a.Allow = true
	case "deny":
	default:
		return "", a, usage(cmd, "%q: an answer is allow or deny", args[1])
	}
	a.Reason = strings.TrimSpace(strings.Join(args[2:], " "))
	if len(a.Reason) > maxReason {
		return "", a, usage(cmd, "the reason has %d bytes, at most %d are told", len(a.Reason), maxReason)
	}
	return args[0], a, nil
}

func runPolicyAnswer(ctx context.Context, d *deps, o policyOptions, id string, a service.AnswerOptions) error {
	svc, err := o.open(ctx)
	if err != nil {
		return err
	}
	a.By, a.At = person(), o.now().UTC()
	if !a.Allow && a.Reason == "" {
		a.Reason = deniedBy(a.By)
	}
	if err := svc.Answer(ctx, id, a); err != nil {
		return err
	}
	fmt.Fprintf(d.streams.Out, "%s: %s\n", term.Visible(id), a.Word())
	return nil
}
