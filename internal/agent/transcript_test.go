package agent_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"agentprocess/internal/agent"
	"agentprocess/internal/audit"
)

// read reads a whole transcript.
func read(t testing.TB, data []byte) ([]audit.Payload, agent.Result) {
	t.Helper()
	var out []audit.Payload
	c := agent.NewCollector(agent.Claude{}.Transcript(), func(p audit.Payload) error {
		out = append(out, p)
		return nil
	})
	if _, err := c.Stdout().Write(data); err != nil {
		t.Fatal(err)
	}
	result, err := c.Close()
	if err != nil {
		t.Fatal(err)
	}
	return out, result
}

func TestRealTranscripts(t *testing.T) {
	type count struct{ says, calls, results, failed, notices, usages, outputs int }
	tests := map[string]struct {
		want count
		last string
	}{
		"demo.jsonl":       {count{says: 4, calls: 4, results: 4, usages: 1}, "Done: main.go now has"},
		"denied.jsonl":     {count{says: 1, calls: 3, results: 3, failed: 2, usages: 1}, "I see."},
		"everything.jsonl": {count{says: 1, calls: 15, results: 15, failed: 4, usages: 1}, "all done"},
		"overloaded.jsonl": {count{says: 1, notices: 1, usages: 1}, "there"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			payloads, result := read(t, data)
			var got count
			for _, p := range payloads {
				switch p := p.(type) {
				case audit.Say:
					got.says++
				case audit.ToolCall:
					got.calls++
				case audit.ToolResult:
					got.results++
					if p.IsError {
						got.failed++
					}
				case audit.Notice:
					got.notices++
				case audit.Usage:
					got.usages++
				case audit.Output:
					got.outputs++
				}
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if !result.Ended || result.Failed || !strings.HasPrefix(result.Text, tt.last) || result.Version != "2.1.197" {
				t.Errorf("result = %+v", result)
			}
		})
	}
}

func TestTranscriptLines(t *testing.T) {
	long := strings.Repeat("é", 100<<10)
	tests := map[string]struct {
		line  string
		check func([]audit.Payload, agent.Result) bool
	}{
		"not JSON": {"hello \x1b[31m", func(p []audit.Payload, _ agent.Result) bool {
			return len(p) == 1 && p[0] == audit.Output{Stream: "stdout", Text: "hello \x1b[31m"}
		}},
		"broken JSON":  {`{"type":"assistant"`, func(p []audit.Payload, _ agent.Result) bool { return len(p) == 1 && p[0].EventKind() == "output" }},
		"unknown type": {`{"type":"novelty","x":1}`, func(p []audit.Payload, _ agent.Result) bool { return len(p) == 0 }},
		"empty":        {"  ", func(p []audit.Payload, _ agent.Result) bool { return len(p) == 0 }},
		"wrong shape":  {`{"type":"assistant","message":{"content":7}}`, func(p []audit.Payload, _ agent.Result) bool { return len(p) == 0 }},
		"text as string": {`{"type":"assistant","message":{"content":"hi"}}`, func(p []audit.Payload, _ agent.Result) bool {
			return len(p) == 1 && p[0] == audit.Say{Text: "hi"}
		}},
		"long text": {`{"type":"assistant","message":{"content":[{"type":"text","text":"` + long + `"}]}}`, func(p []audit.Payload, _ agent.Result) bool {
			say, ok := p[0].(audit.Say)
			return ok && len(say.Text) < 66<<10 && strings.HasSuffix(say.Text, "[... cut]") && utf8.ValidString(say.Text)
		}},
		"call without id": {`{"type":"assistant","message":{"content":[{"type":"tool_use","name":"Bash"}]}}`, func(p []audit.Payload, _ agent.Result) bool { return len(p) == 0 }},
		"call without input": {`{"type":"assistant","message":{"content":[{"type":"tool_use","id":"a","name":"Bash"}]}}`, func(p []audit.Payload, _ agent.Result) bool {
			return string(p[0].(audit.ToolCall).Input) == "{}"
		}},
		"result with an image": {`{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"x"},{"type":"image"}]}]}}`, func(p []audit.Payload, _ agent.Result) bool {
			return p[0] == audit.ToolResult{ID: "a", Text: "x\n[image]"}
		}},
		"refused": {`{"type":"result","is_error":true,"api_error_status":401,"result":"no"}`, func(_ []audit.Payload, r agent.Result) bool {
			return r.NeedsAuth && r.Failed && r.Text == "no"
		}},
		"errors only": {`{"type":"result","subtype":"error_max_turns","is_error":true,"errors":["a","b"]}`, func(_ []audit.Payload, r agent.Result) bool {
			return r.Failed && !r.NeedsAuth && r.Text == "a; b"
		}},
		"absurd numbers": {`{"type":"result","num_turns":1e300}`, func(p []audit.Payload, r agent.Result) bool { return !r.Ended && p[0].EventKind() == "output" }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, r := read(t, []byte(tt.line))
			if !tt.check(p, r) {
				t.Errorf("got %+v, %+v", p, r)
			}
		})
	}
}

func TestCostIsTheSumOfModels(t *testing.T) {
	_, r := read(t, []byte(`{"type":"result","num_turns":2,"total_cost_usd":0.5,"usage":{"input_tokens":1},"modelUsage":{"a":{"inputTokens":10,"outputTokens":2,"cacheReadInputTokens":5},"b":{"inputTokens":1,"outputTokens":1}}}`+"\n"+
		`{"type":"result","num_turns":1,"total_cost_usd":0.75,"usage":{"input_tokens":1},"modelUsage":{"a":{"inputTokens":20,"outputTokens":4}}}`))
	if r.Cost.InputTokens != 20 || r.Cost.OutputTokens != 4 || r.Cost.Turns != 3 || r.Cost.USD != 0.75 {
		t.Errorf("cost = %+v", r.Cost)
	}
}

// A line of any length costs a bounded amount of memory and gives one notice.
func TestEndlessLine(t *testing.T) {
	var got []audit.Payload
	c := agent.NewCollector(agent.Claude{}.Transcript(), func(p audit.Payload) error {
		got = append(got, p)
		return nil
	})
	w := c.Stdout()
	chunk := bytes.Repeat([]byte("x"), 1<<20)
	for range 100 {
		if _, err := w.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write([]byte("\n{\"type\":\"assistant\",\"message\":{\"content\":\"after\"}}\n")); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].EventKind() != "notice" || got[1] != (audit.Say{Text: "after"}) {
		t.Errorf("got %d payloads", len(got))
	}
}

func TestCollectorStopsWithItsFirstError(t *testing.T) {
	boom := errors.New("boom")
	calls := 0
	c := agent.NewCollector(agent.Exec{}.Transcript(), func(audit.Payload) error {
		calls++
		return boom
	})
	if _, err := c.Stdout().Write([]byte("a\nb\n")); !errors.Is(err, boom) {
		t.Errorf("err = %v", err)
	}
	if _, err := c.Close(); !errors.Is(err, boom) || calls != 1 {
		t.Errorf("err = %v after %d calls", err, calls)
	}
}

func TestExecOutputIsBounded(t *testing.T) {
	var texts, notices int
	c := agent.NewCollector(agent.Exec{}.Transcript(), func(p audit.Payload) error {
		switch p := p.(type) {
		case audit.Output:
			texts += len(p.Text)
		case audit.Notice:
			notices++
		}
		return nil
	})
	w, errs := c.Stdout(), c.Stderr()
	line := append(bytes.Repeat([]byte("y"), 32<<10), '\n')
	for range 5000 {
		if _, err := w.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := errs.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Close(); err != nil || notices != 1 || texts > 65<<20 {
		t.Errorf("%d bytes, %d notices, %v", texts, notices, err)
	}
}

func TestBounded(t *testing.T) {
	big := audit.ToolCall{ID: "a", Input: json.RawMessage(`{"x":"` + strings.Repeat("y", 1<<20) + `"}`)}
	cut, ok := agent.Bounded(big).(audit.ToolCall)
	if !ok || len(cut.Input) > 300 || !json.Valid(cut.Input) || !strings.Contains(string(cut.Input), "sha256") {
		t.Errorf("cut = %s", cut.Input)
	}
	if say := agent.Bounded(audit.Say{Text: "x"}); say != (audit.Say{Text: "x"}) {
		t.Errorf("say = %v", say)
	}
}

// TestGarbled: what an agent that has begun writes besides messages may hide a
// tool call, whoever wrote it.
func TestGarbled(t *testing.T) {
	const (
		begin  = `{"type":"system","subtype":"init"}` + "\n"
		result = `{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"a","content":"x"}]}}`
	)
	tests := map[string]struct {
		text string
		want bool
	}{
		"messages":                     {begin + result + "\n", false},
		"text before it has begun":     {"hello\n" + begin + result + "\n", false},
		"text":                         {begin + "hello\n", true},
		"garbage before a message":     {begin + "x" + result + "\n", true},
		"garbage behind a message":     {begin + result + "x\n", true},
		"a message cut in two":         {begin + result[:40] + "\n" + result[40:] + "\n", true},
		"a message within another":     {begin + `{"type":"novelty","x":` + result + "\n", true},
		"a call of another shape":      {begin + `{"type":7,"message":{"content":[{"type":"tool_use","id":"a"}]}}` + "\n", true},
		"news of another shape":        {begin + `{"type":7}` + "\n", false},
		"a list":                       {begin + `[]` + "\n", false},
		"an empty line":                {begin + "\n \n" + result + "\n", false},
		"an end within a message":      {begin + result[:40], false},
		"a call that it does not know": {begin + `["tool_use"]` + "\n", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			payloads, _ := read(t, []byte(tt.text))
			got := false
			for _, p := range payloads {
				_, is := p.(agent.Garbled)
				got = got || is
				if _, kept := agent.Bounded(p).(agent.Garbled); kept {
					t.Error("the record has it as something that it does not know")
				}
			}
			if got != tt.want {
				t.Errorf("garbled is %t, want %t", got, tt.want)
			}
		})
	}
}

func FuzzTranscript(f *testing.F) {
	for _, name := range []string{"demo.jsonl", "denied.jsonl", "overloaded.jsonl"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			f.Add(line)
		}
	}
	f.Add([]byte("{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":\"\xff\xfe\"}]}}\r\n{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		payloads, result := read(t, data)
		if !utf8.ValidString(result.Text) {
			t.Errorf("invalid text: %q", result.Text)
		}
		for _, p := range payloads {
			encoded, err := json.Marshal(agent.Bounded(p))
			if err != nil {
				t.Fatalf("a payload has no JSON: %v", err)
			}
			if len(encoded) > 2<<20 {
				t.Errorf("a payload of %d bytes", len(encoded))
			}
		}
	})
}
