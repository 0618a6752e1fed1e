package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"agentprocess/internal/agent"
	"agentprocess/internal/audit"
	"agentprocess/internal/hook"
	"agentprocess/internal/scripted"
)

// heard says whether text reached the model.
func (s *session) heard(text string) bool {
	for _, r := range s.api.Requests() {
		if strings.Contains(string(r.Body), text) {
			return true
		}
	}
	return false
}

func (s *session) exists(name string) bool {
	_, err := os.Stat(filepath.Join(s.dir, name))
	return err == nil
}

// What a decision says besides yes and no really reaches tools and model.
func TestClaudeDoesWhatADecisionSays(t *testing.T) {
	s := newSession(t, one(
		scripted.Turn{Tools: append(tool("Bash", map[string]any{"command": "touch original", "description": "d"}),
			tool("Write", map[string]any{"file_path": "small", "content": "x"})...)},
		scripted.Turn{Tools: append(tool("Bash", map[string]any{"command": "true # misfit"}), tool("Bash", map[string]any{"command": "exit 3 # changed"})...)},
		scripted.Turn{Text: "done"}, scripted.Turn{Text: "really done"},
	))
	big := strings.Repeat("bigx", hook.MaxInput/4-100)
	input := func(v map[string]any) json.RawMessage {
		data, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		return data
	}
	s.server.Decide = func(ctx context.Context, c hook.Call, talk hook.Talk) hook.Decision {
		at, err := talk.Resolve(ctx, []string{"x/../y"})
		d := hook.Decision{Allow: err == nil && at["x/../y"] != "", Rule: "test", Context: "CONTEXT-" + c.Event}
		in := string(c.Input)
		switch {
		case c.Event == hook.EventStop:
			return hook.Decision{Allow: c.StopActive, Rule: "test", Reason: "GO-ON", Context: "CONTEXT-ALLOWED-STOP"}
		case c.Event == hook.EventPostToolUse && c.Tool == "Write":
			return hook.Decision{Rule: "test", Reason: "NOT-NICE"}
		case c.Event != hook.EventPreToolUse:
		case strings.Contains(in, "original"):
			if err := talk.Hold(ctx, time.Minute); err != nil {
				return hook.Decision{Reason: err.Error()}
			}
			d.Input = input(map[string]any{"command": "touch changed"})
		case strings.Contains(in, "small"):
			d.Input = input(map[string]any{"file_path": filepath.Join(s.dir, "big"), "content": big})
		case strings.Contains(in, "misfit"):
			d.Input = input(map[string]any{"no": "command"})
		default:
			d.Input = input(map[string]any{"command": "exit 4"})
		}
		return d
	}
	o := s.run(t.Context(), agent.Request{Goal: "try"})
	if o.err != nil || o.result.Text != "really done" {
		t.Fatalf("run: %v, %+v\n%s", o.err, o.result, o.raw)
	}
	if s.exists("original") || !s.exists("changed") || s.exists("small") {
		t.Error("the original ran")
	}
	if data, err := os.ReadFile(filepath.Join(s.dir, "big")); err != nil || string(data) != big {
		t.Errorf("%d bytes were written: %v", len(data), err)
	}
	for _, text := range []string{"CONTEXT-PreToolUse", "CONTEXT-PostToolUse", "CONTEXT-PostToolUseFailure", "CONTEXT-UserPromptSubmit", "CONTEXT-SessionStart", "NOT-NICE", "GO-ON", "Exit code 4"} {
		if !s.heard(text) {
			t.Errorf("the model was not told %q", text)
		}
	}
	if s.heard("CONTEXT-ALLOWED-STOP") {
		t.Error("an allowed end of a turn has a context")
	}
	for _, v := range find(s.record.payloads(), func(v audit.Verdict) bool { return v.Event == hook.EventPreToolUse }) {
		if !v.Modified || v.UpdatedHash == "" || v.UpdatedHash == v.InputHash {
			t.Errorf("verdict %+v", v)
		}
	}
}

// A hundred calls in one turn are asked about once each, and none is missed.
func TestClaudeCallsAHundredToolsAtOnce(t *testing.T) {
	var tools []scripted.Tool
	for i := range 100 {
		tools = append(tools, tool("Read", map[string]any{"file_path": fmt.Sprintf("f%d", i)})...)
	}
	s := newSession(t, one(scripted.Turn{Tools: tools}, scripted.Turn{Text: "done"}))
	for i := range 100 {
		s.write(filepath.Join(s.dir, fmt.Sprintf("f%d", i)), []byte("x\n"))
	}
	o := s.run(t.Context(), agent.Request{Goal: "read"})
	if o.err != nil {
		t.Fatalf("run: %v\n%.4000s", o.err, o.raw)
	}
	seen := map[string]int{}
	for _, v := range find(s.record.payloads(), func(v audit.Verdict) bool { return v.Event == hook.EventPreToolUse }) {
		seen[v.ToolUseID]++
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was judged %d times", id, n)
		}
	}
	if len(seen) != 100 {
		t.Errorf("%d calls were judged", len(seen))
	}
	if got := find(o.payloads, func(r audit.ToolResult) bool { return !r.IsError }); len(got) != 100 {
		t.Errorf("%d tools ran", len(got))
	}
}

// Where a hook is killed the CLI runs the tool: the first result ends the run,
// whatever it says.
func TestClaudeWhoseHooksAreKilled(t *testing.T) {
	tests := map[string]struct {
		command string
		answer  hook.Decision
	}{
		"denied, and it works":           {"touch ran", hook.Decision{Reason: "no"}},
		"denied, and it fails":           {"touch ran; exit 1", hook.Decision{Reason: "no"}},
		"allowed, as something else":     {"touch ran", hook.Decision{Allow: true, Input: json.RawMessage(`{"command":"true"}`)}},
		"allowed, as another that fails": {"touch ran; exit 1", hook.Decision{Allow: true, Input: json.RawMessage(`{"command":"true"}`)}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSession(t, one(scripted.Turn{Tools: tool("Bash", map[string]any{"command": tt.command})}, scripted.Turn{Text: "ok"}))
			s.server.Decide = func(_ context.Context, c hook.Call, _ hook.Talk) hook.Decision {
				if c.Event != hook.EventPreToolUse {
					return hook.Decision{Allow: true}
				}
				if err := syscall.Kill(c.Peer.PID, syscall.SIGKILL); err != nil {
					t.Error(err)
				}
				return tt.answer
			}
			o := s.run(t.Context(), agent.Request{Goal: "try"})
			if !s.exists("ran") {
				t.Errorf("the killed hook did not let the tool run: the test shows nothing\n%s", o.raw)
			}
			if o.err == nil || !strings.Contains(o.err.Error(), hook.ErrIgnoredDenial.Error()) && !strings.Contains(o.err.Error(), hook.ErrNotModified.Error()) {
				t.Errorf("the tool ran, and the run ended with %v\n%s", o.err, o.raw)
			}
		})
	}
}

// A session that is taken up again, in one run, goes through the same hooks and
// receipts: what was judged before counts as before.
func TestClaudeThatIsResumed(t *testing.T) {
	s := newSession(t, one(
		scripted.Turn{Tools: tool("Bash", map[string]any{"command": "touch one"})},
		scripted.Turn{Text: "first"},
		scripted.Turn{Tools: append(tool("Bash", map[string]any{"command": "touch two"}), tool("Bash", map[string]any{"command": "touch forbidden"})...)},
		scripted.Turn{Text: "second"},
	))
	s.server.Decide = func(_ context.Context, c hook.Call, _ hook.Talk) hook.Decision {
		return hook.Decision{Allow: !strings.Contains(string(c.Input), "forbidden"), Rule: "test", Reason: "NOT-THIS"}
	}
	first := s.run(t.Context(), agent.Request{Goal: "begin"})
	if first.err != nil || first.result.Text != "first" || first.result.Session == "" {
		t.Fatalf("run: %v, %+v\n%s", first.err, first.result, first.raw)
	}
	second := s.run(t.Context(), agent.Request{Goal: "go on"}, "--resume", first.result.Session)
	if second.err != nil || second.result.Text != "second" {
		t.Fatalf("resumed: %v, %+v\n%s", second.err, second.result, second.raw)
	}
	if !s.exists("one") || !s.exists("two") || s.exists("forbidden") || !s.heard("NOT-THIS") {
		t.Errorf("one %t, two %t, forbidden %t, told %t", s.exists("one"), s.exists("two"), s.exists("forbidden"), s.heard("NOT-THIS"))
	}
	seen := map[string]int{}
	for _, v := range find(s.record.payloads(), func(v audit.Verdict) bool { return v.Event == hook.EventPreToolUse }) {
		seen[v.ToolUseID]++
	}
	if len(seen) != 3 {
		t.Errorf("receipts: %v, want one for each of 3 calls", seen)
	}
}
