package cli

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"agentprocess/internal/approval"
	"agentprocess/internal/policy"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/service"
	"agentprocess/internal/term"
	"agentprocess/internal/toolpolicy"
)

// judge is a policyService without a repository or a database.
type judge struct {
	questions []approval.Question
	answers   map[string]approval.Answer
	rules     []toolpolicy.RuleInfo
	asked     service.PolicyQuery
}

// Pending implements policyService.
func (j *judge) Pending(context.Context) ([]approval.Question, error) { return j.questions, nil }

// Answer implements policyService.
func (j *judge) Answer(_ context.Context, id string, o service.AnswerOptions) error {
	a := o.Answer
	if first, ok := j.answers[id]; ok {
		return approval.AnswerError(id, approval.ErrAnswered, first)
	}
	for _, q := range j.questions {
		if q.ID == id {
			j.answers[id] = a
			return nil
		}
	}
	return approval.AnswerError(id, approval.ErrUnknown, approval.Answer{})
}

// PolicyRules implements policyService.
func (j *judge) PolicyRules(_ context.Context, q service.PolicyQuery) ([]toolpolicy.RuleInfo, error) {
	j.asked = q
	return j.rules, nil
}

// EgressRules implements egressService.
func (j *judge) EgressRules(context.Context, service.PolicyQuery) (service.EgressList, error) {
	rules, err := policy.ParseRules("/home/ada/.config/agent-process/allowlist", "# mine\nregistry.example GET\ndeny uploads.example")
	return service.EgressList{Rules: policy.WithLayer(policy.LayerUser, rules)}, err
}

// Explain implements egressService.
func (j *judge) Explain(ctx context.Context, q service.EgressQuestion) (service.EgressAnswer, error) {
	list, err := j.EgressRules(ctx, q.PolicyQuery)
	if err != nil {
		return service.EgressAnswer{}, err
	}
	ask, err := policy.ParseTarget(q.Method, q.What)
	set := policy.NewSet(list.Rules)
	return service.EgressAnswer{Name: "docs", Run: "docs-1", Ask: ask, Decision: set.Reach(ask), Opened: set.Inspects(ask.Host, ask.Port), About: set.About(ask.Host)}, err
}

// EgressCases implements egressService.
func (j *judge) EgressCases(ctx context.Context, q service.PolicyQuery, source, text string) (int, []policy.Failed, error) {
	cases, err := policy.ParseCases(source, text)
	if err != nil {
		return 0, nil, err
	}
	list, err := j.EgressRules(ctx, q)
	return len(cases), policy.NewSet(list.Rules).Check(cases), err
}

// policyOf makes `policy` on top of a judge.
func policyOf(j *judge) func(*deps) *cobra.Command {
	return func(d *deps) *cobra.Command {
		return newCmdPolicy(d, policyOptions{
			open: func(context.Context) (policyService, error) { return j, nil },
			now:  func() time.Time { return time.Date(2026, 1, 2, 15, 5, 5, 0, time.UTC) },
		})
	}
}

func somebodyAsks() *judge {
	q := approval.Question{
		ID: "q-7k2mf", Run: "docs-1", Name: "docs", Repository: "/home/ada/shop/.git", Kind: approval.KindTool,
		Subject: "Bash: git push origin x\x1b[2J", Detail: "git push origin x\necho \u202edone", Rule: "push", Source: "built-in",
		Reason: "pushes are yours", Created: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC), Deadline: time.Date(2026, 1, 2, 15, 14, 5, 0, time.UTC),
	}
	later := q
	later.ID, later.Name, later.Detail, later.Unattended, later.Deadline, later.Reason = "q-8abcd", "deps", "npm publish", true, time.Time{}, ""
	later.Subject, later.Rule, later.Source = "Bash: npm publish "+strings.Repeat("--long ", 20), "publish", ""
	return &judge{questions: []approval.Question{q, later}, answers: map[string]approval.Answer{}}
}

func TestPolicyPending(t *testing.T) {
	for name, screen := range map[string]term.Screen{"pending": {}, "pending-narrow": {TTY: true, Width: 50, Colour: true}} {
		t.Run(name, func(t *testing.T) {
			r := run(t, seat{screen: screen}, policyOf(somebodyAsks()), "pending")
			if r.err != nil {
				t.Fatal(r.err)
			}
			golden(t, name, strings.ReplaceAll(r.out, "\x1b", "<ESC>"))
		})
	}
	t.Run("nothing", func(t *testing.T) {
		if r := run(t, seat{}, policyOf(&judge{}), "pending"); r.out != "no agent asks anything\n" || r.err != nil {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("nothing as JSON", func(t *testing.T) {
		if r := run(t, seat{}, policyOf(&judge{}), "pending", "--json"); r.out != "[]\n" || r.err != nil {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("JSON", func(t *testing.T) {
		j := somebodyAsks()
		r := run(t, seat{}, policyOf(j), "pending", "--json")
		var back []approval.Question
		if err := json.Unmarshal([]byte(r.out), &back); err != nil || r.err != nil {
			t.Fatal(err, r.err)
		}
		if diff := cmp.Diff(j.questions, back); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPolicyAnswer(t *testing.T) {
	tests := []struct {
		name  string
		args  []string
		out   string
		allow bool
		says  string // the reason
	}{
		{"yes", []string{"q-7k2mf", "allow"}, "q-7k2mf: allowed\n", true, ""},
		{"no", []string{"q-7k2mf", "deny"}, "q-7k2mf: denied\n", false, "who gave no reason"},
		{"no and why", []string{"q-7k2mf", "deny", "use", "staging"}, "q-7k2mf: denied\n", false, "use staging"},
		{"yes and why", []string{"q-8abcd", "allow", "this once"}, "q-8abcd: allowed\n", true, "this once"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := somebodyAsks()
			r := run(t, seat{}, policyOf(j), append([]string{"answer"}, tt.args...)...)
			a := j.answers[tt.args[0]]
			if r.err != nil || r.out != tt.out || a.Allow != tt.allow || !strings.Contains(a.Reason, tt.says) || !a.ByPerson() || a.At.IsZero() {
				t.Errorf("%+v, the answer is %+v", r, a)
			}
		})
	}
}

func TestPolicyAnswerRefuses(t *testing.T) {
	tests := []struct {
		name string
		args []string
		code sandbox.Code
		says string
	}{
		{"nothing", nil, sandbox.CodeUsage, "want ID and allow or deny"},
		{"no word", []string{"q-7k2mf"}, sandbox.CodeUsage, "want ID and allow or deny"},
		{"another word", []string{"q-7k2mf", "yes"}, sandbox.CodeUsage, "allow or deny"},
		{"a long reason", []string{"q-7k2mf", "deny", strings.Repeat("x", maxReason+1)}, sandbox.CodeUsage, "at most"},
		{"no such question", []string{"q-zzzzz", "allow"}, sandbox.CodeNotFound, "no such question"},
		{"answered already", []string{"q-8abcd", "deny"}, sandbox.CodeUsage, "allowed by ada"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := somebodyAsks()
			j.answers["q-8abcd"] = approval.Answer{Allow: true, By: "ada"}
			r := run(t, seat{}, policyOf(j), append([]string{"answer"}, tt.args...)...)
			if sandbox.ErrorCode(r.err) != tt.code || sandbox.ErrorHint(r.err) == "" || !strings.Contains(r.err.Error(), tt.says) {
				t.Errorf("got %v, hint %q", r.err, sandbox.ErrorHint(r.err))
			}
			if len(j.answers) != 1 {
				t.Errorf("answers: %+v", j.answers)
			}
		})
	}
}

func someRules() []toolpolicy.RuleInfo {
	return []toolpolicy.RuleInfo{
		{ID: "push", Source: "built-in", Action: toolpolicy.Deny, Reason: "Pushes are a person's.", Match: `command "git push"`},
		{ID: "ci-files", Source: "built-in", Action: toolpolicy.Warn, Reason: "CI runs with your rights.", Match: "path .github/workflows/**", Off: true, Note: "disabled by /home/ada/.config/agent-process/policy.toml"},
		{ID: "publish", Source: "/home/ada/.config/agent-process/policy.toml", Line: 7, Action: toolpolicy.Ask, Reason: "Ask me.", Match: `command "npm publish"`},
		{
			ID: "mine\x1b[2J", Source: ".agent-process/policy.toml", Line: 3, Action: toolpolicy.Allow, Reason: "\u202eOurs", Match: `command "git push staging"`,
			Over: []string{"push"}, Note: "it widens: ignored until the project is trusted",
		},
	}
}

func TestPolicyShow(t *testing.T) {
	j := &judge{rules: someRules()}
	for name, screen := range map[string]term.Screen{"rules": {}, "rules-narrow": {TTY: true, Width: 90, Colour: true}} {
		t.Run(name, func(t *testing.T) {
			r := run(t, seat{screen: screen}, policyOf(j), "show", "docs", "--base", "v1")
			if r.err != nil {
				t.Fatal(r.err)
			}
			if want := (service.PolicyQuery{Dir: ".", Name: "docs", Base: "v1"}); j.asked != want {
				t.Errorf("asked for %+v, want %+v", j.asked, want)
			}
			golden(t, name, strings.ReplaceAll(r.out, "\x1b", "<ESC>"))
		})
	}
	t.Run("JSON", func(t *testing.T) {
		r := run(t, seat{}, policyOf(j), "show", "--json")
		if r.err != nil {
			t.Fatal(r.err)
		}
		golden(t, "rules-json", r.out)
	})
	t.Run("in full", func(t *testing.T) {
		r := run(t, seat{}, policyOf(j), "show", "--full")
		if r.err != nil {
			t.Fatal(r.err)
		}
		golden(t, "rules-full", r.out)
	})
	t.Run("two names", func(t *testing.T) {
		if r := run(t, seat{}, policyOf(j), "show", "a", "b"); sandbox.ErrorCode(r.err) != sandbox.CodeUsage {
			t.Errorf("got %v", r.err)
		}
	})
}

func TestPolicyWithoutAService(t *testing.T) {
	broken := errors.New("no state directory")
	of := func(d *deps) *cobra.Command {
		return newCmdPolicy(d, policyOptions{open: func(context.Context) (policyService, error) { return nil, broken }, now: time.Now})
	}
	for _, args := range [][]string{{"show"}, {"pending"}, {"answer", "q-7k2mf", "allow"}} {
		if r := run(t, seat{}, of, args...); !errors.Is(r.err, broken) {
			t.Errorf("policy %q: %v", args, r.err)
		}
	}
	if r := run(t, seat{}, of, "shwo"); sandbox.ErrorCode(r.err) != sandbox.CodeUsage || !strings.Contains(sandbox.ErrorHint(r.err), "show") {
		t.Errorf("got %v, hint %q", r.err, sandbox.ErrorHint(r.err))
	}
}
