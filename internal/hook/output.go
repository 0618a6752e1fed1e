package hook

import (
	"encoding/json"
	"errors"
	"fmt"
)

// specific is what the CLI reads on a hook's stdout, as far as we use it. Tried
// with 2.1.197: updatedInput replaces the whole input (what is not in it is
// gone) and is checked against the tool's schema, and one that is no object is
// ignored, so that the original runs.
type specific struct {
	Event    string          `json:"hookEventName"`
	Decision string          `json:"permissionDecision,omitempty"`
	Input    json.RawMessage `json:"updatedInput,omitempty"`
	Context  string          `json:"additionalContext,omitempty"`
}

// takesContext says which events hand additionalContext to the model. Stop does
// too, but goes on working then, which a denial is for.
func takesContext(event string) bool {
	switch event {
	case EventPreToolUse, EventPostToolUse, EventPostToolUseFailure, eventPrompt, eventSessionStart:
		return true
	default:
		return false
	}
}

// output is what an allowed event's client prints for the CLI.
func output(event []byte, a answer) ([]byte, error) {
	c, err := ParseCall(event)
	if err != nil {
		return nil, err
	}
	s := specific{Event: c.Event, Input: a.Input, Context: a.Context}
	switch {
	case a.Input != nil && c.Event != EventPreToolUse:
		return nil, fmt.Errorf("answer with an input to %q", c.Event)
	case a.Context != "" && !takesContext(c.Event):
		return nil, fmt.Errorf("answer with context to %q", c.Event)
	case a.Input != nil:
		s.Decision = allow
	}
	out, err := json.Marshal(map[string]specific{"hookSpecificOutput": s})
	if err != nil {
		return nil, err
	}
	if len(out) > 2*maxFrame {
		return nil, errors.New("answer too long for the CLI")
	}
	return append(out, '\n'), nil
}
