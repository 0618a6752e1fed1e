package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"agentprocess/internal/sandbox"
	"agentprocess/internal/service"
	"agentprocess/internal/term"
)

// resumeOptions are what `resume` and `send` were given.
type resumeOptions struct {
	service.ResumeOptions
	patience
	json, noInput bool
}

func newCmdResume(d *deps) *cobra.Command {
	o := &resumeOptions{}
	cmd := &cobra.Command{
		Use:   "resume NAME [TEXT]",
		Short: "Let an agent go on: on its branch, in its conversation",
		Long: `resume runs an agent again: from the end of its branch, in the conversation it
had, with TEXT as what you say next, or else to go on where it left off. It has
the policy it had: the flags it was started with, and the project's rules as they
are in the commit that it first started from. What it worked on when it crashed
is brought home first. Values that --env gave it are not kept, and are to be
given again.

The exit status is that of start.` + exitStatus(exitRepository, exitNotFound, exitBusy),
		Example: `  agent-process resume docs
  agent-process resume docs "Now do the same for the tests"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usage(cmd, "%d arguments, want NAME and perhaps TEXT", len(args))
			}
			o.Name, o.Text = args[0], strings.Join(args[1:], "")
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.parse(cmd); err != nil {
				return err
			}
			return runResume(cmd.Context(), d, o)
		},
	}
	o.flags(cmd)
	return cmd
}

func (o *resumeOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&o.Allow, "allow", nil, "let the agent also reach `RULE` (repeatable)")
	f.StringArrayVar(&o.Env, "env", nil, "set `K=V` inside, or K to your own value, besides what it had (repeatable)")
	f.StringVar(&o.AgentPath, "agent-path", "", "the agent's program, instead of the one it had")
	f.StringVar(&o.Model, "model", "", "the model, instead of the one it had")
	f.StringVar(&o.timeout, "timeout", "", "stop the agent after this long, such as 90m (default as before)")
	f.StringVar(&o.askTimeout, "ask-timeout", "", "how long a question to you waits (default as before)")
	f.BoolVar(&o.Ask.Unattended, "unattended", false, "nobody is there to ask: what needs a yes is denied at once")
	f.BoolVar(&o.Keep, "keep", false, "keep ../worktrees/NAME at the end")
	f.BoolVar(&o.json, "json", false, "print events as JSON lines")
	f.BoolVar(&o.noInput, "no-input", false, "ask nothing on this terminal")
}

func (o *resumeOptions) parse(cmd *cobra.Command) error {
	return o.patience.parse(cmd, &o.Timeout, &o.Ask.Timeout)
}

func runResume(ctx context.Context, d *deps, o *resumeOptions) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	o.Dir, o.Progress = ".", d.progress
	return d.follow(ctx, svc, shown{json: o.json, noInput: o.noInput || o.Ask.Unattended}, func(w watched) (sandbox.Run, error) {
		o.Ask.Prompt, o.Ask.Notify, o.Control = w.prompt, w.notify, w.control
		return svc.Resume(ctx, o.ResumeOptions, w.view)
	})
}

func newCmdSend(d *deps) *cobra.Command {
	o := &resumeOptions{}
	var now bool
	cmd := &cobra.Command{
		Use:   "send NAME TEXT",
		Short: "Tell an agent something; one that has ended goes on with it",
		Long: `send queues TEXT for a running agent, which gets it at the end of its turn and
goes on with it. It is kept until it was delivered, whatever crashes. --now does
not wait for the end of the turn: the agent is stopped, its work saved, and it
goes on with TEXT. One that has ended is resumed with TEXT; see resume.` + exitStatus(exitRepository, exitNotFound),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 || strings.TrimSpace(args[1]) == "" {
				return usage(cmd, "want NAME and TEXT")
			}
			o.Name, o.Text = args[0], args[1]
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.parse(cmd); err != nil {
				return err
			}
			return runSend(cmd.Context(), d, o, now)
		},
	}
	cmd.Flags().BoolVar(&now, "now", false, "interrupt the agent instead of waiting for the end of its turn")
	o.flags(cmd)
	return cmd
}

func runSend(ctx context.Context, d *deps, o *resumeOptions, now bool) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	if now {
		if err := svc.Interrupt(ctx, ".", o.Name); err != nil {
			return err
		}
		return runResume(ctx, d, o)
	}
	return sendOrResume(ctx, d, o, func() error { return nil })
}

// sendOrResume tells a running agent, or lets one that has ended go on with what
// it is told; told is called once it is sure to get it.
func sendOrResume(ctx context.Context, d *deps, o *resumeOptions, told func() error) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	sent, err := svc.Send(ctx, ".", o.Name, o.Text)
	if err != nil {
		return err
	}
	if !sent.Queued {
		o.Told = told
		return runResume(ctx, d, o)
	}
	fmt.Fprintf(d.streams.Out, "%s gets it at the end of its turn\n", term.Visible(o.Name))
	return told()
}
