package report

import (
	"fmt"
	"net"
	"strconv"

	"agentprocess/internal/audit"
	"agentprocess/internal/sandbox"
)

// distinct bounds how many different hosts, tools and so on a digest tells
// apart; those beyond go under others.
const distinct = 500

// others is the entry for what is no longer told apart.
const others = "(others)"

// Digest is what a run's events come down to.
type Digest struct {
	Phases  []audit.Phase  `json:"phases"`
	Notices []audit.Notice `json:"notices"` // warnings
	Tools   []ToolUse      `json:"tools"`
	Network []HostUse      `json:"network"`
	Denials []Denial       `json:"denials"`
	Warned  []Denial       `json:"warned"` // let through, with a warning
	Asked   []Asked        `json:"asked"`
	Commits []audit.Commit `json:"commits"`
	Held    []audit.Held   `json:"held"`
	Flagged []string       `json:"flagged"` // changed paths that run on the host
	Cost    sandbox.Cost   `json:"cost"`

	calls map[string]string // open tool calls, id to tool
}

// ToolUse counts the calls of one tool.
type ToolUse struct {
	Name   string `json:"name"`
	Calls  int    `json:"calls"`
	Errors int    `json:"errors"`
}

// HostUse sums up the connections to one host.
type HostUse struct {
	Host    string `json:"host"`
	Verdict string `json:"verdict"`
	Count   int    `json:"count"`
	Errors  int    `json:"errors"` // allowed, but the network failed
	Up      int64  `json:"up"`
	Down    int64  `json:"down"`
}

// Denial is something that was refused or warned of, as often as it was.
type Denial struct {
	What   string `json:"what"` // "evil.example:443", or a tool
	Rule   string `json:"rule,omitempty"`
	Reason string `json:"reason,omitempty"`
	Fix    string `json:"fix,omitempty"`
	By     string `json:"by,omitempty"` // who said no, when it was asked
	ID     string `json:"id"`           // of the first one
	Count  int    `json:"count"`
}

// Asked is a question to a person and its answer.
type Asked struct {
	ID       string `json:"id"`
	Subject  string `json:"subject"`
	Rule     string `json:"rule"`
	Decision string `json:"decision,omitempty"` // empty while there is none
	By       string `json:"by,omitempty"`

	call string
}

// NewDigest makes an empty digest.
func NewDigest() *Digest {
	return &Digest{
		Phases: []audit.Phase{}, Notices: []audit.Notice{}, Tools: []ToolUse{}, Network: []HostUse{},
		Denials: []Denial{}, Warned: []Denial{}, Asked: []Asked{}, Commits: []audit.Commit{}, Held: []audit.Held{},
		Flagged: []string{}, calls: map[string]string{},
	}
}

// DigestOf sums up events read from the store. Events of kinds that this
// binary does not know are left out.
func DigestOf(events []audit.Event) *Digest {
	d := NewDigest()
	for _, e := range events {
		if p, err := audit.Decode(e); err == nil {
			d.Add(p)
		}
	}
	return d
}

// Add takes in one event's payload.
func (d *Digest) Add(p audit.Payload) {
	switch p := p.(type) {
	case audit.Phase:
		d.Phases = keep(d.Phases, p)
	case audit.Notice:
		if p.Level == audit.Warn {
			d.Notices = keep(d.Notices, p)
		}
	case audit.ToolCall:
		d.tool(p.Name).Calls++
		if len(d.calls) < distinct {
			d.calls[p.ID] = p.Name
		}
	case audit.ToolResult:
		if name, ok := d.calls[p.ID]; ok && p.IsError {
			d.tool(name).Errors++
		}
		delete(d.calls, p.ID)
	case audit.Verdict:
		d.verdict(p)
	case audit.Question:
		d.Asked = keep(d.Asked, Asked{ID: p.ID, Subject: p.Subject, Rule: p.Rule, call: p.ToolUseID})
	case audit.Held:
		d.Held = keep(d.Held, p)
	case audit.Request:
		d.request(p)
	case audit.Commit:
		d.Commits = keep(d.Commits, p)
	case audit.Usage:
		d.Cost = p.Cost
	case audit.Outcome:
		d.Flagged = append(d.Flagged, p.Flagged...)
	}
}

func keep[T any](list []T, one T) []T {
	if len(list) >= distinct {
		return list
	}
	return append(list, one)
}

func (d *Digest) request(r audit.Request) {
	if r.Rule == audit.ProofRule {
		return
	}
	h := d.host(r.Host, r.Verdict)
	h.Count++
	h.Up, h.Down = h.Up+r.Up, h.Down+r.Down
	if r.Error != "" {
		h.Errors++
	}
	if r.Verdict == audit.Deny {
		d.Denials = counted(d.Denials, Denial{What: requestTarget(r), Rule: r.Rule, Reason: r.Reason, Fix: r.Fix, ID: r.ID})
	}
}

// verdict counts what was refused or warned of, and finds the question that it
// answers.
func (d *Digest) verdict(v audit.Verdict) {
	if v.Rule == audit.ProofRule || v.Rule == audit.MessageRule {
		return
	}
	what := Denial{What: verdictTarget(v), Rule: v.Rule, Reason: v.Reason, By: v.By, ID: v.ID}
	switch {
	case v.Decision == audit.Deny:
		d.Denials = counted(d.Denials, what)
	case v.Action == audit.ActionWarn:
		d.Warned = counted(d.Warned, what)
	}
	for i := range d.Asked {
		if one := &d.Asked[i]; one.Decision == "" && one.call != "" && one.call == v.ToolUseID {
			one.Decision, one.By = v.Decision, v.By
		}
	}
}

// counted adds a denial to a list; those of the same target by the same rule
// are one.
func counted(list []Denial, n Denial) []Denial {
	full := len(list) >= distinct
	for i := range list {
		known := &list[i]
		if known.What == n.What && known.Rule == n.Rule || full && known.What == others {
			known.Count++
			return list
		}
	}
	if full {
		n = Denial{What: others, ID: n.ID}
	}
	n.Count = 1
	return append(list, n)
}

// Denied is how often something was refused.
func (d *Digest) Denied() int {
	n := 0
	for _, one := range d.Denials {
		n += one.Count
	}
	return n
}

func (d *Digest) tool(name string) *ToolUse {
	return entry(&d.Tools, func(t ToolUse) string { return t.Name }, name, func(name string) ToolUse { return ToolUse{Name: name} })
}

func (d *Digest) host(host, verdict string) *HostUse {
	key := func(h HostUse) string { return h.Verdict + " " + h.Host }
	return entry(&d.Network, key, verdict+" "+host, func(k string) HostUse {
		if k == others {
			return HostUse{Host: others}
		}
		return HostUse{Host: host, Verdict: verdict}
	})
}

// entry finds or makes the entry with a key; a full list has one for the rest.
func entry[T any](list *[]T, keyOf func(T) string, key string, fresh func(string) T) *T {
	for i := range *list {
		if keyOf((*list)[i]) == key {
			return &(*list)[i]
		}
	}
	rest := fresh(others)
	if len(*list) == distinct+1 {
		return &(*list)[distinct]
	}
	if len(*list) == distinct {
		*list = append(*list, rest)
	} else {
		*list = append(*list, fresh(key))
	}
	return &(*list)[len(*list)-1]
}

// requestTarget names what a request wanted to reach.
func requestTarget(r audit.Request) string {
	if r.Port == 0 {
		return fmt.Sprintf("%s (%s)", r.Host, r.Path)
	}
	return net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port)))
}

// verdictTarget names what a verdict was about.
func verdictTarget(v audit.Verdict) string {
	if v.Tool != "" {
		return v.Tool
	}
	return v.Event
}
