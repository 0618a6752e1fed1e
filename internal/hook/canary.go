package hook

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
)

// CanaryTool is the tool that no policy ever allows.
const CanaryTool = "AgentProcessCanary"

// canaryState remembers that this run's canary was denied and recorded.
type canaryState struct {
	mu     sync.Mutex
	denied bool
}

// Canary is what to hand `agent-process hook` on stdin, inside the sandbox, to
// prove before the agent starts that a denial gets through. See CanaryProved.
func (s *Server) Canary() ([]byte, error) {
	return json.Marshal(map[string]any{
		"hook_event_name": EventPreToolUse, "session_id": "canary", "cwd": "/", "tool_name": CanaryTool,
		"tool_use_id": "canary-" + s.Nonce, "tool_input": map[string]string{"nonce": s.Nonce},
	})
}

// CanaryProved says whether the canary did what it must: the client ended with
// exit, and it was this server that denied and recorded this run's nonce.
func (s *Server) CanaryProved(exit int) error {
	s.canary.mu.Lock()
	denied := s.canary.denied
	s.canary.mu.Unlock()
	switch {
	case exit != exitDeny:
		return fmt.Errorf("the canary's hook ended with status %d: want %d", exit, exitDeny)
	case !denied:
		return errors.New("the canary's hook denied without asking the gateway")
	default:
		return s.Recorder.Err()
	}
}

// judgeCanary denies the canary tool, whoever calls it.
func (s *Server) judgeCanary(c Call) (Decision, bool) {
	if c.Tool != CanaryTool {
		return Decision{}, false
	}
	var input struct {
		Nonce string `json:"nonce"`
	}
	own := json.Unmarshal(c.Input, &input) == nil && s.Nonce != "" && c.Event == EventPreToolUse &&
		subtle.ConstantTimeCompare([]byte(input.Nonce), []byte(s.Nonce)) == 1
	if own {
		s.canary.mu.Lock()
		s.canary.denied = true
		s.canary.mu.Unlock()
	}
	return Decision{Rule: "canary", Reason: "the canary is always denied"}, true
}
