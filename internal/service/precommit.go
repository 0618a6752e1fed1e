package service

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"agentprocess/internal/audit"
	"agentprocess/internal/hook"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/workspace"
)

// rulePreCommit is what the project's pre-commit hook is called, in the record
// and among the checks.
const rulePreCommit = "pre-commit"

// preCommit is what the project's pre-commit hook says of what we commit.
type preCommit struct {
	mu       sync.Mutex // one at a time
	failed   bool       // the last time that there was something to look at
	complain string     // what it said
	told     bool       // the agent was, and nothing was committed since by us
	broken   bool       // a person was told that it cannot run here
}

// failing are the checks that failed, as far as the hook is one.
func (p *preCommit) failing() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.failed {
		return nil
	}
	return []string{rulePreCommit}
}

// verifyAtStop runs the hook at the end of a turn, before the turn is committed.
// What it says goes to the agent once, which may do something about it; the work
// is committed whatever it says.
func (x *session) verifyAtStop(ctx context.Context, c hook.Call, t hook.Talk, d hook.Decision) hook.Decision {
	if x.ws == nil || !x.ws.HasPreCommit() || t.Hold(ctx, saveTime) != nil {
		return d
	}
	x.verify(ctx)
	x.keeper.hooked.mu.Lock()
	defer x.keeper.hooked.mu.Unlock()
	if !x.keeper.hooked.failed || c.StopActive {
		return d
	}
	x.keeper.hooked.told = true
	return hook.Decision{Rule: rulePreCommit, Reason: "The project's pre-commit hook does not accept what you changed. Mend it, or say why it cannot be mended. The hook said:\n\n" + x.keeper.hooked.complain}
}

// verify runs the project's pre-commit hook inside, as git would, on what is not
// committed yet. One that cannot run there, for want of a program, says nothing
// about the work.
func (x *session) verify(ctx context.Context) {
	if !x.ws.HasPreCommit() || x.rebases() {
		return
	}
	p := &x.keeper.hooked
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	begin := x.svc.Now()
	var said strings.Builder
	out := &lines{stream: rulePreCommit, rec: x.rec}
	both := io.MultiWriter(out, &limited{w: &said, left: 4096})
	exit, err := x.exec(ctx, sandbox.Command{Argv: []string{"/bin/sh", "-c", workspace.PreCommit}, Env: x.env, Dir: x.ws.Dir(), Stdout: both, Stderr: both})
	out.flush()
	const notFound = 126 // and 127
	switch {
	case err != nil || ctx.Err() != nil:
		p.failed, p.complain = true, fmt.Sprintf("it did not come to an end: %v", err)
	case exit.Code == notFound || exit.Code == notFound+1:
		if !p.broken {
			x.warn("the project's pre-commit hook cannot run in the sandbox: %s", said.String())
		}
		p.broken, p.failed = true, false
	case exit.Code == workspace.NothingToCommit:
		p.failed = p.failed && !p.told // else the agent has committed it, through the hook
	default:
		p.failed, p.complain = exit.Code != 0, said.String()
		x.rec.Record(audit.Phase{Name: rulePreCommit, Detail: fmt.Sprintf("exit status %d", exit.Code), Duration: x.svc.Now().Sub(begin)})
	}
	p.told = false
}
