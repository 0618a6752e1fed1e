package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"agentprocess/internal/report"
	"agentprocess/internal/service"
	"agentprocess/internal/term"
	"agentprocess/internal/workspace"
)

// exitConflict is the exit status of what refuses to touch a person's work.
const exitConflict = "\n  19  conflicts, or changes of yours are in the way; nothing was changed"

// mergeOptions are what `merge` was given.
type mergeOptions struct {
	service.MergeOptions
	merge, squash, rebase, ff bool
	json                      bool
}

func newCmdMerge(d *deps) *cobra.Command {
	o := &mergeOptions{}
	cmd := &cobra.Command{
		Use:   "merge NAME",
		Short: "Bring an agent's work onto the branch you have checked out",
		Long: `merge brings what is on agent--NAME onto the branch that is checked out here.
It is merged in memory first: conflicts, and changes of yours that would be
overwritten, are refused before anything is touched. What you changed elsewhere,
committed or not, stays as it is. ` + "`agent-process undo`" + ` takes it back.

  --merge   a merge commit (the default)
  --squash  one commit
  --rebase  the agent's commits again, on top of yours
  --ff      the agent's commits as they are; refused when there are others

No hook, filter (such as LFS) or merge driver of yours runs, because what the
agent wrote would choose them and be read by them; what was left out is said.
Your git signs the commit when you have configured that.

--reviewed takes the files alone that you accepted in a review, with --merge or
--squash; every file must be decided.` + exitStatus(exitRepository, exitNotFound, exitBusy, exitConflict),
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(o.ways()) > 1 {
				return usage(cmd, "--%s at once", strings.Join(o.ways(), " and --"))
			}
			o.Name, o.How = args[0], o.how()
			return runMerge(cmd.Context(), d, o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.merge, "merge", false, "make a merge commit (the default)")
	f.BoolVar(&o.squash, "squash", false, "make one commit of all")
	f.BoolVar(&o.rebase, "rebase", false, "make the agent's commits again, on top of yours")
	f.BoolVar(&o.ff, "ff", false, "make no new commit, or refuse")
	f.BoolVar(&o.Remove, "rm", false, "then remove the agent: worktree, branch, run ('agent-process undo' brings them back)")
	f.BoolVar(&o.Reviewed, "reviewed", false, "take the files alone that 'agent-process review' accepted")
	f.BoolVar(&o.NoSign, "no-gpg-sign", false, "do not sign the commit, whatever git is configured to")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

// ways are the ways that were asked for, of which there is one or none.
func (o *mergeOptions) ways() []string {
	var ways []string
	for _, w := range []struct {
		asked bool
		how   workspace.How
	}{{o.merge, workspace.HowMerge}, {o.squash, workspace.HowSquash}, {o.rebase, workspace.HowRebase}, {o.ff, workspace.HowFastForward}} {
		if w.asked {
			ways = append(ways, string(w.how))
		}
	}
	return ways
}

func (o *mergeOptions) how() workspace.How {
	if ways := o.ways(); len(ways) > 0 {
		return workspace.How(ways[0])
	}
	return workspace.HowMerge
}

func runMerge(ctx context.Context, d *deps, o *mergeOptions) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	home, err := svc.Merge(ctx, ".", o.MergeOptions)
	if err != nil && home.To == home.From && !home.Nothing { // it was refused
		return err
	}
	return errors.Join(d.printHome(home, "merged", o.json), err)
}

func newCmdApply(d *deps) *cobra.Command {
	o, json := service.ApplyOptions{}, false
	cmd := &cobra.Command{
		Use:   "apply NAME",
		Short: "Bring an agent's changes into your files, without a commit",
		Long: `apply brings what agent--NAME changes into the files here, and with --index also
into the index, without a commit. Like merge it works in memory first: conflicts,
and changes of yours that would be overwritten, are refused before anything is
touched. ` + "`agent-process undo`" + ` takes it back.` + exitStatus(exitRepository, exitNotFound, exitConflict),
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			svc, err := d.service(cmd.Context())
			if err != nil {
				return err
			}
			o.Name = args[0]
			home, err := svc.Apply(cmd.Context(), ".", o)
			if err != nil {
				return err
			}
			return d.printHome(home, "applied", json)
		},
	}
	cmd.Flags().BoolVar(&o.Index, "index", false, "also stage what comes")
	cmd.Flags().BoolVar(&o.Reviewed, "reviewed", false, "take the files alone that 'agent-process review' accepted")
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	return cmd
}

func newCmdCheckout(d *deps) *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "checkout NAME",
		Short: "Switch the files here to an agent's branch",
		Long: `checkout switches the worktree here to agent--NAME. Changes of yours that it
does not touch stay as they are; if it would overwrite any, it is refused before
anything is touched. ` + "`git switch -`" + ` goes back. No hook or filter runs.` + exitStatus(exitRepository, exitNotFound, exitConflict),
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			svc, err := d.service(cmd.Context())
			if err != nil {
				return err
			}
			out, err := svc.Checkout(cmd.Context(), ".", args[0])
			if err != nil {
				return err
			}
			if json {
				return report.JSON(d.streams.Out, out)
			}
			facts := append(flagFacts(out.Flagged), filterFacts(out.Filtered)...)
			facts = append(facts, report.Fact{Name: "back", Text: "git switch -", Style: term.StyleCyan})
			return report.Facts(d.streams.Out, "checked out "+out.Branch+", from "+out.From, facts)
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	return cmd
}

// printHome says what came, what a person should look at, and the way back.
func (d *deps) printHome(h service.Home, did string, json bool) error {
	if json {
		return report.JSON(d.streams.Out, h)
	}
	head := fmt.Sprintf("%s %s into %s: %s", did, h.Branch, h.Onto, report.Stat(h.Stat.Commits, h.Stat.Files, h.Stat.Insertions, h.Stat.Deletions))
	if h.Nothing {
		head = fmt.Sprintf("%s has nothing that %s does not have", h.Branch, h.Onto)
	}
	facts := append(flagFacts(h.Flagged), filterFacts(h.Filtered)...)
	facts = append(facts, report.Each("not run", term.StyleYellow, h.Hooks)...)
	if h.Unsigned {
		facts = append(facts, report.Fact{Name: "unsigned", Text: "these commits are not signed, as you have configured: git rebase --gpg-sign " + short(h.From), Style: term.StyleYellow})
	}
	if h.Detached && h.To != h.From {
		facts = append(facts, report.Fact{Name: "detached", Text: "on no branch: git switch --create NAME keeps it on one", Style: term.StyleYellow})
	}
	if h.Running {
		facts = append(facts, report.Fact{Name: "running", Text: "the agent is at work still; this is what it had committed", Style: term.StyleYellow})
	}
	facts = append(facts, report.Each("held", term.StyleYellow, h.Held)...)
	facts = append(facts, report.Each("left out", term.StyleYellow, h.Left)...)
	if h.Entry != 0 {
		facts = append(facts, report.Fact{Name: "undo", Text: fmt.Sprintf("agent-process undo %d", h.Entry), Style: term.StyleCyan})
	}
	if err := report.Facts(d.streams.Out, head, facts); err != nil {
		return err
	}
	if h.Removed != nil {
		d.printRemoved(*h.Removed)
	}
	return nil
}

// flagFacts name what runs on the host when it is built, tested or opened.
func flagFacts(flags []workspace.Flag) []report.Fact {
	if len(flags) == 0 {
		return nil
	}
	lines := make([]string, len(flags))
	for i, f := range flags {
		lines[i] = f.Path + ": " + f.Reason
	}
	return append([]report.Fact{{Name: "on host", Text: "read these before you build, test or open it, they act outside the sandbox:"}},
		report.Each("", term.StyleYellow, lines)...)
}

// filterFacts name files whose filter was not run.
func filterFacts(paths []string) []report.Fact {
	if len(paths) == 0 {
		return nil
	}
	return append([]report.Fact{{Name: "filters", Text: "your filter for these was not run; once you have read them: rm FILE && git checkout -- FILE (or: git lfs pull)"}},
		report.Each("", term.StyleYellow, paths)...)
}
