package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"agentprocess/internal/report"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/term"
	"agentprocess/internal/workspace"
)

func newCmdConflicts(d *deps) *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "conflicts",
		Short: "Show which agents' work is in conflict, and in which order to merge it",
		Long: `conflicts merges, in memory, each agent's work with what is checked out here and
with that of every other agent, also of those that are running, and says which
files both changed. Nothing is touched. The order it proposes merges without a
conflict; what comes after has conflicts then: ` + "`agent-process resolve NAME`" + ` lets
the agent resolve them.` + exitStatus(exitRepository),
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runConflicts(cmd.Context(), d, json)
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	return cmd
}

func runConflicts(ctx context.Context, d *deps, json bool) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	f, err := svc.Conflicts(ctx, ".")
	if err != nil {
		return err
	}
	if json {
		return report.JSON(d.streams.Out, f)
	}
	if len(f.Agents) == 0 {
		fmt.Fprintln(d.streams.Out, "no agent has commits here")
		return nil
	}
	t := term.Table{Columns: []term.Column{{Title: "NAME"}, {Title: "WITH " + strings.ToUpper(f.Onto)}, {Title: "WITH AGENTS"}}}
	for _, o := range f.Agents {
		t.Add(outlookCells(o)...)
	}
	if err := t.Write(d.streams.Out); err != nil {
		return err
	}
	for _, line := range orderLines(f) {
		fmt.Fprintln(d.streams.Out, term.Visible(line))
	}
	return nil
}

// outlookCells are the row of an agent.
func outlookCells(o workspace.Outlook) []term.Cell {
	home := term.Cell{Text: "clean", Style: term.StyleGreen}
	switch {
	case o.Landed == workspace.LandedSquashed:
		home = term.Cell{Text: "merged (squashed or rebased)", Style: term.StyleDim}
	case o.Landed != "":
		home = term.Cell{Text: o.Landed, Style: term.StyleDim}
	case len(o.Conflicts) > 0:
		home = term.Cell{Text: few(o.Conflicts), Style: term.StyleRed}
	}
	with := term.Cell{Text: "-"}
	var texts []string
	for _, c := range o.With {
		texts = append(texts, c.Name+": "+few(c.Paths))
	}
	if len(texts) > 0 {
		with = term.Cell{Text: strings.Join(texts, "; "), Style: term.StyleYellow}
	}
	return []term.Cell{{Text: o.Name, Style: term.StyleBold}, home, with}
}

// few names the first of many paths.
func few(paths []string) string {
	const most = 3
	text := strings.Join(paths[:min(len(paths), most)], ", ")
	if more := len(paths) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// orderLines propose what to type, made of names, which were validated.
func orderLines(f workspace.Forecast) []string {
	var lines []string
	for _, name := range f.Order {
		lines = append(lines, "  agent-process merge "+name)
	}
	for _, name := range f.Later {
		lines = append(lines, "  agent-process resolve "+name+"    # has conflicts then: the agent rebases its branch, then merge it")
	}
	if len(lines) == 0 {
		return nil
	}
	return append([]string{"", "in this order:"}, lines...)
}

// listView is a run of `list --json`.
type listView struct {
	sandbox.Run
	Merge *workspace.Outlook `json:"merge,omitempty"`
}

func listViews(runs []sandbox.Run, f workspace.Forecast) []listView {
	views := make([]listView, len(runs))
	for i, run := range runs {
		views[i].Run = run
		if o, ok := f.Of(run.Name); ok && o.Tip == run.Tip {
			views[i].Merge = &o
		}
	}
	return views
}

// merging is a word per agent on how its work would come home.
func merging(runs []sandbox.Run, f workspace.Forecast) map[string]report.Merging {
	words := map[string]report.Merging{}
	for _, run := range runs {
		o, ok := f.Of(run.Name)
		switch {
		case !ok || o.Tip != run.Tip:
		case o.Landed != "":
			words[run.Name] = report.Merging{Text: o.Landed, Style: term.StyleDim}
		case len(o.Conflicts) > 0:
			words[run.Name] = report.Merging{Text: "conflict", Style: term.StyleRed}
		case len(o.With) > 0:
			words[run.Name] = report.Merging{Text: "clean, not with " + o.With[0].Name, Style: term.StyleYellow}
		default:
			words[run.Name] = report.Merging{Text: "clean", Style: term.StyleGreen}
		}
	}
	return words
}
