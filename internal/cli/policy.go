package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"agentprocess/internal/approval"
	"agentprocess/internal/report"
	"agentprocess/internal/service"
	"agentprocess/internal/term"
	"agentprocess/internal/toolpolicy"
)

// policyService is what the commands below `policy` need.
type policyService interface {
	Pending(ctx context.Context) ([]approval.Question, error)
	Answer(ctx context.Context, id string, o service.AnswerOptions) error
	PolicyRules(ctx context.Context, q service.PolicyQuery) ([]toolpolicy.RuleInfo, error)
	egressService
}

// policyOptions are where `policy` gets its service and the time.
type policyOptions struct {
	open func(context.Context) (policyService, error)
	now  func() time.Time
}

func newCmdPolicy(d *deps, o policyOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "See, explain and test the rules agents are held to, and answer what they ask",
		Long: `policy shows the rules that judge what an agent reaches and its tool calls,
explains and tests them, lists the questions they put to a person, and answers
them.` + exitStatus(),
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		// As many letters may be wrong in a word for it to be suggested.
		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(newCmdPolicyShow(d, o), newCmdPolicyExplain(d, o), newCmdPolicyTest(d, o), newCmdPolicyLearn(d), newCmdPolicyPending(d, o), newCmdPolicyAnswer(d, o))
	return cmd
}

func newCmdPolicyShow(d *deps, o policyOptions) *cobra.Command {
	var json, full bool
	q := service.PolicyQuery{Dir: "."}
	cmd := &cobra.Command{
		Use:   "show [NAME]",
		Short: "Show the rules in force: built in, yours, the project's",
		Long: `show lists what may be reached, line by line, with the layer and the place of each
line, and every rule that judges tool calls, with its action, where it stands and
why: those that an agent runs under, or without NAME those that an agent would
start with now. Rules that are switched off or ignored are listed with the
reason. A rule is switched off by its name, with disable = ["RULE"] in
policy.toml.` + exitStatus(exitRepository, exitNotFound, "\n  15  a policy.toml is wrong"),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage(cmd, "%d arguments, want NAME or nothing", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				q.Name = args[0]
			}
			egress, rules, err := o.rules(cmd.Context(), q)
			switch {
			case err != nil:
				return err
			case json:
				return report.JSON(d.streams.Out, policyView{egressViews(egress), ruleViews(rules)})
			}
			if err := d.printEgress(egress, full); err != nil {
				return err
			}
			fmt.Fprintf(d.streams.Out, "\n%s\n", d.streams.Out.Paint().Bold("tool calls"))
			if full {
				d.printRulesInFull(rules)
				return nil
			}
			return d.printRules(rules)
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	cmd.Flags().BoolVar(&full, "full", false, "show what each rule matches, too")
	cmd.Flags().StringVar(&q.Base, "base", "", "take the project's policy from this commit (default HEAD)")
	return cmd
}

// rules asks the service.
func (o policyOptions) rules(ctx context.Context, q service.PolicyQuery) (service.EgressList, []toolpolicy.RuleInfo, error) {
	svc, err := o.open(ctx)
	if err != nil {
		return service.EgressList{}, nil, err
	}
	egress, err := svc.EgressRules(ctx, q)
	if err != nil {
		return egress, nil, err
	}
	rules, err := svc.PolicyRules(ctx, q)
	return egress, rules, err
}

// policyView is what show --json gives.
type policyView struct {
	Egress []egressView `json:"egress"`
	Tools  []ruleView   `json:"tools"`
}

// ruleView is a rule as --json gives it.
type ruleView struct {
	ID     string            `json:"id"`
	Action toolpolicy.Action `json:"action"`
	Source string            `json:"source"`
	Line   int               `json:"line,omitempty"`
	Match  string            `json:"match"`
	Reason string            `json:"reason"`
	Over   []string          `json:"over"`
	Off    bool              `json:"off"`
	Note   string            `json:"note,omitempty"`
}

func ruleViews(rules []toolpolicy.RuleInfo) []ruleView {
	views := make([]ruleView, len(rules))
	for i, r := range rules {
		views[i] = ruleView{
			ID: r.ID, Action: r.Action, Source: r.Source, Line: r.Line, Match: r.Match, Reason: r.Reason,
			Over: append([]string{}, r.Over...), Off: r.Off, Note: r.Note,
		}
	}
	return views
}

// printRules shows rules in a table, and below it what does not hold.
func (d *deps) printRules(rules []toolpolicy.RuleInfo) error {
	t := term.Table{Columns: []term.Column{{Title: "RULE"}, {Title: "ACTION"}, {Title: "FROM"}, {Title: "WHY", Shrink: true}}}
	notes := term.Table{Indent: "  ", Columns: []term.Column{{}, {}}}
	noted := 0
	for _, r := range rules {
		name, why := term.StyleBold, term.StylePlain
		word, style := action(r)
		if r.Off {
			name, why = term.StyleDim, term.StyleDim
		}
		t.Add(term.Cell{Text: r.ID, Style: name}, term.Cell{Text: word, Style: style}, term.Cell{Text: from(r), Style: why}, term.Cell{Text: r.Reason, Style: why})
		if r.Note != "" {
			noted++
			notes.Add(term.Cell{Text: r.ID, Style: term.StyleBold}, term.Text(r.Note))
		}
	}
	out := d.streams.Out
	if err := t.Write(out); err != nil || noted == 0 {
		return err
	}
	fmt.Fprintf(out, "\n%s\n", out.Paint().Bold("switched off or ignored"))
	return notes.Write(out)
}

// printRulesInFull shows each rule by itself, with nothing cut off.
func (d *deps) printRulesInFull(rules []toolpolicy.RuleInfo) {
	out := d.streams.Out
	paint := out.Paint()
	for i, r := range rules {
		if i > 0 {
			fmt.Fprintln(out)
		}
		word, style := action(r)
		fmt.Fprintf(out, "%s  %s  %s\n", paint.Bold(term.Visible(r.ID)), paint.Apply(style, word), paint.Dim(term.Visible(from(r))))
		texts := []string{r.Match, r.Reason, r.Note}
		if len(r.Over) > 0 {
			texts = append(texts, "over "+strings.Join(r.Over, ", "))
		}
		for _, text := range texts {
			if text == "" {
				continue
			}
			for _, line := range wrapped(out, text, 2) {
				fmt.Fprintln(out, "  "+line)
			}
		}
	}
}

// action is what a rule does, in one word.
func action(r toolpolicy.RuleInfo) (string, term.Style) {
	if r.Off {
		return "off", term.StyleDim
	}
	return term.Visible(string(r.Action)), actionStyle(r.Action)
}

// from is where a rule stands; built-in ones stand in no file of the person's.
func from(r toolpolicy.RuleInfo) string {
	if r.Source == toolpolicy.BuiltinSource || r.Line == 0 {
		return shortPath(r.Source)
	}
	return fmt.Sprintf("%s:%d", shortPath(r.Source), r.Line)
}

func actionStyle(a toolpolicy.Action) term.Style {
	switch a {
	case toolpolicy.Deny:
		return term.StyleRed
	case toolpolicy.Ask, toolpolicy.Warn:
		return term.StyleYellow
	case toolpolicy.Allow:
		return term.StyleGreen
	default:
		return term.StylePlain
	}
}

// shortPath leaves what a column has room for of a long path: its end.
func shortPath(source string) string {
	if !filepath.IsAbs(source) {
		return source
	}
	return filepath.Join("…", filepath.Base(filepath.Dir(source)), filepath.Base(source))
}
