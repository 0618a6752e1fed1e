package service

import (
	"slices"
	"strings"
	"testing"

	"agentprocess/internal/audit"
	"agentprocess/internal/policy"
	"agentprocess/internal/store"
)

func TestLearned(t *testing.T) {
	rules, err := policy.ParseRules("list", "have.example\nsome.example/a GET")
	if err != nil {
		t.Fatal(err)
	}
	var requests []store.Request
	for _, r := range []audit.Request{
		{Verdict: audit.Deny, Host: "b.example", Port: 443, Fix: "b.example"},
		{Verdict: audit.Deny, Host: "b.example", Port: 443, Fix: "b.example"},
		{Verdict: audit.Deny, Host: "b.example", Port: 443, Method: "PUT", URLPath: "/x", Fix: "b.example/x PUT"}, // needless beside the line above
		{Verdict: audit.Allow, Host: "a.example", Port: 443, Rule: "learn (--learn)", Fix: "a.example"},
		{Verdict: audit.Deny, Host: "have.example", Port: 443, Fix: "have.example"}, // listed since
		{Verdict: audit.Deny, Host: "some.example", Port: 443, Method: "PUT", URLPath: "/a", Fix: "some.example/a PUT"},
		{Verdict: audit.Deny, Host: "canary.invalid", Port: 443, Fix: "canary.invalid", Rule: audit.ProofRule},
		{Verdict: audit.Deny, Host: "c.example", Port: 443, Fix: "--resolve c.example=ADDRESS"},
		{Verdict: audit.Deny, Host: "10.0.0.1"},
		{Verdict: audit.Allow, Host: "d.example", Port: 443},
	} {
		requests = append(requests, store.Request{Request: r})
	}
	want := []string{"a.example", "b.example", "some.example/a PUT"}
	if got := learned(requests, policy.NewSet(rules)); !slices.Equal(got, want) {
		t.Errorf("learned %q, want %q", got, want)
	}
}

func TestAdditions(t *testing.T) {
	for _, tt := range []struct{ name, have, want string }{
		{"no file", "", "--- /dev/null\n+++ b/l\n@@ -0,0 +1,1 @@\n+x\n"},
		{"a short one", "a\n", "--- a/l\n+++ b/l\n@@ -1,1 +1,2 @@\n a\n+x\n"},
		{"a long one", "1\n2\n3\n4\n5\n", "--- a/l\n+++ b/l\n@@ -3,3 +3,4 @@\n 3\n 4\n 5\n+x\n"},
		{"no end", "a\nb", "--- a/l\n+++ b/l\n@@ -1,2 +1,3 @@\n a\n-b\n\\ No newline at end of file\n+b\n+x\n"},
	} {
		if got := additions("l", tt.have, []string{"x"}); got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
	if got := additions("l", "a", nil); got != "" {
		t.Errorf("nothing to add is %q", got)
	}
}

func TestLearningIsSaidLoudly(t *testing.T) {
	all := StartOptions{Egress: Egress{Learn: true}}.weakenings()
	if len(all) != 1 || !strings.Contains(all[0], "NOT ENFORCED") {
		t.Errorf("%q", all)
	}
}
