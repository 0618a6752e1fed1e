package audit

import "time"

// EgressRule is a line of what a run may reach, and where it stands.
type EgressRule struct {
	Rule   string `json:"rule"` // in the grammar of docs/egress.md
	Layer  string `json:"layer"`
	Source string `json:"source,omitempty"`
	Line   int    `json:"line,omitempty"`
}

// EgressRules is the whole list that a run starts with.
type EgressRules struct {
	Rules []EgressRule `json:"rules"`
}

// EgressChange is a change of that list while the run goes on, or one that was
// refused and changed nothing.
type EgressChange struct {
	ID     string     `json:"id"`
	Action string     `json:"action"` // Allow or Deny
	Scope  string     `json:"scope"`  // "once", "run", "project"
	Rule   EgressRule `json:"rule"`   // the line that is added
	// Gone are lines that the change took back.
	Gone  []EgressRule `json:"gone,omitempty"`
	By    string       `json:"by"`             // who asked for it
	Asked time.Time    `json:"asked,omitzero"` // when
	Cut   int          `json:"cut,omitempty"`  // connections that were under way and are no longer allowed
	Error string       `json:"error,omitempty"`
}

// EventKind implements Payload.
func (EgressRules) EventKind() string { return "egress_rules" }

// EventKind implements Payload.
func (EgressChange) EventKind() string { return "egress_change" }
