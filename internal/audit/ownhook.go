package audit

import "time"

// OwnHook is what one of the project's own hooks made of a call.
type OwnHook struct {
	Hook      string `json:"hook"`  // "pre-bash"
	Event     string `json:"event"` // "PreToolUse"
	Tool      string `json:"tool,omitempty"`
	ToolUseID string `json:"tool_use_id,omitempty"`
	Decision  string `json:"decision"` // "allow", "ask", "deny"
	Reason    string `json:"reason,omitempty"`
	// Observed is set for a hook that only watches: Reason is what it would
	// have denied for.
	Observed bool     `json:"observed,omitempty"`
	Failure  string   `json:"failure,omitempty"`  // why it has no answer of its own
	Modified bool     `json:"modified,omitempty"` // it changed the tool's input
	Changed  []string `json:"changed,omitempty"`  // files it changed

	Duration time.Duration `json:"duration_ns"`
}

// EventKind implements Payload.
func (OwnHook) EventKind() string { return "own-hook" }
