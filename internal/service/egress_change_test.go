package service

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/policy"
	"agentprocess/internal/store"
)

func asks(action, rule string, scope Scope) change {
	return change{ID: "ch-abcdefgh", At: time.Unix(1700000000, 0).UTC(), By: "person ada", Action: action, Rule: rule, Scope: scope}
}

func lineOf(t testing.TB, c change) []byte {
	t.Helper()
	line, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

func TestParseChange(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change change
		want   string // the rule, or
		err    error
	}{
		{"allow", asks(audit.Allow, "a.example GET", ScopeRun), "a.example GET", nil},
		{"deny is every port", asks(audit.Deny, "a.example", ScopeRun), "deny a.example", nil},
		{"deny that says so", asks(audit.Deny, "deny a.example:443", ScopeProject), "deny a.example:443", nil},
		{"deny in allow", asks(audit.Allow, "deny a.example", ScopeRun), "", errChangeDeny},
		{"deny once", asks(audit.Deny, "a.example", ScopeOnce), "", errChangeOnce},
		{"two rules", asks(audit.Allow, "a.example\nb.example", ScopeRun), "", errChangeRule},
		{"none", asks(audit.Allow, "# a.example", ScopeRun), "", errChangeRule},
		{"a preset", asks(audit.Allow, "preset:npm", ScopeRun), "", errChangeRule},
		{"an address", asks(audit.Allow, "10.0.0.1", ScopeRun), "", policy.ErrRuleAddress},
		{"another word", asks("ask", "a.example", ScopeRun), "", errChangeWord},
		{"another scope", asks(audit.Allow, "a.example", "for ever"), "", errChangeWord},
		{"nobody", change{ID: "ch-abcdefgh", At: time.Now(), Action: audit.Allow, Rule: "a.example", Scope: ScopeRun}, "", errChangeBy},
		{"no id", change{ID: "../x", At: time.Now(), By: "a", Action: audit.Allow, Rule: "a.example", Scope: ScopeRun}, "", errChangeID},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, r, err := parseChange(lineOf(t, tt.change))
			if !errors.Is(err, tt.err) || r.String() != tt.want && err == nil {
				t.Errorf("%q, %v; want %q, %v", r.String(), err, tt.want, tt.err)
			}
		})
	}
	for _, line := range []string{"", "x", "[]", `{"id":"ch-abcdefgh","more":1}`, string(lineOf(t, asks(audit.Allow, "a.example", ScopeRun))) + "{}"} {
		if _, _, err := parseChange([]byte(line)); err == nil {
			t.Errorf("%q is a change", line)
		}
	}
}

// gate is an enforcer that keeps the list it was given.
type gate struct {
	set   *policy.Set
	opens bool
}

func (g *gate) SetPolicy(set *policy.Set) int { g.set = set; return 0 }

func (g *gate) Opens(policy.Rule) bool { return g.opens }

func (g *gate) allows(host string) bool {
	return g.set.Decide(policy.Request{Host: host, Port: 443}).Allowed()
}

// live makes a liveEgress that starts with some lines.
func live(t *testing.T, text string) (*liveEgress, *gate, *written) {
	t.Helper()
	rules, err := policy.ParseRules("--allow", text)
	if err != nil {
		t.Fatal(err)
	}
	g, w := &gate{set: policy.NewSet(rules)}, &written{}
	file, err := newChanges(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l := &liveEgress{
		enforce: g, rules: policy.WithLayer(policy.LayerRun, rules), changes: file, now: time.Now,
		record: func(p audit.Payload) { w.payloads = append(w.payloads, p) },
		keep:   func(context.Context, policy.Rule, []policy.Rule) error { return nil },
		ask:    make(chan audit.Request, askedQueue), asked: map[string]bool{},
	}
	t.Cleanup(func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	})
	return l, g, w
}

func TestChangesCountAndAreTakenBack(t *testing.T) {
	l, g, w := live(t, "a.example\nb.example")
	step := func(c change, want string) {
		t.Helper()
		l.take(t.Context(), lineOf(t, c))
		var got strings.Builder
		for _, h := range []string{"a", "b", "c"} {
			if g.allows(h + ".example") {
				got.WriteString(h)
			}
		}
		if got.String() != want {
			t.Errorf("after %s %q %q is allowed, want %q", c.Action, c.Rule, got.String(), want)
		}
	}
	step(asks(audit.Allow, "c.example", ScopeRun), "abc")
	step(asks(audit.Allow, "c.example", ScopeRun), "abc")
	step(asks(audit.Deny, "b.example", ScopeRun), "ac")
	step(asks(audit.Deny, "c.example", ScopeRun), "a")
	step(asks(audit.Allow, "c.example", ScopeRun), "ac")
	step(asks(audit.Allow, "b.example:8443", ScopeRun), "abc") // it takes back a line about all of its ports
	step(asks(audit.Allow, "nonsense!", ScopeRun), "abc")
	step(asks(audit.Deny, "*.example", ScopeRun), "")
	rules := 0
	for _, r := range l.rules {
		if r.Layer == policy.LayerApproval {
			rules++
		}
	}
	if rules != 3 { // c.example, b.example:8443, deny *.example
		t.Errorf("%d lines were added: %v", rules, l.rules)
	}
	last, ok := w.payloads[len(w.payloads)-1].(audit.EgressChange)
	if !ok || last.By != "person ada" || last.Asked.IsZero() || last.Rule.Rule != "deny *.example" || last.Rule.Layer != "approval" {
		t.Errorf("the record has %+v", last)
	}
}

// A line that is taken back is one that was added while the agent runs: what a
// file denies stays denied.
func TestADenyLineOfAFileStays(t *testing.T) {
	l, g, _ := live(t, "deny a.example")
	l.take(t.Context(), lineOf(t, asks(audit.Allow, "a.example", ScopeRun)))
	if g.allows("a.example") {
		t.Error("it is allowed")
	}
}

func TestWhatCannotCountChangesNothing(t *testing.T) {
	l, g, w := live(t, "a.example")
	before := g.set
	for _, line := range []string{
		"garbage", "{}", string(lineOf(t, asks(audit.Allow, "b.example/x GET", ScopeRun))), string(lineOf(t, asks(audit.Allow, "b.example secret=x", ScopeRun))),
	} {
		l.take(t.Context(), []byte(line))
		c, ok := w.payloads[len(w.payloads)-1].(audit.EgressChange)
		if g.set != before || !ok || c.Error == "" {
			t.Errorf("%q: %+v", line, w.payloads)
		}
	}
	g.opens = true
	l.take(t.Context(), lineOf(t, asks(audit.Allow, "b.example/x GET", ScopeOnce)))
	if !g.allows("b.example") || l.rules[1].Budget.Requests != 1 {
		t.Errorf("rules %v", l.rules)
	}
}

func TestChangesAreReadLineByLine(t *testing.T) {
	dir := t.TempDir()
	c, err := newChanges(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.close() }()
	want := func(n int) {
		t.Helper()
		lines, err := c.next()
		if err != nil || len(lines) != n {
			t.Errorf("%d lines, %v; want %d", len(lines), err, n)
		}
	}
	want(0)
	for range 2 {
		if err := appendChange(dir, asks(audit.Allow, "a.example", ScopeRun)); err != nil {
			t.Fatal(err)
		}
	}
	want(2)
	path := filepath.Join(dir, changesFile)
	write(t, path, `{"id":`)
	want(0) // it has no end yet
	write(t, path, "\"x\"}\n\n")
	want(2)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.Truncate(path, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := c.next(); !errors.Is(err, errChangesCut) {
		t.Errorf("a file that was cut short: %v", err)
	}
	if err := appendChange(dir, asks(audit.Allow, "not a rule!", ScopeRun)); err == nil {
		t.Error("what is no rule was written")
	}
	if _, err := newChanges(dir); err == nil {
		t.Error("a file that is there was taken")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
}

// A link in the place of the file is not followed: not by who writes.
func TestChangesFollowNoLink(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(dir, changesFile)); err != nil {
		t.Fatal(err)
	}
	if err := appendChange(dir, asks(audit.Allow, "a.example", ScopeRun)); err == nil {
		t.Error("it was written through a link")
	}
}

// An agent that is denied by the thousand asks a person a bounded number of
// times, once each, and waits for nobody.
func TestDenialsAreAskedOnce(t *testing.T) {
	l, _, _ := live(t, "")
	for range 3 {
		l.denied(audit.Request{Verdict: audit.Deny, Fix: "a.example", ID: "net-1"})
	}
	l.denied(audit.Request{Verdict: audit.Deny, Fix: "--resolve a=ADDRESS"})
	l.denied(audit.Request{Verdict: audit.Deny})
	l.denied(audit.Request{Verdict: audit.Allow, Fix: "b.example"})
	if len(l.ask) != 1 {
		t.Errorf("%d questions, want 1", len(l.ask))
	}
	for i := range 2000 {
		l.denied(audit.Request{Verdict: audit.Deny, Fix: strings.Repeat("a", i+1) + ".example"})
	}
	if len(l.ask) != askedQueue || len(l.asked) > maxAsked {
		t.Errorf("%d wait, %d were asked", len(l.ask), len(l.asked))
	}
}

// The agent hears of a denial once, in one line, whatever the program it ran said.
func TestDenialsAreTold(t *testing.T) {
	l, _, _ := live(t, "")
	l.about.Name = "docs"
	if got := l.tell(); got != "" {
		t.Errorf("told %q of nothing", got)
	}
	for range 2 {
		l.denied(audit.Request{Verdict: audit.Deny, Host: "a.example", ID: "net-1", Reason: "no rule\nlists it", Fix: "a.example"})
	}
	l.denied(audit.Request{Verdict: audit.Deny, Host: "10.0.0.1", ID: "net-3", Reason: "only names"})
	l.denied(audit.Request{Verdict: audit.Allow, Host: "b.example", ID: "net-4"})
	want := "The gateway of this sandbox denied: a.example (net-1: no rule lists it; a person can `agent-process allow docs a.example`), 10.0.0.1 (net-3: only names)"
	if got := l.tell(); got != want {
		t.Errorf("told %q", got)
	}
	for i := range 50 {
		l.denied(audit.Request{Verdict: audit.Deny, Host: strings.Repeat("a", i+1), ID: "net-5"})
	}
	if got := l.tell(); !strings.HasSuffix(got, "and 47 more") || l.tell() != "" {
		t.Errorf("told %q", got)
	}
}

func TestAddLine(t *testing.T) {
	tree := t.TempDir()
	path := filepath.Join(tree, allowlistFile)
	add := func(line, want string) {
		t.Helper()
		if err := addLines(tree, []string{line}); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	add("a.example", "a.example\n")
	if err := os.WriteFile(path, []byte("# mine\r\na.example  \nno end"), 0o600); err != nil {
		t.Fatal(err)
	}
	add("a.example", "# mine\r\na.example  \nno end")
	add("b.example", "# mine\r\na.example  \nno end\nb.example\n")
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{outside, "../README"} {
		if err := errors.Join(os.Remove(path), os.Symlink(link, path)); err != nil {
			t.Fatal(err)
		}
		if err := addLines(tree, []string{"c.example"}); err == nil {
			t.Errorf("a line was written through a link to %s", link)
		}
	}
}

// A path is the agent's to choose: the question says what would be allowed, and
// nothing else.
func TestAskedOf(t *testing.T) {
	r := store.Request{Request: audit.Request{Host: "a.example", Port: 443, Method: http.MethodPut, URLPath: "/x"}}
	if q := askedOf(r); q.Scheme != policy.SchemeHTTPS || q.Method != http.MethodPut || q.Path != "/x" {
		t.Errorf("%+v", q)
	}
	if q := askedOf(store.Request{Request: audit.Request{Host: "a.example", Path: "dns"}}); q.Port != 443 || q.Method != "" {
		t.Errorf("%+v", q)
	}
}

// FuzzParseChange: a line that is a change is one rule, which comes back from
// the record as it was.
func FuzzParseChange(f *testing.F) {
	for _, c := range []change{
		asks(audit.Allow, "a.example GET", ScopeRun), asks(audit.Deny, "*.a.example/x", ScopeProject), asks(audit.Allow, "a.example\nb", ScopeOnce),
	} {
		f.Add(lineOf(f, c))
	}
	f.Add([]byte(`{"id":"ch-00000000"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		c, r, err := parseChange(line)
		if err != nil {
			return
		}
		if r.Name == "" || r.Preset != "" || r.Deny != (c.Action == audit.Deny) {
			t.Fatalf("%q is the rule %+v", line, r)
		}
		again, err := parseRecorded(recorded([]policy.Rule{c.mark(r)}))
		if err != nil || len(again) != 1 || again[0].String() != c.mark(r).String() {
			t.Errorf("%q comes back as %v, %v", line, again, err)
		}
	})
}
