package sandbox

import (
	"errors"
	"fmt"
	"testing"
)

func TestErrors(t *testing.T) {
	cause := errors.New("no namespaces")
	runtime := Fail(CodeRuntime, cause, "sysctl")
	tests := []struct {
		name   string
		err    error
		code   Code
		hint   string
		status int
	}{
		{"nothing", nil, "", "", 0},
		{"without a code", cause, CodeInternal, "", 1},
		{"with one", runtime, CodeRuntime, "sysctl", 10},
		{"wrapped", fmt.Errorf("start: %w", runtime), CodeRuntime, "sysctl", 10},
		{"the outermost counts", Fail(CodeBusy, runtime, "wait"), CodeBusy, "wait", 17},
		{"joined", errors.Join(cause, runtime), CodeRuntime, "sysctl", 10},
		{"an unknown code", Fail("new", cause, ""), "new", "", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if code, hint, status := ErrorCode(tt.err), ErrorHint(tt.err), ExitStatus(tt.err); code != tt.code || hint != tt.hint || status != tt.status {
				t.Errorf("%v: %q, %q, %d, want %q, %q, %d", tt.err, code, hint, status, tt.code, tt.hint, tt.status)
			}
		})
	}
	if !errors.Is(runtime, cause) {
		t.Error("the cause is lost")
	}
}

// Scripts tell codes and outcomes apart by exit status, also from each other.
func TestExitStatusesDiffer(t *testing.T) {
	seen := map[int]string{}
	add := func(status int, what string) {
		if other, ok := seen[status]; ok {
			t.Errorf("%s and %s both end with %d", other, what, status)
		}
		seen[status] = what
	}
	for _, o := range []Outcome{
		OutcomeDone, OutcomeNoChanges, OutcomeChecksFailed, OutcomeFailed, OutcomeStopped, OutcomeTimedOut, OutcomePolicyBroken, OutcomeOutOfMemory, OutcomeHeld,
	} {
		add(o.ExitStatus(), string(o))
	}
	for _, c := range []Code{
		CodeInternal, CodeUsage, CodeRuntime, CodeCredential, CodeNameInUse, CodeRepository, CodeNotFound, CodePolicy, CodeProof, CodeBusy, CodeAgent, CodeConflict,
	} {
		add(ExitStatus(Fail(c, errors.New("x"), "")), string(c))
	}
}

func TestCapabilities(t *testing.T) {
	good, bad := Step{Name: "a", Required: true, OK: true}, Step{Name: "b", Required: true}
	weak := Step{Name: "c"}
	tests := []struct {
		name    string
		steps   []Step
		usable  bool
		blocker string
	}{
		{"nothing was tried", nil, false, ""},
		{"all works", []Step{good}, true, ""},
		{"what is not required may fail", []Step{weak, good}, true, ""},
		{"what is required may not", []Step{good, weak, bad}, false, "b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Capabilities{Steps: tt.steps}
			blocker, blocked := c.Blocker()
			if c.Usable() != tt.usable || blocker.Name != tt.blocker || blocked != (tt.blocker != "") {
				t.Errorf("Usable() = %t, Blocker() = %+v, %t", c.Usable(), blocker, blocked)
			}
		})
	}
}
