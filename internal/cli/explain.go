package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"agentprocess/docs"
	"agentprocess/internal/policy"
	"agentprocess/internal/report"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/service"
	"agentprocess/internal/term"
)

// egressService is what the commands about what may be reached need.
type egressService interface {
	EgressRules(ctx context.Context, q service.PolicyQuery) (service.EgressList, error)
	Explain(ctx context.Context, q service.EgressQuestion) (service.EgressAnswer, error)
	EgressCases(ctx context.Context, q service.PolicyQuery, source, text string) (int, []policy.Failed, error)
}

// egressView is a line of what may be reached, as --json gives it.
type egressView struct {
	Rule   string       `json:"rule"`
	Layer  policy.Layer `json:"layer"`
	Source string       `json:"source"`
	Line   int          `json:"line,omitempty"`
	Deny   bool         `json:"deny"`
}

func egressViews(list service.EgressList) []egressView {
	views := make([]egressView, len(list.Rules))
	for i, r := range list.Rules {
		views[i] = lineView(r)
	}
	return views
}

func lineView(r policy.Rule) egressView {
	return egressView{Rule: r.String(), Layer: r.Layer, Source: r.Source, Line: r.Line, Deny: r.Deny}
}

// printEgress shows what may be reached, in a table; whole leaves nothing out of
// the places.
func (d *deps) printEgress(list service.EgressList, whole bool) error {
	out := d.streams.Out
	fmt.Fprintf(out, "%s\n", out.Paint().Bold("network"))
	if len(list.Rules) == 0 {
		fmt.Fprintln(out, "nothing may be reached")
		return nil
	}
	t := term.Table{Columns: []term.Column{{Title: "LINE"}, {Title: "LAYER"}, {Title: "FROM", Shrink: !whole}}}
	for _, r := range list.Rules {
		style := term.StyleGreen
		if r.Deny {
			style = term.StyleRed
		}
		where := r.Where()
		if !whole {
			where = shortWhere(r)
		}
		t.Add(term.Cell{Text: r.String(), Style: style}, term.Text(string(r.Layer)), term.Text(where))
	}
	return t.Write(out)
}

func shortWhere(r policy.Rule) string {
	r.Source = shortPath(r.Source)
	return r.Where()
}

func newCmdPolicyExplain(d *deps, o policyOptions) *cobra.Command {
	var json, grammar bool
	q := service.EgressQuestion{PolicyQuery: service.PolicyQuery{Dir: "."}}
	cmd := &cobra.Command{
		Use:   "explain HOST|URL|ID | explain --grammar",
		Short: "Say which line decides about a host, a URL or a denial, and why",
		Long: `explain says what an agent would be told about a connection to HOST (with :PORT
for another than 443), a request to URL, or what it was told: ID is that of a
denial, such as net-12. It names the line that decides, its layer and place, and
what would allow what is denied. --run asks about an agent's newest run, as it was
changed since; else it is about one that would start now. --grammar prints the
page about what a line may hold.` + exitStatus(exitRepository, exitNotFound, "\n  15  a line of an allowlist is wrong"),
		Example: `  agent-process policy explain registry.example.com
  agent-process policy explain https://registry.example.com/left-pad --method PUT --run docs
  agent-process policy explain net-12`,
		Args: func(cmd *cobra.Command, args []string) error {
			if grammar == (len(args) == 1) || len(args) > 1 {
				return usage(cmd, "%d arguments, want HOST, URL or ID, or --grammar alone", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if grammar {
				fmt.Fprint(d.streams.Out, docs.Egress())
				return nil
			}
			q.What = args[0]
			a, err := o.explain(cmd.Context(), q)
			switch {
			case err != nil:
				return err
			case json:
				return report.JSON(d.streams.Out, answerView(a))
			}
			d.printAnswer(a)
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&json, "json", false, "print JSON")
	f.BoolVar(&grammar, "grammar", false, "print the page about what a line may hold")
	f.StringVar(&q.Name, "run", "", "ask about the newest run of the agent `NAME`")
	f.StringVar(&q.Method, "method", "", "the `METHOD` of the request (default GET)")
	f.StringVar(&q.Base, "base", "", "take the project's list from this commit (default HEAD)")
	return cmd
}

func (o policyOptions) explain(ctx context.Context, q service.EgressQuestion) (service.EgressAnswer, error) {
	svc, err := o.open(ctx)
	if err != nil {
		return service.EgressAnswer{}, err
	}
	return svc.Explain(ctx, q)
}

// explained is an answer as --json gives it.
type explained struct {
	Run     string         `json:"run,omitempty"`
	ID      string         `json:"id,omitempty"`
	Target  string         `json:"target"`
	Verdict policy.Verdict `json:"verdict"`
	Rule    *egressView    `json:"rule,omitempty"`
	Reason  string         `json:"reason,omitempty"`
	Fix     string         `json:"fix,omitempty"`
	Opened  bool           `json:"tls_opened"`
	About   []egressView   `json:"about"`
	Was     *wasView       `json:"recorded,omitempty"`
}

// wasView is what the record says of a request.
type wasView struct {
	Verdict string `json:"verdict"`
	Path    string `json:"path"`
	Rule    string `json:"rule,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Status  int    `json:"status,omitempty"`
	Error   string `json:"error,omitempty"`
}

func answerView(a service.EgressAnswer) explained {
	e := explained{
		Run: a.Run, Target: targetText(a.Ask), Verdict: a.Decision.Verdict, Reason: a.Decision.Reason, Fix: a.Decision.Fix, Opened: a.Opened,
		About: make([]egressView, 0, len(a.About)),
	}
	if a.Decision.Rule.Name != "" {
		v := lineView(a.Decision.Rule)
		e.Rule = &v
	}
	for _, r := range a.About {
		e.About = append(e.About, lineView(r))
	}
	if r := a.Recorded; r != nil {
		e.ID, e.Was = r.ID, &wasView{r.Verdict, r.Path, r.Rule, r.Reason, r.Status, r.Error}
	}
	return e
}

// targetText is what was asked about, as people write it.
func targetText(q policy.Request) string {
	where := fmt.Sprintf("%s:%d", q.Host, q.Port)
	if q.Method == "" {
		return where
	}
	if q.Scheme == policy.SchemeHTTP && q.Port == 80 || q.Scheme == policy.SchemeHTTPS && q.Port == policy.DefaultPort {
		where = q.Host
	}
	return q.Method + " " + q.Scheme + "://" + where + q.Path
}

// printAnswer explains to a person.
func (d *deps) printAnswer(a service.EgressAnswer) {
	out := d.streams.Out
	paint := out.Paint()
	field := func(label, text string) {
		if text != "" {
			fmt.Fprintf(out, "  %s  %s\n", paint.Dim(term.Pad(label, 8, false)), term.Visible(text))
		}
	}
	verdict := paint.Green("allowed")
	if !a.Decision.Allowed() {
		verdict = paint.Red("denied")
	}
	fmt.Fprintf(out, "%s  %s\n", verdict, term.Visible(targetText(a.Ask)))
	if r := a.Recorded; r != nil {
		field("recorded", r.ID+" of "+r.Run+" at "+r.Time.UTC().Format("2006-01-02 15:04:05Z")+", over "+r.Path+": "+r.Verdict)
		field("then", strings.TrimSpace(r.Reason+" "+r.Rule+" "+r.Error))
	}
	field("why", a.Decision.Reason)
	if r := a.Decision.Rule; r.Name != "" {
		field("line", r.String())
		field("layer", string(r.Layer))
		field("from", r.Where())
	}
	if a.Opened {
		field("tls", "opened, because lines for this host judge requests")
	}
	if fix := a.Decision.Fix; fix != "" {
		field("add", fix)
		if sandbox.ValidateName(a.Name) == nil {
			id := "RULE"
			if a.Recorded != nil {
				id = a.Recorded.ID
			}
			field("or", policy.AllowCommand(a.Name, fix, id))
		}
	}
	for i, r := range a.About {
		label := ""
		if i == 0 {
			label = "lines"
		}
		fmt.Fprintf(out, "  %s  %s\n", paint.Dim(term.Pad(label, 8, false)), term.Visible(r.String()+"  ("+string(r.Layer)+", "+r.Where()+")"))
	}
}

func newCmdPolicyTest(d *deps, o policyOptions) *cobra.Command {
	q := service.PolicyQuery{Dir: "."}
	cmd := &cobra.Command{
		Use:   "test FILE",
		Short: "Hold expected decisions against what may be reached, for CI",
		Long: `test reads FILE, one case a line, and says which come out otherwise:

  allow https://registry.example.com/left-pad
  deny PUT https://registry.example.com/left-pad
  deny uploads.example.com:22      # a connection

The list is that of an agent that would start now, with the project's list of HEAD
(or --base) as if you had trusted it, or with --run that of an agent.` +
			exitStatus(exitRepository, exitNotFound, "\n  3   a case came out otherwise", "\n  15  a line of the file or of an allowlist is wrong"),
		Args: exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.AsTrusted = q.Name == ""
			return runPolicyTest(cmd.Context(), d, o, q, args[0])
		},
	}
	cmd.Flags().StringVar(&q.Name, "run", "", "ask about the newest run of the agent `NAME`")
	cmd.Flags().StringVar(&q.Base, "base", "", "take the project's list from this commit (default HEAD)")
	return cmd
}

// exitCases is the exit status when a case came out otherwise.
const exitCases = 3

func runPolicyTest(ctx context.Context, d *deps, o policyOptions, q service.PolicyQuery, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("read cases: %w", err), "name a file of cases; see `agent-process policy test --help`")
	}
	svc, err := o.open(ctx)
	if err != nil {
		return err
	}
	count, failed, err := svc.EgressCases(ctx, q, path, string(text))
	if err != nil {
		return err
	}
	out := d.streams.Out
	for _, f := range failed {
		why := f.Got.Reason
		if f.Got.Allowed() {
			why = "allowed by " + f.Got.Rule.Cite()
		}
		fmt.Fprintf(out, "%s:%d: %s  %s\n", term.Visible(f.Case.Source), f.Case.Line, out.Paint().Red(term.Visible(f.Case.Text)), term.Visible(why))
	}
	fmt.Fprintf(out, "%d cases, %d came out otherwise\n", count, len(failed))
	if len(failed) > 0 {
		return exitError{exitCases}
	}
	return nil
}
