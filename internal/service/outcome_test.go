package service

import (
	"errors"
	"strings"
	"testing"

	"agentprocess/internal/agent"
	"agentprocess/internal/audit"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/workspace"
)

func TestOutcome(t *testing.T) {
	ended := func(code int) ending { return ending{exit: sandbox.Exit{Code: code}} }
	stopped := ending{exit: sandbox.Exit{Code: 137}, outcome: sandbox.OutcomeStopped, reason: "stopped by a person"}
	broken := errors.New("disk full")
	cut := &workspace.Held{Tip: "x", Cut: []workspace.HeldFile{{Path: ".env"}}}
	strays := &workspace.Held{Tip: "x", Scope: []string{"docs"}, Commits: []workspace.HeldCommit{{ID: "x", Count: 1}}}
	tests := []struct {
		name   string
		facts  facts
		want   sandbox.Outcome
		reason string // part of it
	}{
		{"work was done", facts{end: ended(0), commits: 1}, sandbox.OutcomeDone, ""},
		{"nothing was done", facts{end: ended(0)}, sandbox.OutcomeNoChanges, "nothing that can be committed"},
		{"some of it is held", facts{end: ended(0), commits: 1, held: cut}, sandbox.OutcomeHeld, "kept some of it out"},
		{"all of it is held", facts{end: ended(0), held: cut}, sandbox.OutcomeHeld, "kept some of it out"},
		{"a check fails, and some of it is held", facts{end: ended(0), commits: 1, held: cut, checks: []string{"make test"}}, sandbox.OutcomeChecksFailed, "make test"},
		{"commits leave the scope", facts{end: ended(0), commits: 1, held: strays}, sandbox.OutcomePolicyBroken, "outside --scope"},
		{"it was to be rebased, and was not", facts{end: ended(0), commits: 1, unresolved: "nothing of its work is left"}, sandbox.OutcomeFailed, "not resolved: nothing of its work is left"},
		{"a check fails", facts{end: ended(0), commits: 1, checks: []string{"make test"}}, sandbox.OutcomeChecksFailed, `["make test"]`},
		{"a check fails without work", facts{end: ended(0), checks: []string{"make test"}}, sandbox.OutcomeChecksFailed, "make test"},
		{"the agent fails", facts{end: ended(2), commits: 1}, sandbox.OutcomeFailed, "exit status 2"},
		{"the agent says that it failed", facts{end: ended(0), claims: "the agent says that it failed: no", commits: 1}, sandbox.OutcomeFailed, "says that it failed"},
		{"what it says is more than its status", facts{end: ended(1), claims: "the agent says that it failed: no"}, sandbox.OutcomeFailed, "says that it failed"},
		{"the program cannot run", facts{end: ending{err: broken}}, sandbox.OutcomeFailed, "disk full"},
		{"a person stops it", facts{end: stopped, commits: 1}, sandbox.OutcomeStopped, "by a person"},
		{"a person stops it, and memory had run out", facts{end: stopped, usage: sandbox.Usage{OOMKills: 1}}, sandbox.OutcomeStopped, "by a person"},
		{"the program is killed for memory", facts{end: ending{exit: sandbox.Exit{Code: 137, OOM: true}}}, sandbox.OutcomeOutOfMemory, "--memory"},
		{"a child is killed for memory, and it fails", facts{end: ended(1), usage: sandbox.Usage{OOMKills: 2}}, sandbox.OutcomeOutOfMemory, "--memory"},
		{"a child is killed for memory, and it copes", facts{end: ended(0), usage: sandbox.Usage{OOMKills: 2}, commits: 1}, sandbox.OutcomeDone, ""},
		{"the disk limit", facts{end: ended(1), usage: sandbox.Usage{DiskExceeded: true}, unsaved: broken}, sandbox.OutcomeFailed, "--disk"},
		{"a call may have run unjudged", facts{end: ending{exit: sandbox.Exit{Code: 137}, unjudged: broken}, commits: 1}, sandbox.OutcomePolicyBroken, "disk full"},
		{"memory is why a call has no verdict", facts{end: ending{exit: sandbox.Exit{Code: 137, OOM: true}, unjudged: broken}}, sandbox.OutcomeOutOfMemory, "--memory"},
		{"work is not home", facts{end: ended(0), unsaved: broken, commits: 1}, sandbox.OutcomeFailed, "brought home: disk full"},
		{"the record has a hole", facts{end: stopped, unwritten: broken, commits: 1}, sandbox.OutcomeFailed, "record could not be written"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, reason := tt.facts.outcome()
			if got != tt.want || !strings.Contains(reason, tt.reason) || (tt.reason == "") != (reason == "") {
				t.Errorf("outcome() = %q, %q, want %q, ...%q...", got, reason, tt.want, tt.reason)
			}
		})
	}
}

func TestClaims(t *testing.T) {
	tests := []struct {
		name   string
		result agent.Result
		want   string
	}{
		{"nothing", agent.Result{Text: "all done"}, ""},
		{"failure", agent.Result{Failed: true, Text: "too many turns"}, "the agent says that it failed: too many turns"},
		{"no credential", agent.Result{Failed: true, NeedsAuth: true, Text: "401"}, needsAuth},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := claims(tt.result); got != tt.want {
				t.Errorf("claims(%+v) = %q, want %q", tt.result, got, tt.want)
			}
		})
	}
}

func TestTallyCountsDenialsButNotTheProofs(t *testing.T) {
	tally := newTally()
	for _, p := range []audit.Payload{
		audit.Request{Verdict: audit.Deny, Rule: audit.ProofRule},
		audit.Verdict{Decision: audit.Deny, Rule: audit.ProofRule},
		audit.Request{Verdict: audit.Allow, Rule: "example.com"},
		audit.Verdict{Decision: audit.Allow},
		audit.Request{Verdict: audit.Deny},
		audit.Verdict{Decision: audit.Deny, Rule: "no rule"},
		audit.Usage{Cost: sandbox.Cost{InputTokens: 1, Turns: 1}},
		audit.Usage{Cost: sandbox.Cost{InputTokens: 5, Turns: 2}}, // in all, not more
		audit.Say{Text: "hello"},
	} {
		if err := tally.Write(audit.Event{Payload: p}); err != nil {
			t.Fatal(err)
		}
	}
	denials, cost := tally.read()
	if want := (sandbox.Cost{InputTokens: 5, Turns: 2}); denials != 2 || cost != want {
		t.Errorf("read() = %d, %+v, want 2, %+v", denials, cost, want)
	}
}
