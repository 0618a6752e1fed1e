package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"agentprocess/internal/report"
	"agentprocess/internal/term"
	"agentprocess/internal/workspace"
)

// undoOptions are what `undo` was given.
type undoOptions struct {
	id         int
	force      bool
	list, json bool
}

func newCmdUndo(d *deps) *cobra.Command {
	o := &undoOptions{}
	cmd := &cobra.Command{
		Use:   "undo [NUMBER]",
		Short: "Take back what a command did to your repository",
		Long: `undo takes back the newest of the things that rm, cleanup --merged, merge, apply,
rewind, resolve and release did to your repository, or the one with a NUMBER (there
is one for each agent): branches, files and index become what they were, byte for
byte. What was changed since is never overwritten: then nothing is undone, and what
is in the way is listed. --force takes that back too; it is kept, for an undoing can
be undone itself, which is what a second undo does.

--list shows what can be undone.` + exitStatus(exitRepository, exitNotFound),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage(cmd, "%d arguments, want at most one NUMBER", len(args))
			}
			if len(args) == 0 {
				return nil
			}
			var err error
			if o.id, err = strconv.Atoi(args[0]); err != nil || o.id < 1 {
				return usage(cmd, "%q is no number of a step", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.list {
				return runUndoList(cmd.Context(), d, o.json)
			}
			return runUndo(cmd.Context(), d, o)
		},
	}
	cmd.Flags().BoolVar(&o.force, "force", false, "also take back what was changed since; it is kept")
	cmd.Flags().BoolVar(&o.list, "list", false, "show what can be undone")
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

// deedView and undoneView are the JSON of undo.
type (
	deedView struct {
		Number int `json:"number"`
		workspace.Entry
	}
	undoneView struct {
		Undone deedView              `json:"undone"`
		Undo   int                   `json:"undo"` // takes this back
		Refs   []workspace.RefChange `json:"refs"`
		Paths  []string              `json:"paths"`
	}
)

func runUndo(ctx context.Context, d *deps, o *undoOptions) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	undone, err := svc.Undo(ctx, ".", o.id, o.force)
	if err != nil {
		return err
	}
	if o.json {
		return report.JSON(d.streams.Out, undoneView{
			Undone: deedView{Number: undone.Entry.ID, Entry: undone.Entry}, Undo: undone.Redo.ID, Refs: undone.Refs, Paths: undone.Paths,
		})
	}
	out := d.streams.Out
	fmt.Fprintf(out, "undone: %s\n", term.Visible(undone.Entry.Title()))
	for _, c := range undone.Refs {
		fmt.Fprintf(out, "  %s\n", term.Visible(refText(c)))
	}
	for _, p := range undone.Paths {
		fmt.Fprintf(out, "  %s\n", term.Visible(p))
	}
	fmt.Fprintf(out, "  undo this: agent-process undo %d\n", undone.Redo.ID)
	return nil
}

// refText says what became of a ref.
func refText(c workspace.RefChange) string {
	switch {
	case c.After == "":
		return c.Ref + " is gone"
	case c.Before == "":
		return c.Ref + " is back, at " + short(c.After)
	default:
		return c.Ref + " is back at " + short(c.After)
	}
}

func short(id string) string { return id[:min(len(id), 12)] }

func runUndoList(ctx context.Context, d *deps, json bool) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	entries, err := svc.Deeds(ctx, ".")
	if err != nil {
		return err
	}
	if json {
		views := make([]deedView, len(entries))
		for i, e := range entries {
			views[i] = deedView{Number: e.ID, Entry: e}
		}
		return report.JSON(d.streams.Out, views)
	}
	if len(entries) == 0 {
		fmt.Fprintln(d.streams.Out, "there is nothing to undo")
	}
	for _, e := range entries {
		fmt.Fprintf(d.streams.Out, "%4d  %s  %s\n", e.ID, e.Time.Local().Format("2006-01-02 15:04"), term.Visible(e.Title()))
	}
	return nil
}
