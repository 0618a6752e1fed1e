package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"agentprocess/internal/report"
	"agentprocess/internal/service"
	"agentprocess/internal/term"
)

func newCmdPR(d *deps) *cobra.Command {
	o := &service.PROptions{}
	var json bool
	cmd := &cobra.Command{
		Use:   "pr NAME",
		Short: "Push an agent's branch with your own git, and open a pull request",
		Long: `pr pushes agent--NAME, as it came home through the inspection, with your own git:
your configuration, your credentials, your terminal; the agent has none of them.
Then gh or glab, if you have it, opens a pull or merge request; without one, pr
says where you can. Run again it pushes what is new, and a request that is open
stays the one it is. On the remote nothing is overwritten but what pr pushed.

Title and description are the goal, and what the agent said of its work as a
block of code, in which it can neither mention people nor close issues.` + exitStatus(exitRepository, exitNotFound,
			"\n  19  the remote has something else at that branch"),
		Example: `  agent-process pr docs
  agent-process pr docs --draft --base develop --title "Document main.go"`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return runPR(cmd.Context(), d, *o, json)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Remote, "remote", "", "push to this remote (default where git would push)")
	f.StringVar(&o.Base, "base", "", "the branch it is for (default what is checked out, if the remote has it, or else the remote's own)")
	f.StringVar(&o.Title, "title", "", "its title (default the goal)")
	f.BoolVar(&o.Draft, "draft", false, "open it as a draft")
	f.BoolVar(&o.Hooks, "hooks", false, "have your pre-push hook run")
	f.BoolVar(&json, "json", false, "print JSON")
	return cmd
}

func runPR(ctx context.Context, d *deps, o service.PROptions, json bool) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	pr, err := svc.PR(ctx, ".", o)
	if err != nil {
		return err
	}
	if json {
		return report.JSON(d.streams.Out, pr)
	}
	head := fmt.Sprintf("pushed %s to %s: %s", pr.Branch, pr.Remote, report.Stat(pr.Stat.Commits, pr.Stat.Files, pr.Stat.Insertions, pr.Stat.Deletions))
	if !pr.Updated {
		head = fmt.Sprintf("%s is at %s already", pr.Branch, pr.Remote)
	}
	return report.Facts(d.streams.Out, head, prFacts(pr, o))
}

// prFacts are what a person should know of a request.
func prFacts(pr service.PR, o service.PROptions) []report.Fact {
	var facts []report.Fact
	add := func(name, text string, style term.Style) {
		facts = append(facts, report.Fact{Name: name, Text: text, Style: style})
	}
	switch {
	case pr.Existed:
		add("open", pr.URL, term.StyleCyan)
		if o.Title != "" || o.Base != "" || o.Draft {
			add("", "it was open before: its title, base and state stay as they are", term.StyleYellow)
		}
	case pr.URL != "":
		add("opened", pr.URL, term.StyleCyan)
	default:
		add("next", pr.Next, term.StyleCyan)
	}
	if pr.Own > 0 {
		add("yours", fmt.Sprintf("%d commits of yours that %s did not have went along: the agent started from them", pr.Own, pr.Remote), term.StyleYellow)
	}
	facts = append(facts, flagFacts(pr.Flagged)...)
	facts = append(facts, report.Each("not run", term.StyleYellow, pr.Hooks)...)
	if pr.Running {
		add("running", "the agent is at work still; this is what it had committed", term.StyleYellow)
	}
	return append(facts, report.Each("held", term.StyleYellow, pr.Held)...)
}
