package service

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"agentprocess/internal/approval"
	"agentprocess/internal/audit"
	"agentprocess/internal/hook"
	"agentprocess/internal/projecthook"
	"agentprocess/internal/toolpolicy"
)

const (
	// maxHeld is how often a post-stop hook may send the agent back to work in
	// one run.
	maxHeld = 3
	// holdMore is what is added to the time that a caller is asked to wait.
	holdMore = 15 * time.Second
)

// The rules of the record for what no policy file says.
const (
	ruleDefault = "default"
	ruleHook    = "hook " // and the hook's name
)

// judge decides what the agent's hooks ask: the rules first, then the project's
// own hooks, then a person.
type judge struct {
	policy *toolpolicy.Policy
	hooks  *projecthook.Runner // nil when the project has none that are trusted
	asker  *approval.Asker
	about  approval.Question // what all questions of the run have in common
	kind   string            // of the agent
	root   string            // of the tree, inside
	// put replaces a file of the agent's tree by what a hook made of it.
	put    func(ctx context.Context, c projecthook.Change) error
	record func(audit.Payload)

	mu     sync.Mutex
	held   int               // how often the agent was sent back to work
	asking map[string]string // the tool call that a question's key stands for
}

// decide is the Decide of a hook.Server.
func (j *judge) decide(ctx context.Context, c hook.Call, t hook.Talk) hook.Decision {
	if c.Dir == "" {
		c.Dir = j.root
	}
	switch c.Event {
	case hook.EventPreToolUse:
		return j.before(ctx, c, t)
	case hook.EventPostToolUse:
		return j.after(ctx, c, t)
	case hook.EventStop:
		return j.stop(ctx, c, t)
	default:
		return hook.Decision{Allow: true, Rule: ruleDefault}
	}
}

// before judges a tool call that has not run yet.
func (j *judge) before(ctx context.Context, c hook.Call, t hook.Talk) hook.Decision {
	call := j.call(toolpolicy.Pre, c)
	v := j.policy.Judge(ctx, call, t.Resolve)
	if v.Action == toolpolicy.Deny {
		return decision(v)
	}
	names, err := preHooks(c)
	if err != nil {
		return denied(refuse(projecthook.PreAny, err))
	}
	own := j.runHooks(ctx, names, c, t)
	if own.Decision == projecthook.Deny {
		return denied(own)
	}
	if own.Input != nil {
		// Nobody has judged yet what the hook made of the call.
		call.Input, c.Input = own.Input, own.Input
		after := j.policy.Judge(ctx, call, t.Resolve)
		if after.Action == toolpolicy.Deny {
			after.Reason = fmt.Sprintf("the project's hook %s changed the call, and so it is denied: %s", changer(own), after.Reason)
			return decision(after)
		}
		v = stronger(v, after)
	}
	d := decision(v)
	d.Input, d.Context = own.Input, joinLines(d.Context, own.Context)
	switch {
	case v.Action == toolpolicy.Ask:
		return j.ask(ctx, c, t, d)
	case own.Decision == projecthook.Ask:
		d.Rule, d.Source, d.Reason, d.Action = ruleHook+own.Hook, projecthook.Dir, own.Reason, string(toolpolicy.Ask)
		return j.ask(ctx, c, t, d)
	default:
		return d
	}
}

// after lets the project's hook look at what a tool wrote, and puts back what
// it made of it. The call is over: a denial tells the model, and nothing else.
func (j *judge) after(ctx context.Context, c hook.Call, t hook.Talk) hook.Decision {
	d := decision(j.policy.Judge(ctx, j.call(toolpolicy.Post, c), t.Resolve))
	if touched, err := toolpolicy.Touch(c.Tool, c.Input); !d.Allow || err != nil || len(touched.Writes) == 0 {
		return d
	}
	own := j.runHooks(ctx, []string{projecthook.PostWrites}, c, t)
	if own.Decision != projecthook.Allow {
		return denied(own)
	}
	d.Context = joinLines(d.Context, own.Context)
	var changed []string
	for _, ch := range own.Changes {
		if err := j.put(ctx, ch); err != nil {
			return hook.Decision{
				Rule: ruleHook + projecthook.PostWrites, Source: projecthook.Dir,
				Reason: fmt.Sprintf("the project's hook %s changed %s, which could not be written: %v", projecthook.PostWrites, ch.Path, err),
			}
		}
		changed = append(changed, ch.Path)
	}
	if len(changed) > 0 {
		d.Context = joinLines(d.Context, fmt.Sprintf("The project's hook %s changed %s after the write: read it again before the next edit.",
			projecthook.PostWrites, strings.Join(changed, ", ")))
	}
	if len(own.Refused) > 0 {
		j.warn("hook %s: left out what it changed: %s", projecthook.PostWrites, strings.Join(own.Refused, "; "))
	}
	return d
}

// stop judges the end of a turn. A hook that objects sends the agent back to
// work, but not for ever.
func (j *judge) stop(ctx context.Context, c hook.Call, t hook.Talk) hook.Decision {
	d := decision(j.policy.Judge(ctx, j.call(toolpolicy.Stop, c), t.Resolve))
	if d.Allow {
		own := j.runHooks(ctx, []string{projecthook.PostStop}, c, t)
		if own.Decision == projecthook.Allow {
			return d
		}
		d = denied(own)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.held >= maxHeld {
		j.warn("%s still objects to the end of the work, after the agent was sent back %d times: %s", d.Rule, j.held, d.Reason)
		return hook.Decision{Allow: true, Rule: d.Rule, Source: d.Source, Action: string(toolpolicy.Warn), Reason: d.Reason}
	}
	j.held++
	return d
}

// ask puts a call that d would allow to a person.
func (j *judge) ask(ctx context.Context, c hook.Call, t hook.Talk, d hook.Decision) hook.Decision {
	wait := j.asker.Deadline
	if wait <= 0 {
		wait = approval.DefaultDeadline
	}
	if !j.asker.Unattended {
		if err := t.Hold(ctx, wait+holdMore); err != nil {
			return hook.Decision{Action: string(toolpolicy.Ask), Rule: d.Rule, Source: d.Source, Reason: "a person had to be asked, and the call did not wait: " + err.Error()}
		}
	}
	q := j.about
	q.Subject, q.Detail = subject(c), string(c.Input)
	q.Rule, q.Source, q.Reason = d.Rule, d.Source, d.Reason
	if hash, err := hook.Hash(c.Input); err == nil {
		q.Key = c.Tool + " " + hash
	}
	j.mu.Lock()
	j.asking[q.Key] = c.ToolUseID
	j.mu.Unlock()
	a := j.asker.Ask(ctx, q)
	d.Allow, d.By, d.Action = a.Allow, a.By, string(toolpolicy.Ask)
	if !a.Allow {
		d.Reason, d.Input, d.Context = a.Reason, nil, ""
		if d.Reason == "" {
			d.Reason = "a person said no"
		}
	} else if a.Reason != "" {
		d.Context = joinLines(d.Context, "The person who allowed this says: "+a.Reason)
	}
	return d
}

// callOf is the tool call that a question is about.
func (j *judge) callOf(q approval.Question) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.asking[q.Key]
}

// call is a hook's call as the policy takes it.
func (j *judge) call(phase toolpolicy.Phase, c hook.Call) toolpolicy.Call {
	return toolpolicy.Call{Phase: phase, Agent: j.kind, Tool: c.Tool, Input: c.Input, Dir: c.Dir, Workspace: j.root, Home: agentHome}
}

func (j *judge) warn(format string, args ...any) {
	j.record(audit.Notice{Level: audit.Warn, Text: fmt.Sprintf(format, args...)})
}

// decision is what a policy's verdict makes of a call; an ask is settled by
// the caller.
func decision(v toolpolicy.Verdict) hook.Decision {
	d := hook.Decision{
		Allow: v.Action == toolpolicy.Allow || v.Action == toolpolicy.Warn, Rule: v.Rule, Source: v.Source, Reason: v.Reason, Action: string(v.Action),
	}
	if d.Rule == "" {
		d.Rule = ruleDefault
	}
	for _, w := range v.Warnings {
		d.Context = joinLines(d.Context, "Careful: "+w)
	}
	return d
}

// stronger is the verdict on a call that counts when a hook changed it.
func stronger(a, b toolpolicy.Verdict) toolpolicy.Verdict {
	if a.Action == toolpolicy.Ask && b.Action != toolpolicy.Ask {
		return a
	}
	return b
}

// denied is a denial by the project's own hook.
func denied(v projecthook.Verdict) hook.Decision {
	return hook.Decision{Rule: ruleHook + v.Hook, Source: projecthook.Dir, Reason: v.Reason, Action: string(toolpolicy.Deny)}
}

// changer names the hooks that gave a call another input.
func changer(v projecthook.Verdict) string {
	var names []string
	for _, r := range v.Each {
		if r.Input != nil {
			names = append(names, r.Hook)
		}
	}
	return strings.Join(names, " and ")
}

// subject is a call in one line.
func subject(c hook.Call) string {
	var input map[string]json.RawMessage
	_ = json.Unmarshal(c.Input, &input) // then there is no more to say than the tool's name
	for _, key := range []string{"command", "file_path", "notebook_path", "path", "url", "query", "description"} {
		var text string
		if json.Unmarshal(input[key], &text) == nil && text != "" {
			return c.Tool + ": " + text
		}
	}
	return c.Tool
}

func joinLines(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "\n" + b
}
