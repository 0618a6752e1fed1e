package audit

import "time"

// Question is something that a policy asked a person, written when it was put.
// The verdict on the call has the answer.
type Question struct {
	ID         string    `json:"id"`                    // what `policy answer` takes
	ToolUseID  string    `json:"tool_use_id,omitempty"` // of the call that waits
	Subject    string    `json:"subject"`               // "Bash: git push origin x"
	Rule       string    `json:"rule"`
	Source     string    `json:"source,omitempty"` // where the rule stands
	Reason     string    `json:"reason,omitempty"`
	Deadline   time.Time `json:"deadline,omitzero"`
	Unattended bool      `json:"unattended,omitempty"` // denied at once
}

// EventKind implements Payload.
func (Question) EventKind() string { return "question" }
