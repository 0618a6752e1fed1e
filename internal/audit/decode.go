package audit

import (
	"encoding/json"
	"fmt"
)

// ProofRule is the rule of the requests and verdicts that the supervisor's own
// proof provoked before the agent started: recorded, but nobody's denial.
const ProofRule = "canary"

// MessageRule is the rule of the verdict by which an agent that would end its
// turn is given what the person has sent it: that is no denial.
const MessageRule = "message"

// Decode is the typed payload of e, also of an event that was read back. An
// event of a kind that this binary does not know is an error.
func Decode(e Event) (Payload, error) {
	if e.Payload != nil {
		return e.Payload, nil
	}
	switch e.Kind {
	case Phase{}.EventKind():
		return decode[Phase](e)
	case Notice{}.EventKind():
		return decode[Notice](e)
	case Say{}.EventKind():
		return decode[Say](e)
	case Output{}.EventKind():
		return decode[Output](e)
	case ToolCall{}.EventKind():
		return decode[ToolCall](e)
	case ToolResult{}.EventKind():
		return decode[ToolResult](e)
	case Verdict{}.EventKind():
		return decode[Verdict](e)
	case Question{}.EventKind():
		return decode[Question](e)
	case OwnHook{}.EventKind():
		return decode[OwnHook](e)
	case Held{}.EventKind():
		return decode[Held](e)
	case EgressRules{}.EventKind():
		return decode[EgressRules](e)
	case EgressChange{}.EventKind():
		return decode[EgressChange](e)
	case Request{}.EventKind():
		return decode[Request](e)
	case Commit{}.EventKind():
		return decode[Commit](e)
	case Usage{}.EventKind():
		return decode[Usage](e)
	case Outcome{}.EventKind():
		return decode[Outcome](e)
	default:
		return nil, fmt.Errorf("event %d: unknown kind %q", e.Seq, e.Kind)
	}
}

func decode[P Payload](e Event) (Payload, error) {
	var p P
	if err := json.Unmarshal(e.Data, &p); err != nil {
		return nil, fmt.Errorf("event %d: decode %s: %w", e.Seq, e.Kind, err)
	}
	return p, nil
}
