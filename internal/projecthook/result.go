package projecthook

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Decision is a hook's answer. Everything but Allow and Ask denies.
type Decision string

// The decisions there are.
const (
	Allow Decision = "allow"
	Ask   Decision = "ask"
	Deny  Decision = "deny"
)

// Result is what became of one call of a hook; the zero value denies.
type Result struct {
	Hook     string
	Decision Decision
	// Reason is for the model when it is not allowed, and for the person who is
	// asked; safe to show, with newlines.
	Reason string
	// Input replaces the tool's input; nil leaves it.
	Input json.RawMessage
	// Context is told to the model besides.
	Context string
	// Changes are the files that post-writes changed.
	Changes []Change
	// Refused are other things it changed, each with why they were left out.
	Refused []string
	// Observed is set for a hook that only watches: its answer had no effect,
	// and Reason says what it would have been.
	Observed bool
	// Failure says, for the record, what went wrong when the hook did not get to
	// an answer of its own.
	Failure  string
	Duration time.Duration
}

// Change is a file that a hook changed.
type Change struct {
	Path string // absolute, inside
	Data []byte
	Mode uint32 // permission bits
}

// failure is why a hook has no answer.
type failure struct {
	what   string // for the model too
	detail error  // for the record: it may name places of this machine
}

// Error implements error.
func (f *failure) Error() string {
	if f.detail == nil {
		return f.what
	}
	return f.what + ": " + f.detail.Error()
}

// Unwrap gives the cause.
func (f *failure) Unwrap() error { return f.detail }

// failed makes a failure without more to know of it.
func failed(format string, args ...any) error { return &failure{what: fmt.Sprintf(format, args...)} }

// deny turns why a hook has no answer into a denial.
func deny(name string, err error, stderr *excerpt) Result {
	what := "it could not be run"
	if f, ok := errors.AsType[*failure](err); ok {
		what = f.what
	}
	r := Result{Hook: name, Decision: Deny, Failure: visible(err.Error())}
	r.Reason = bound(fmt.Sprintf("the project's hook %s did not judge this call, so it is denied: %s", name, visible(what)))
	if last := stderr.last(); last != "" {
		r.Reason = bound(r.Reason + "\nits last words:\n" + last)
	}
	return r
}

// observed takes the effect from a result.
func observed(r Result) Result {
	o := Result{Hook: r.Hook, Decision: Allow, Observed: true, Failure: r.Failure, Duration: r.Duration}
	if r.Decision != Allow {
		o.Reason = r.Reason
	}
	return o
}

// joined puts texts on lines of their own, without the empty ones.
func joined(texts ...string) string {
	var kept []string
	for _, t := range texts {
		if t != "" {
			kept = append(kept, t)
		}
	}
	return strings.Join(kept, "\n")
}
