package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/policy"
)

// DeniedHeader carries the id of a denial in the response that tells of it.
const DeniedHeader = "X-Agent-Process-Denied"

// flow is one connection or request from its start to its record.
type flow struct {
	server   *Server
	rec      audit.Request
	start    time.Time
	up, down tally
	// done is set when the record is written, or is not to be: the requests
	// inside have their own.
	done bool
}

func (s *Server) begin(path string) *flow {
	return &flow{server: s, start: s.now(), rec: audit.Request{ID: s.nextID(), Path: path, Verdict: audit.Allow}}
}

// end writes the record, once.
func (f *flow) end() {
	if f.done {
		return
	}
	f.done = true
	for _, t := range []*tally{&f.up, &f.down} {
		if d := t.cut.Load(); d != nil {
			f.deny(d)
		}
	}
	f.rec.Up, f.rec.Down = f.up.Load(), f.down.Load()
	f.rec.Duration = f.server.now().Sub(f.start)
	f.server.record(f.rec)
}

func (f *flow) target(host string, port uint16) { f.rec.Host, f.rec.Port = host, port }

// deny notes the denial.
func (f *flow) deny(d *denied) {
	f.rec.Verdict, f.rec.Rule = audit.Deny, ""
	f.rec.Reason, f.rec.Fix = d.reason, d.fix
	if d.addr.IsValid() {
		f.rec.Address = d.addr.String()
	}
}

// fail notes that what was allowed did not work, or that it was cut.
func (f *flow) fail(ctx context.Context, err error) {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errNarrowed):
		err = errNarrowed
	case cause != nil, f.server.ending():
		return // the run or the client ended it
	}
	if err == nil || f.rec.Error != "" {
		return
	}
	if d, ok := errors.AsType[*denied](err); ok {
		f.deny(d)
		return
	}
	f.rec.Error = err.Error()
}

// denied is a decision against something. As an error it comes out of a dial.
type denied struct {
	reason string
	fix    string // a rule to add, or an option that starts with "--"
	status int    // 0: 403
	addr   netip.Addr
}

// Error implements error.
func (d *denied) Error() string { return d.reason }

func refusal(reason string) *denied { return &denied{reason: reason} }

func malformed(err error) *denied {
	return &denied{reason: "malformed request: " + err.Error(), status: http.StatusBadRequest}
}

// decide asks the policy and says by which rule it is allowed.
func (s *Server) decide(f *flow, q policy.Request) (policy.Rule, *denied) {
	d := s.policy.Load().DecideUnless(q, s.uses.spent)
	if !d.Allowed() {
		return d.Rule, &denied{reason: d.Reason, fix: d.Fix}
	}
	f.rec.Rule, f.rec.Fix = d.Rule.Cite(), d.Fix
	return d.Rule, nil
}

// use is decide for what then counts against the rule's budget.
func (s *Server) use(f *flow, q policy.Request) (policy.Rule, *denied) {
	for {
		r, d := s.decide(f, q)
		if d != nil || s.uses.take(r) {
			s.uses.bind(f, r)
			return r, d
		}
	}
}

// statusText is the reason phrase of a denial: some clients show nothing else.
func (f *flow) statusText() string { return "Denied by agent-process (" + f.rec.ID + ")" }

// explain is the body of a denial, for the agent to read.
func (f *flow) explain(d *denied) string {
	var b strings.Builder
	what := "this request"
	switch {
	case f.rec.Host != "" && f.rec.Port != 0:
		what = fmt.Sprintf("%s:%d", printable(f.rec.Host), f.rec.Port)
	case f.rec.Host != "":
		what = printable(f.rec.Host)
	}
	fmt.Fprintf(&b, "agent-process denied %s (%s)\n", what, f.rec.ID)
	fmt.Fprintf(&b, "reason: %s\n", printable(d.reason))
	switch {
	case strings.HasPrefix(d.fix, "--"):
		fmt.Fprintf(&b, "fix: a person can start the agent with %s\n", d.fix)
	case d.fix != "":
		fmt.Fprintf(&b, "fix: a person can add %q to .agent-process/allowlist or start the agent with --allow %s\n", d.fix, d.fix)
		if f.server.cfg.Agent != "" {
			fmt.Fprintf(&b, "while it runs: %s\n", policy.AllowCommand(f.server.cfg.Agent, d.fix, f.rec.ID))
		}
	}
	return b.String()
}

// printable keeps hostile text on its line.
func printable(s string) string {
	const most = 300
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
