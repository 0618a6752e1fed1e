package projecthook

import (
	"context"
	"encoding/json"
)

// Chain is one call that several hooks judge, one after the other.
type Chain struct {
	// Hooks are their names, in order; those the project does not have are left
	// out.
	Hooks []string
	Input Input
	// Derive works out Commands, Unparsed and Paths of an input that a hook has
	// changed, for the hooks after it. Without it such a call is denied when
	// there are any.
	Derive func(ctx context.Context, in Input) (Input, error)
}

// Verdict is what all hooks of a chain make of a call.
type Verdict struct {
	// Result is the answer to go by: the first denial; else a question, when a
	// hook asks; else it is allowed. Input is what the last hook that changed it
	// made of it: nobody but the hooks after that one has judged it.
	Result
	// Each are the results of the hooks that ran, in order.
	Each []Result
}

// RunAll runs the hooks of a chain until one denies.
func (r *Runner) RunAll(ctx context.Context, c Chain) Verdict {
	v := Verdict{Result: Result{Decision: Allow}}
	stale := false
	for _, name := range c.Hooks {
		if !r.Has(name) {
			continue
		}
		if stale {
			in, err := derive(ctx, c)
			if err != nil {
				return v.denied(deny(name, err, nil))
			}
			c.Input, stale = in, false
		}
		res := r.Run(ctx, name, c.Input)
		if res.Decision != Allow && res.Decision != Ask {
			return v.denied(res)
		}
		v.add(res)
		if res.Input != nil {
			c.Input, stale = withInput(c.Input, res.Input), true
		}
	}
	return v
}

// denied ends with a denial; what hooks before it changed is nothing now.
func (v Verdict) denied(res Result) Verdict {
	res.Duration += v.Duration
	return Verdict{Result: res, Each: append(v.Each, res)}
}

// add takes what one more hook said.
func (v *Verdict) add(res Result) {
	v.Each = append(v.Each, res)
	v.Duration += res.Duration
	if res.Decision == Ask {
		if v.Decision != Ask {
			v.Hook = res.Hook
		}
		v.Decision, v.Reason = Ask, bound(joined(v.Reason, res.Reason))
	}
	if res.Input != nil {
		v.Input = res.Input
	}
	v.Context = joined(v.Context, res.Context)
	v.Changes = append(v.Changes, res.Changes...)
	v.Refused = append(v.Refused, res.Refused...)
}

func derive(ctx context.Context, c Chain) (Input, error) {
	if c.Derive == nil {
		return Input{}, failed("a hook before it changed the input")
	}
	in, err := c.Derive(ctx, c.Input)
	if err != nil {
		return Input{}, &failure{"what a hook before it made of the input cannot be understood", err}
	}
	return in, nil
}

// withInput is in with another tool input.
func withInput(in Input, raw json.RawMessage) Input {
	if in.Tool == nil {
		return in
	}
	tool := *in.Tool
	tool.Input = raw
	in.Tool = &tool
	return in
}
