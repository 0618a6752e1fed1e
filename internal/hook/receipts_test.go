package hook

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"agentprocess/internal/audit"
)

func judged(id, input string) Call {
	return Call{Event: EventPreToolUse, Tool: "Read", ToolUseID: id, Dir: "/project", Input: json.RawMessage(input)}
}

func shown(input string) audit.ToolCall {
	return audit.ToolCall{ID: "t", Name: "Read", Input: json.RawMessage(input)}
}

func TestReceiptsCompareInputs(t *testing.T) {
	tests := map[string]struct {
		shown, judged string
		same          bool
	}{
		"same":             {`{"a":1,"b":[true,null]}`, `{"b":[true,null],"a":1}`, true},
		"relative path":    {`{"file_path":"./x/../a.go"}`, `{"file_path":"/project/a.go"}`, true},
		"home path":        {`{"file_path":"~/a"}`, `{"file_path":"/home/agent/a"}`, true},
		"other path":       {`{"file_path":"a.go"}`, `{"file_path":"/etc/a.go"}`, false},
		"path elsewhere":   {`{"command":"a.go"}`, `{"command":"/project/a.go"}`, false},
		"number as text":   {`{"limit":"5"}`, `{"limit":5}`, true},
		"truth as text":    {`{"all":"true"}`, `{"all":true}`, true},
		"number spelled":   {`{"a":1e3,"b":1.0}`, `{"a":1000,"b":1}`, true},
		"default added":    {`{"a":1}`, `{"a":1,"replace_all":false}`, true},
		"null left out":    {`{"a":1,"b":null}`, `{"a":1}`, true},
		"field left out":   {`{"a":1,"b":2}`, `{"a":1}`, false},
		"value differs":    {`{"command":"rm -rf /"}`, `{"command":"ls"}`, false},
		"nested differs":   {`{"edits":[{"old":"a"}]}`, `{"edits":[{"old":"b"}]}`, false},
		"escapes":          {`{"a":"\u00e9\u2028<"}`, `{"a":"é\u2028\u003c"}`, true},
		"type differs":     {`{"a":{}}`, `{"a":[]}`, false},
		"transcript array": {`[]`, `{}`, false},
	}
	for name, tt := range tests {
		for _, order := range []string{"judged first", "shown first"} {
			t.Run(name+"/"+order, func(t *testing.T) {
				r := NewReceipts("/home/agent")
				var err error
				if order == "judged first" {
					err = errors.Join(r.add(judged("t", tt.judged), Decision{Allow: true}), r.Observe(shown(tt.shown)))
				} else {
					err = errors.Join(r.Observe(shown(tt.shown)), r.add(judged("t", tt.judged), Decision{Allow: true}))
				}
				if tt.same != (err == nil) || !tt.same && !errors.Is(err, ErrInputDiffers) {
					t.Errorf("err = %v", err)
				}
			})
		}
	}
}

func TestReceiptsAgainstResults(t *testing.T) {
	call, input := judged("t", `{"a":1}`), shown(`{"a":1}`)
	result := audit.ToolResult{ID: "t", Text: "ok"}
	changed := Decision{Allow: true, Input: json.RawMessage(`{"a":3}`)}
	tests := map[string]struct {
		run  func(*Receipts) error
		want error
	}{
		"in order": {func(r *Receipts) error {
			return errors.Join(r.Observe(input), r.add(call, Decision{Allow: true}), r.Observe(result))
		}, nil},
		"no receipt": {func(r *Receipts) error { return errors.Join(r.Observe(input), r.Observe(result)) }, ErrNoReceipt},
		"late receipt": {func(r *Receipts) error {
			_ = r.Observe(result)
			return r.add(call, Decision{Allow: true})
		}, ErrLateReceipt},
		"failed without a receipt": {func(r *Receipts) error {
			return r.Observe(audit.ToolResult{ID: "t", IsError: true, Text: "Exit code 1"})
		}, ErrNoReceipt},
		"never ran": {func(r *Receipts) error {
			return r.Observe(audit.ToolResult{ID: "t", IsError: true, Text: "<tool_use_error>Error: No such tool available: X</tool_use_error>"})
		}, nil},
		"says it never ran, without an error": {func(r *Receipts) error {
			return r.Observe(audit.ToolResult{ID: "t", Text: "<tool_use_error>"})
		}, ErrNoReceipt},
		"stopped by a client that failed": {func(r *Receipts) error {
			return r.Observe(audit.ToolResult{ID: "t", IsError: true, Text: "PreToolUse:Bash hook error: [/opt/x hook]: agent-process: no"})
		}, nil},
		"denied": {func(r *Receipts) error {
			return errors.Join(r.add(call, Decision{}), r.Observe(audit.ToolResult{ID: "t", IsError: true, Text: "PreToolUse:Bash hook error: [/opt/x hook]: agent-process: denied (v-1): no"}))
		}, nil},
		"denied, run and failed": {func(r *Receipts) error {
			return errors.Join(r.add(call, Decision{}), r.Observe(audit.ToolResult{ID: "t", IsError: true, Text: "Exit code 1\nPreToolUse:Bash hook error: [x]: denied"}))
		}, ErrIgnoredDenial},
		"denied and run": {func(r *Receipts) error { return errors.Join(r.add(call, Decision{Allow: false}), r.Observe(result)) }, ErrIgnoredDenial},
		"denied, then allowed": {func(r *Receipts) error {
			_ = r.add(call, Decision{})
			_ = r.add(call, Decision{Allow: true})
			return r.Observe(result)
		}, ErrIgnoredDenial},
		"judged twice with the same input, and run": {func(r *Receipts) error {
			_ = r.add(call, Decision{Allow: true})
			_ = r.add(call, Decision{Allow: true})
			return r.Observe(result)
		}, ErrIgnoredDenial},
		"judged twice with the same input": {func(r *Receipts) error {
			return errors.Join(r.add(call, Decision{Allow: true}), r.add(call, Decision{Allow: true}))
		}, ErrJudgedTwice},
		"allowed, but not recorded": {func(r *Receipts) error {
			_ = r.add(call, Decision{Allow: true})
			r.deny("t")
			return r.Observe(result)
		}, ErrIgnoredDenial},
		"modified and run so": {func(r *Receipts) error {
			err := r.add(call, changed)
			return errors.Join(err, r.ran(judged("t", `{"a":3,"added":true}`)), r.Observe(input), r.Observe(result))
		}, nil},
		"modified, and nobody said what ran": {func(r *Receipts) error {
			return errors.Join(r.add(call, changed), r.Observe(input), r.Observe(result))
		}, ErrNotModified},
		"modified, and the original ran": {func(r *Receipts) error {
			err := r.add(call, changed)
			return errors.Join(err, r.ran(call), r.Observe(result))
		}, ErrNotModified},
		"modified, run and failed": {func(r *Receipts) error {
			err := r.add(call, changed)
			return errors.Join(err, r.Observe(audit.ToolResult{ID: "t", IsError: true, Text: "Exit code 1"}))
		}, ErrNotModified},
		"modified into what does not fit": {func(r *Receipts) error {
			return errors.Join(r.add(call, changed), r.Observe(audit.ToolResult{
				ID: "t", IsError: true, Text: "PreToolUse hook for Read returned updatedInput that failed schema validation: x",
			}))
		}, nil},
		"modified into what cannot be compared": {func(r *Receipts) error {
			return errors.Join(r.add(call, Decision{Allow: true, Input: json.RawMessage(`[]`)}))
		}, errNoObject},
		"judged twice": {func(r *Receipts) error {
			return errors.Join(r.add(call, Decision{Allow: true}), r.add(judged("t", `{"a":2}`), Decision{Allow: true}))
		}, ErrJudgedTwice},
		"ran without a receipt, and says that it never ran": {func(r *Receipts) error {
			lie := audit.ToolResult{ID: "t", IsError: true, Text: "<tool_use_error>Error: No such tool available: X</tool_use_error>"}
			return errors.Join(r.Observe(input), r.ran(call), r.Observe(lie))
		}, ErrNoReceipt},
		"denied, ran, and says that it was stopped": {func(r *Receipts) error {
			lie := audit.ToolResult{ID: "t", IsError: true, Text: "PreToolUse:Bash hook error: [/opt/x hook]: agent-process: no"}
			return errors.Join(r.add(call, Decision{}), r.ran(call), r.Observe(lie))
		}, ErrIgnoredDenial},
		"ran, and was judged": {func(r *Receipts) error {
			return errors.Join(r.add(call, Decision{Allow: true}), r.ran(call), r.Ended())
		}, nil},
		"shown, and then the end": {func(r *Receipts) error { return errors.Join(r.Observe(input), r.Ended()) }, ErrUnjudged},
		"shown and judged, and then the end": {func(r *Receipts) error {
			return errors.Join(r.Observe(input), r.add(call, Decision{Allow: true}), r.Ended())
		}, nil},
		"shown and stopped, and then the end": {func(r *Receipts) error {
			return errors.Join(r.Observe(input), r.Observe(audit.ToolResult{ID: "t", IsError: true, Text: "<tool_use_error>x"}), r.Ended())
		}, nil},
		"other payloads": {func(r *Receipts) error { return r.Observe(audit.Say{Text: "x"}) }, nil},
		"repeated line": {func(r *Receipts) error {
			return errors.Join(r.add(call, Decision{Allow: true}), r.Observe(input), r.Observe(result), r.Observe(input), r.Observe(result))
		}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := tt.run(NewReceipts("/home/agent")); !errors.Is(err, tt.want) {
				t.Errorf("err = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestReceiptsAreBounded(t *testing.T) {
	r := NewReceipts("/")
	for i := range maxReceipts {
		if err := r.add(judged(fmt.Sprint(i), `{}`), Decision{Allow: true}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.add(judged("one more", `{}`), Decision{Allow: true}); !errors.Is(err, ErrTooMany) {
		t.Errorf("err = %v", err)
	}
}

func TestViolationDeniesAndIsTold(t *testing.T) {
	var told error
	server, record, socket := serve(t, func(s *Server) { s.OnViolation = func(err error) { told = err } })
	if err := server.Receipts.Observe(audit.ToolResult{ID: "t"}); !errors.Is(err, ErrNoReceipt) {
		t.Fatal(err)
	}
	if exit, _ := ask1(t, socket, event("t", "x")); exit != 2 || !errors.Is(told, ErrLateReceipt) {
		t.Errorf("exit %d, told %v", exit, told)
	}
	if got := record.all(); got[0].Rule != "receipt" || got[0].Decision != audit.Deny {
		t.Errorf("verdicts = %+v", got)
	}
}

func TestHashIsOfTheValue(t *testing.T) {
	a, err := Hash([]byte(`{"b": 1.0, "a": "\u0041\/"}`))
	if err != nil {
		t.Fatal(err)
	}
	b, err := Hash([]byte(`{"a":"A/","b":1}`))
	if err != nil || a != b {
		t.Errorf("%s, %s, %v", a, b, err)
	}
	if _, err := Hash([]byte(`{} {}`)); err == nil {
		t.Error("two values have a hash")
	}
}

func FuzzReceipts(f *testing.F) {
	f.Add(`{"file_path":"a","limit":"5"}`, "/project")
	f.Add(`{"a":[{"path":"~"},1e999,null]}`, "")
	f.Fuzz(func(t *testing.T, input, dir string) {
		r := NewReceipts("/home/agent")
		c := judged("t", input)
		c.Dir = dir
		if r.add(c, Decision{Allow: true}) != nil {
			return
		}
		// What was judged is always covered by itself, and in its canonical form.
		if err := r.Observe(shown(input)); err != nil {
			t.Errorf("%q: %v", input, err)
		}
		again, err := canonical([]byte(input))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Check("t", again); err != nil {
			t.Errorf("%q as %q: %v", input, again, err)
		}
	})
}
