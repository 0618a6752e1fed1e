package service

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"agentprocess/internal/agent"
	"agentprocess/internal/audit"
	"agentprocess/internal/sandbox"
)

// coAuthor is the trailer that forges understand, for agents that have one.
func coAuthor(kind string) string {
	if kind == agent.KindClaude {
		return "Claude <noreply@anthropic.com>"
	}
	return ""
}

// runAgent runs the agent to its end, however that comes.
func (x *session) runAgent(ctx context.Context) ending {
	if err := errors.Join(x.setState(ctx, sandbox.StateRunning), x.beginTalk(ctx)); err != nil {
		return ending{err: err}
	}
	if x.opts.Learn {
		x.net.egress.learn()
	}
	s, plan := x.svc, x.chk.plan
	has := x.box.Facts()
	user := x.chk.identity
	user.Name = cmp.Or(has.ImageUser, user.Name)
	x.env = merge(imageEnv(has.ImageEnv), s.baseEnv(agentHome, has.ToolPath, user), networkEnv(x.opts.Name), x.net.trust, x.chk.secretEnv, x.chk.env, plan.Env)
	timeout := after(x.opts.Timeout)
	if end := x.prepare(ctx, has.Prepare, timeout); end.outcome != "" {
		return end
	}
	out := agent.NewCollector(x.chk.adapter.Transcript(), x.collect)
	ctx, kill := context.WithCancel(ctx)
	defer kill()
	cmd := sandbox.Command{Argv: plan.Argv, Env: x.env, Dir: x.ws.Dir(), Stdout: out.Stdout(), Stderr: out.Stderr(), Sealed: plan.Sealed}
	if plan.Stdin != nil {
		cmd.Stdin = bytes.NewReader(plan.Stdin)
	}
	x.rec.Record(audit.Phase{Name: "started", Detail: describeAgent(plan.Info), Duration: s.Now().Sub(x.start)})
	proc, err := x.box.Exec(ctx, cmd)
	if err != nil {
		return ending{err: fmt.Errorf("start the agent %q: %w", plan.Argv, err)}
	}
	x.startBeside(ctx)
	if x.net.door, err = openDoor(ctx, x.dir.path, x.box); err != nil {
		x.warn("`agent-process url` cannot be used: %v", err)
	}
	broken, forget := x.watchProtections()
	defer forget()
	v := &supervisor{
		proc: proc, kill: kill, timeout: timeout, asked: x.opts.Control.asked(), broken: broken,
		hopeless: func() bool { return out.Result().NeedsAuth },
	}
	end := v.watch()
	result, err := out.Close()
	if end.outcome == "" {
		end.unjudged = x.net.receipts.Ended()
	}
	select {
	case first := <-broken: // it came with the agent's end
		err = first
	default:
	}
	if err != nil {
		end.decide(sandbox.OutcomePolicyBroken, err.Error())
	}
	x.talk.claims = claims(result)
	x.closeInbox(context.WithoutCancel(ctx))
	return end
}

// startBeside starts what the agent does not wait for and what takes as long as
// the tree is large: the worktree on the host, and a look at the person's tree.
func (x *session) startBeside(ctx context.Context) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tree = x.startWorktree(ctx)
	x.beside.Go(func() {
		// An agent that is quick must not cut the look short.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
		defer cancel()
		if warning := x.chk.unseen(ctx); warning != "" && !x.opts.IncludeDirty {
			x.warn("%s", warning)
		}
	})
}

// lookTime bounds the look at the person's tree.
const lookTime = time.Minute

// collect takes what the agent's transcript says, and ends the run when a tool
// call in it was not judged.
func (x *session) collect(p audit.Payload) error {
	x.rec.Record(agent.Bounded(p))
	x.talk.listen(p)
	err := x.net.receipts.Observe(p)
	if _, garbled := p.(agent.Garbled); garbled {
		err = errGarbled
	}
	if err != nil {
		x.net.breakRun(err)
	}
	return err
}

// errGarbled is a transcript that cannot be held against the verdicts. Whoever
// runs inside can write to the agent's stdout.
var errGarbled = errors.New("the agent's transcript holds what is no message, so its tool calls cannot be checked")

// watchProtections gives what must end a run at once: a policy that was
// bypassed, a gateway or a record that broke.
func (x *session) watchProtections() (broken <-chan error, forget func()) {
	done := make(chan struct{})
	go func() {
		select {
		case <-x.net.gateway.Failed():
			x.net.breakRun(errors.New("the gateway broke"))
		case <-x.sink.Failed():
			x.net.breakRun(errors.New("the record cannot be written"))
		case <-done:
		}
	}()
	return x.net.broken, func() { close(done) }
}

// claims is why the agent says that it failed; empty when it does not.
func claims(r agent.Result) string {
	switch {
	case r.NeedsAuth:
		return needsAuth
	case r.Failed:
		return "the agent says that it failed: " + r.Text
	default:
		return ""
	}
}

func describeAgent(i sandbox.AgentInfo) string {
	text := i.Kind
	if i.Version != "" {
		text += " " + i.Version
	}
	if i.Model != "" {
		text += ", model " + i.Model
	}
	return text
}
