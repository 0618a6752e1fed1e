package agent_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentprocess/internal/agent"
	"agentprocess/internal/audit"
	"agentprocess/internal/hook"
	"agentprocess/internal/scripted"
)

func TestClaudeWritesAFile(t *testing.T) {
	s := newSession(t, one(
		scripted.Turn{Text: "I write it.", Tools: tool("Write", map[string]any{"file_path": "hello.txt", "content": "hi\n"})},
		scripted.Turn{Text: "Written."},
	))
	o := s.run(t.Context(), agent.Request{Goal: "-p --version: write hello", Credential: agent.StandIn{Env: "CLAUDE_CODE_OAUTH_TOKEN", Value: "sk-ant-oat01-placeholder"}})
	if o.err != nil {
		t.Fatalf("run: %v\n%s", o.err, o.raw)
	}
	if data, err := os.ReadFile(filepath.Join(s.dir, "hello.txt")); err != nil || string(data) != "hi\n" {
		t.Errorf("hello.txt = %q, %v", data, err)
	}
	if !o.result.Ended || o.result.Failed || o.result.Text != "Written." || o.result.Version != agent.PinnedVersion || o.result.Session == "" {
		t.Errorf("result = %+v", o.result)
	}
	if o.result.Cost.InputTokens == 0 || o.result.Cost.OutputTokens == 0 || o.result.Cost.Turns == 0 || o.result.Cost.USD <= 0 {
		t.Errorf("cost = %+v", o.result.Cost)
	}
	for _, r := range s.api.Requests() {
		if r.Method == http.MethodPost && r.Header.Get("Authorization") != "Bearer sk-ant-oat01-placeholder" {
			t.Errorf("%s %s came with Authorization %q", r.Method, r.Path, r.Header.Get("Authorization"))
		}
		if r.Method == http.MethodPost && !strings.HasPrefix(r.Path, "/v1/messages") {
			t.Errorf("asked for %s %s", r.Method, r.Path)
		}
	}
	if first := s.api.Requests(); !strings.Contains(string(first[len(first)-1].Body), "-p --version: write hello") {
		t.Error("the goal did not reach the model as it is")
	}
	receipts := find(s.record.payloads(), func(v audit.Verdict) bool { return v.Event == hook.EventPreToolUse })
	if len(receipts) != 1 || receipts[0].Tool != "Write" || receipts[0].Decision != audit.Allow || receipts[0].PID == 0 {
		t.Errorf("receipts = %+v", receipts)
	}
	if n := len(find(s.record.payloads(), func(v audit.Verdict) bool { return v.Event == hook.EventStop })); n != 1 {
		t.Errorf("Stop events = %d", n)
	}
}

// Everything a model may come up with is judged or not run, and the comparison
// of transcript and receipts holds: relative and home paths, values of another
// type, subagents, tools that fail, do not exist or do not fit.
func TestClaudeCallsAllHaveReceipts(t *testing.T) {
	script := scripted.Script{Conversations: []scripted.Conversation{
		{Name: "subagent", Match: scripted.Match{Contains: "SUBAGENT"}, Turns: []scripted.Turn{
			{Text: "below", Tools: tool("Bash", map[string]any{"command": "echo below > below.txt"})}, {Text: "below done"},
		}},
		{Name: "main", Turns: []scripted.Turn{
			{Tools: append(tool("Read", map[string]any{"file_path": "./a.go", "limit": "5", "offset": 1.0}), tool("Read", map[string]any{"file_path": "~/.claude.json"})...)},
			{Tools: tool("Edit", map[string]any{"file_path": "x/../a.go", "old_string": "aa", "new_string": "é\u2028 \x01x", "replace_all": "true"})},
			{Tools: append(tool("Bash", map[string]any{"command": "cd {{cwd}} && false"}), tool("Bash", map[string]any{"command": "mkdir -p d; cd d"})...)},
			{Tools: append(tool("Nope", map[string]any{"x": 1}), tool("Read", map[string]any{"bogus": true})...)},
			{Tools: tool("Edit", map[string]any{"file_path": "{{cwd}}/unread.go", "old_string": "a", "new_string": "b"})},
			{Tools: append(tool("Task", map[string]any{"description": "s", "prompt": "SUBAGENT one", "subagent_type": "general-purpose"}),
				tool("Agent", map[string]any{"description": "s", "prompt": "SUBAGENT one", "subagent_type": "general-purpose"})...)},
			{Tools: append(tool("TaskCreate", map[string]any{"subject": "s", "description": "d"}), tool("Skill", map[string]any{"skill": "init"})...)},
			{Tools: tool("Bash", map[string]any{"command": "echo bg", "run_in_background": true})},
			{Text: "all done"},
		}},
	}}
	s := newSession(t, script)
	for _, name := range []string{"a.go", "unread.go"} {
		s.write(filepath.Join(s.dir, name), []byte("aa\n"))
	}
	o := s.run(t.Context(), agent.Request{Goal: "everything"})
	if o.err != nil {
		t.Fatalf("run: %v\n%s", o.err, o.raw)
	}
	calls := find(o.payloads, func(audit.ToolCall) bool { return true })
	results := find(o.payloads, func(audit.ToolResult) bool { return true })
	if len(calls) != 15 || len(results) != 15 {
		t.Errorf("%d calls, %d results: want 15 of each\n%s", len(calls), len(results), o.raw)
	}
	judged := find(s.record.payloads(), func(v audit.Verdict) bool { return v.Event == hook.EventPreToolUse })
	if len(judged) != 12 {
		t.Errorf("%d calls were judged: want 12", len(judged))
	}
	if below := find(o.payloads, func(c audit.ToolCall) bool { return c.Parent != "" }); len(below) != 2 {
		t.Errorf("calls of subagents = %+v", below)
	}
	saveTranscript(t, "everything.jsonl", s, o.raw)
}

func TestClaudeIsToldOfADenial(t *testing.T) {
	s := newSession(t, one(
		scripted.Turn{Tools: append(tool("Bash", map[string]any{"command": "touch forbidden"}), tool("Bash", map[string]any{"command": "touch allowed"})...)},
		scripted.Turn{Tools: tool(hook.CanaryTool, map[string]any{"nonce": "x"})},
		scripted.Turn{Text: "I see."},
	))
	s.server.Decide = func(_ context.Context, c hook.Call, _ hook.Talk) hook.Decision {
		if strings.Contains(string(c.Input), "forbidden") {
			return hook.Decision{Rule: "test", Reason: "touching it is against the rules"}
		}
		return hook.Decision{Allow: true, Rule: "test"}
	}
	o := s.run(t.Context(), agent.Request{Goal: "try"})
	if o.err != nil {
		t.Fatalf("run: %v\n%s", o.err, o.raw)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "forbidden")); err == nil {
		t.Error("the denied command ran")
	}
	if _, err := os.Stat(filepath.Join(s.dir, "allowed")); err != nil {
		t.Errorf("the allowed command did not run: %v", err)
	}
	told := false
	for _, r := range s.api.Requests() {
		told = told || strings.Contains(string(r.Body), "touching it is against the rules")
	}
	if !told {
		t.Error("the model was not told why")
	}
	saveTranscript(t, "denied.jsonl", s, o.raw)
}

// A gateway that is gone denies; the run goes on without running anything.
func TestClaudeWithoutAGateway(t *testing.T) {
	s := newSession(t, one(
		scripted.Turn{Tools: tool("Bash", map[string]any{"command": "touch ran"})},
		scripted.Turn{Text: "ok"},
	))
	if err := os.Remove(s.socket); err != nil {
		t.Fatal(err)
	}
	o := s.run(t.Context(), agent.Request{Goal: "try"})
	if _, err := os.Stat(filepath.Join(s.dir, "ran")); err == nil {
		t.Errorf("a tool ran without a gateway: %v\n%s", o.err, o.raw)
	}
}

// Without any hook the first result stops the run.
func TestClaudeWithHooksUnwired(t *testing.T) {
	s := newSession(t, one(
		scripted.Turn{Tools: tool("Bash", map[string]any{"command": "true"})},
		scripted.Turn{Text: "ok"},
	))
	o := s.run(t.Context(), agent.Request{Goal: "try"}, "--settings", `{"disableAllHooks":true}`)
	if len(find(o.payloads, func(audit.ToolResult) bool { return true })) != 1 || o.err == nil || !strings.Contains(o.err.Error(), hook.ErrNoReceipt.Error()) {
		t.Errorf("err = %v\n%s", o.err, o.raw)
	}
}

func TestClaudeSaysThatTheCredentialIsRefused(t *testing.T) {
	s := newSession(t, one(scripted.Turn{Error: &scripted.Error{Status: 401}}))
	c := agent.NewCollector(agent.Claude{}.Transcript(), func(audit.Payload) error { return nil })
	if err := s.runUntil(agent.Request{Goal: "try"}, c, func() bool { return c.Result().NeedsAuth }); err == nil {
		t.Error("the CLI went on to the end")
	}
	if !c.Result().NeedsAuth {
		t.Errorf("result = %+v", c.Result())
	}
}

func TestClaudeSurvivesAnOverloadedAPI(t *testing.T) {
	s := newSession(t, one(
		scripted.Turn{Error: &scripted.Error{Status: 529, Times: 1}},
		scripted.Turn{Text: "there"},
	))
	o := s.run(t.Context(), agent.Request{Goal: "try", Model: "claude-opus-4-8"})
	if o.err != nil || o.result.Text != "there" || o.result.NeedsAuth {
		t.Fatalf("result = %+v, %v\n%s", o.result, o.err, o.raw)
	}
	notices := find(o.payloads, func(audit.Notice) bool { return true })
	if len(notices) != 1 || !strings.Contains(notices[0].Text, "529") {
		t.Errorf("notices = %+v", notices)
	}
	saveTranscript(t, "overloaded.jsonl", s, o.raw)
}

func TestClaudeGetsAHugeGoal(t *testing.T) {
	s := newSession(t, one(scripted.Turn{Text: "read"}))
	o := s.run(t.Context(), agent.Request{Goal: "-x " + strings.Repeat("goal ", 200_000)})
	if o.err != nil || o.result.Text != "read" {
		t.Fatalf("result = %+v, %v", o.result, o.err)
	}
}

func TestDemoScriptWithTheRealCLI(t *testing.T) {
	script := scripted.Demo()
	s := newSession(t, script)
	for name, content := range scripted.Example() {
		s.write(filepath.Join(s.dir, name), []byte(content))
	}
	o := s.run(t.Context(), agent.Request{Goal: "Add documentation to the main.go file"})
	if o.err != nil || o.result.Failed {
		t.Fatalf("result = %+v, %v\n%s", o.result, o.err, o.raw)
	}
	data, err := os.ReadFile(filepath.Join(s.dir, "main.go"))
	if err != nil || !strings.Contains(string(data), "// greet returns") {
		t.Errorf("main.go = %q, %v", data, err)
	}
	for _, r := range find(o.payloads, func(r audit.ToolResult) bool { return r.IsError }) {
		t.Errorf("a tool failed: %+v", r)
	}
	saveTranscript(t, "demo.jsonl", s, o.raw)
}

// saveTranscript keeps a real transcript for the tests of the parser, with
// -update.
func saveTranscript(t *testing.T, name string, s *session, raw string) {
	t.Helper()
	if !*update {
		return
	}
	raw = strings.NewReplacer(s.dir, "/project", s.home, "/home/agent").Replace(raw)
	if err := os.WriteFile(filepath.Join("testdata", name), []byte(raw), 0o644); err != nil {
		t.Fatal(err)
	}
}
