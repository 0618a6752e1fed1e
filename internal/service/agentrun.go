package service

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"agentprocess/internal/sandbox"
	"agentprocess/internal/workspace"
)

// graceTime is how long an agent that was asked to stop may take before it is
// killed.
const graceTime = 10 * time.Second

// lookEvery is how often it is asked whether a run is hopeless.
const lookEvery = time.Second

// needsAuth is why a run ends whose credential the API refuses: agents try
// again for minutes.
const needsAuth = "the API refused the credential: `agent-process auth status` says more, `agent-process auth` renews it"

// ending says how the agent's program ended, and who ended it.
type ending struct {
	exit    sandbox.Exit
	outcome sandbox.Outcome // decided by us; empty when it ended by itself
	reason  string
	err     error // the program could not be run or waited for
	// unjudged is a tool call that may have run without a verdict.
	unjudged error
}

// supervisor watches one program and ends it when something asks for it.
type supervisor struct {
	proc    sandbox.Process
	kill    context.CancelFunc
	timeout <-chan time.Time
	asked   <-chan struct{} // a person wants it to stop
	broken  <-chan error    // the run must end at once
	// hopeless says that going on makes no sense; it is asked now and then.
	hopeless func() bool
	grace    <-chan time.Time
	end      ending
}

// watch returns when the program has ended.
func (v *supervisor) watch() ending {
	type result struct {
		exit sandbox.Exit
		err  error
	}
	ended := make(chan result, 1)
	go func() {
		exit, err := v.proc.Wait()
		ended <- result{exit, err}
	}()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if v.grace == nil && v.hopeless() {
				v.ask(sandbox.OutcomeFailed, needsAuth)
			}
		case r := <-ended:
			v.end.exit, v.end.err = r.exit, r.err
			return v.end
		case <-v.timeout:
			v.ask(sandbox.OutcomeTimedOut, "the time limit was reached")
		case <-v.asked:
			v.ask(sandbox.OutcomeStopped, "stopped by a person")
		case <-v.grace:
			v.kill()
		case err := <-v.broken:
			v.end.decide(sandbox.OutcomePolicyBroken, err.Error())
			v.kill()
		}
	}
}

// ask asks the program to end, and kills it when it is asked again or takes
// too long.
func (v *supervisor) ask(outcome sandbox.Outcome, reason string) {
	v.end.decide(outcome, reason)
	if v.grace != nil || v.proc.Signal(syscall.SIGINT) != nil {
		v.kill()
		return
	}
	v.grace = time.After(graceTime)
}

// decide keeps the first decision: what follows is its consequence. But that a
// policy was bypassed is said whoever has ended the agent.
func (e *ending) decide(outcome sandbox.Outcome, reason string) {
	if e.outcome == "" || outcome == sandbox.OutcomePolicyBroken && e.outcome != outcome {
		e.outcome, e.reason = outcome, reason
	}
}

// after is a timer's channel, or none for no time limit.
func after(d time.Duration) <-chan time.Time {
	if d <= 0 {
		return nil
	}
	return time.After(d)
}

// facts are what an outcome is computed from.
type facts struct {
	end       ending
	claims    string // why the agent itself says that it failed, if it does
	usage     sandbox.Usage
	commits   int
	held      *workspace.Held // what is outside the scope
	checks    []string        // those that failed
	unsaved   error           // work that could not be brought home
	unwritten error           // the record has a hole
	// unresolved is why a branch that was to be rebased was put back.
	unresolved string
}

// outcome computes how a run ended. The order is that of importance: what we
// decided, what the machine decided, what the program said, what there is.
func (f facts) outcome() (sandbox.Outcome, string) {
	switch {
	case f.unwritten != nil:
		return sandbox.OutcomeFailed, fmt.Sprintf("the record could not be written: %v", f.unwritten)
	case f.end.outcome != "":
		return f.end.outcome, f.end.reason
	case f.end.exit.OOM || f.usage.OOMKills > 0 && f.end.exit.Code != 0:
		return sandbox.OutcomeOutOfMemory, "killed for using more memory than its limit; give it more with --memory"
	case f.usage.DiskExceeded:
		return sandbox.OutcomeFailed, "it wrote more than its disk limit; give it more with --disk"
	case f.end.unjudged != nil:
		return sandbox.OutcomePolicyBroken, f.end.unjudged.Error()
	case f.unsaved != nil:
		return sandbox.OutcomeFailed, fmt.Sprintf("its work could not be brought home: %v", f.unsaved)
	case f.unresolved != "":
		return sandbox.OutcomeFailed, "it was not resolved: " + f.unresolved
	case strayed(f.held):
		return sandbox.OutcomePolicyBroken, "it changed what is outside --scope: that is held, and is not on the branch"
	case f.end.err != nil:
		return sandbox.OutcomeFailed, f.end.err.Error()
	case f.claims != "":
		return sandbox.OutcomeFailed, f.claims
	case f.end.exit.Code != 0:
		return sandbox.OutcomeFailed, fmt.Sprintf("the agent ended with exit status %d", f.end.exit.Code)
	case len(f.checks) > 0:
		return sandbox.OutcomeChecksFailed, fmt.Sprintf("failed: %q", f.checks)
	case holds(f.held):
		return sandbox.OutcomeHeld, "the inspection kept some of it out of the repository"
	case f.commits == 0:
		return sandbox.OutcomeNoChanges, "the agent changed nothing that can be committed"
	default:
		return sandbox.OutcomeDone, ""
	}
}
