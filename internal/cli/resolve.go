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

// resolveOptions are what `resolve` was given.
type resolveOptions struct {
	resumeOptions
	argv         []string
	force, abort bool
}

func newCmdResolve(d *deps) *cobra.Command {
	o := &resolveOptions{}
	cmd := &cobra.Command{
		Use:   "resolve NAME [TEXT] | resolve NAME -- CMD [ARGS...]",
		Short: "Let an agent rebase its branch onto yours and resolve the conflicts",
		Long: `resolve runs an agent again, as resume does, to rebase its branch onto what is
checked out here and to resolve the conflicts inside its sandbox; TEXT is what you
say besides. Its rules and hooks are those of the commit that it rebases onto.

The branch is rebased when the agent has finished, stands on your commit, has
work left and no mark of a conflict, and no check failed. Else, and when it is
stopped, killed or crashes, the branch is what it was, to the commit; --abort does
that from another terminal. ` + "`agent-process undo`" + ` takes back one that has ended.

An agent that is a command cannot be told: CMD is what rebases, in its sandbox,
where refs/agent-process/onto is the commit to stand on, and refs/agent-process/from
the one where the agent began.

The exit status is that of start.` + exitStatus(exitRepository, exitNotFound, exitBusy),
		Example: `  agent-process resolve docs
  agent-process resolve docs "Prefer the new names of the functions"
  agent-process resolve docs --abort`,
		Args: func(cmd *cobra.Command, args []string) error { return o.args(cmd, args) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.abort {
				return runAbort(cmd.Context(), d, o.Name)
			}
			if err := o.parse(cmd); err != nil {
				return err
			}
			return runResolve(cmd.Context(), d, o)
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&o.force, "force", false, "also when there are no conflicts")
	cmd.Flags().BoolVar(&o.abort, "abort", false, "end it, and put the branch back as it was")
	return cmd
}

// args reads NAME, TEXT and what stands after --.
func (o *resolveOptions) args(cmd *cobra.Command, args []string) error {
	words, argv := atDash(cmd, args)
	if len(words) < 1 || len(words) > 2 {
		return usage(cmd, "%d arguments, want NAME and perhaps TEXT", len(words))
	}
	o.Name, o.Text, o.argv = words[0], strings.Join(words[1:], ""), argv
	if o.abort && len(args) > 1 {
		return usage(cmd, "--abort takes NAME alone")
	}
	return nil
}

func runResolve(ctx context.Context, d *deps, o *resolveOptions) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	o.Dir, o.Progress = ".", d.progress
	return d.follow(ctx, svc, shown{json: o.json, noInput: o.noInput || o.Ask.Unattended}, func(w watched) (sandbox.Run, error) {
		o.Ask.Prompt, o.Ask.Notify, o.Control = w.prompt, w.notify, w.control
		return svc.Resolve(ctx, service.ResolveOptions{ResumeOptions: o.ResumeOptions, Argv: o.argv, Force: o.force}, w.view)
	})
}

func runAbort(ctx context.Context, d *deps, name string) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	text, err := svc.AbortResolve(ctx, ".", name)
	if err != nil {
		return err
	}
	fmt.Fprintln(d.streams.Out, term.Visible(text))
	return nil
}
