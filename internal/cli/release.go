package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"agentprocess/internal/report"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/term"
	"agentprocess/internal/workspace"
)

// releaseOptions are what `release` was given.
type releaseOptions struct {
	name               string
	yes, discard, diff bool
	json               bool
}

func newCmdRelease(d *deps) *cobra.Command {
	o := &releaseOptions{}
	cmd := &cobra.Command{
		Use:   "release NAME",
		Short: "See what was kept out of an agent's branch, and let it in",
		Long: `release shows what of an agent's work was not let into your repository: files
with secrets, large files, links that leave the tree, and whatever else [import]
of the configuration holds; commits that leave --scope. None of it is in any
object of your repository; --diff shows it.

On a terminal release asks whether to let it in; for scripts, --yes does. What
was taken out of commits comes as one commit on the agent's branch. --discard
removes it for good instead.` + exitStatus(exitRepository, "\n  14  nothing is held of that agent", exitBusy),
		Example: `  agent-process release docs --diff
  agent-process release docs --yes
  agent-process release docs --discard --yes`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return runRelease(cmd.Context(), d, cmd, o)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.yes, "yes", "y", false, "do it without asking")
	f.BoolVar(&o.discard, "discard", false, "remove it for good instead")
	f.BoolVar(&o.diff, "diff", false, "show it, and do nothing")
	f.BoolVar(&o.json, "json", false, "print JSON, and ask nothing")
	return cmd
}

// releaseView is the JSON of release.
type releaseView struct {
	Held      []workspace.Held         `json:"held"`
	Released  []workspace.ReleasedHeld `json:"released,omitempty"`
	Discarded bool                     `json:"discarded,omitempty"`
}

func runRelease(ctx context.Context, d *deps, cmd *cobra.Command, o *releaseOptions) error {
	if o.diff && (o.yes || o.discard || o.json) {
		return usage(cmd, "--diff goes with no other flag")
	}
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	held, err := svc.Held(ctx, ".", o.name)
	if err != nil {
		return err
	}
	if o.diff {
		out := &visibleWriter{w: d.streams.Out}
		for _, h := range held {
			if err := svc.DiffHeld(ctx, ".", h, out); err != nil {
				return err
			}
		}
		if len(out.part) > 0 { // a file may end without a line break
			_, err = out.Write([]byte("\n"))
		}
		return err
	}
	view := releaseView{Held: held}
	do, err := d.releaseWanted(held, o)
	switch {
	case err != nil:
		return err
	case do && o.discard:
		view.Discarded, err = true, svc.Discard(ctx, ".", held)
	case do:
		view.Released, err = svc.Release(ctx, ".", held)
	}
	if o.json {
		return errors.Join(err, report.JSON(d.streams.Out, view))
	}
	d.printReleased(o.name, view)
	return err
}

// releaseWanted shows what is held, and asks unless it was told.
func (d *deps) releaseWanted(held []workspace.Held, o *releaseOptions) (bool, error) {
	if o.json || o.yes {
		return o.yes, nil
	}
	d.printHeld(held)
	question := "let this into your repository?"
	if o.discard {
		question = "remove this for good?"
	}
	if !d.streams.Out.TTY {
		return false, sandbox.Fail(sandbox.CodeUsage, errors.New("nothing was done: nobody is there to ask"), "look at it with --diff, then add --yes")
	}
	fmt.Fprintf(d.streams.Out, "%s [y/N] ", question)
	answer, err := bufio.NewReader(d.streams.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return strings.EqualFold(strings.TrimSpace(answer), "y") || strings.EqualFold(strings.TrimSpace(answer), "yes"), nil
}

// printHeld lists what is held.
func (d *deps) printHeld(held []workspace.Held) {
	out := d.streams.Out
	for _, h := range held {
		fmt.Fprintf(out, "%s, held since %s, %s\n", h.Name, h.Time.Local().Format("2006-01-02 15:04"), term.Visible(h.Run))
		for _, f := range h.Cut {
			fmt.Fprintf(out, "  %s  %s\n", term.Visible(f.Path), term.Visible(f.Reason))
		}
		for _, c := range h.Commits {
			if c.ID == h.Tip && len(h.Cut) > 0 && c.Count == 0 {
				continue
			}
			fmt.Fprintf(out, "  %s  %s  %s\n", short(c.ID), term.Visible(c.Subject), term.Visible(strings.Join(c.Outside, ", ")))
		}
		for _, m := range h.More {
			fmt.Fprintf(out, "  %s  %s\n", short(m.Tip), term.Visible(m.Name))
		}
	}
}

// printReleased says what became of what was held.
func (d *deps) printReleased(name string, view releaseView) {
	out := d.streams.Out
	switch {
	case view.Discarded:
		fmt.Fprintf(out, "what was held of %s is gone\n", name)
	case view.Released == nil:
		fmt.Fprintln(out, "nothing was changed")
	}
	for _, r := range view.Released {
		switch {
		case r.Moved:
			fmt.Fprintf(out, "released: %s is at %s\n", sandbox.BranchPrefix+name, short(r.Tip))
		case r.Ref != "":
			fmt.Fprintf(out, "released: it is at %s, since %s\n  to have it: git merge %s\n", term.Visible(r.Ref), term.Visible(r.Why), term.Visible(r.Ref))
		}
		if r.Entry != 0 {
			fmt.Fprintf(out, "  undo: agent-process undo %d\n", r.Entry)
		}
		for _, ref := range r.More {
			fmt.Fprintf(out, "  also released: %s\n", term.Visible(ref))
		}
		for _, f := range r.Flagged {
			fmt.Fprintf(out, "  look at: %s %s\n", term.Visible(f.Path), term.Visible(f.Reason))
		}
	}
}
