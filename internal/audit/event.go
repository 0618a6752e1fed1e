package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"agentprocess/internal/sandbox"
)

// Event is one entry of a run's record, as stored and as printed by --json.
type Event struct {
	Seq  int64           `json:"seq"` // 1, 2, 3 ...
	Time time.Time       `json:"time"`
	Run  string          `json:"run"`
	Kind string          `json:"kind"`
	Data json.RawMessage `json:"data"`
	Prev string          `json:"prev"` // hash of the event before, empty at first
	Hash string          `json:"hash"`

	// Payload is Data as the typed value it was made from; nil when the event
	// was read back. See Decode.
	Payload Payload `json:"-"`
}

// Payload is the typed content of an event.
type Payload interface{ EventKind() string }

// Sink takes events in order. It must not block for long and must not fail
// silently: an error ends the run.
type Sink interface {
	Write(Event) error
}

// Recorder gives events their place in the chain and hands them to sinks.
// It is safe for concurrent use; sinks see events one at a time, in order.
type Recorder struct {
	mu    sync.Mutex
	run   string
	now   func() time.Time
	sinks []Sink
	seq   int64
	prev  string
	err   error
}

// NewRecorder starts the record of a run.
func NewRecorder(run string, now func() time.Time, sinks ...Sink) *Recorder {
	return &Recorder{run: run, now: now, sinks: sinks}
}

// Resume goes on with the record of a run after its last event; the zero event
// is that of an empty record.
func Resume(last Event, run string, now func() time.Time, sinks ...Sink) *Recorder {
	return &Recorder{run: run, now: now, sinks: sinks, seq: last.Seq, prev: last.Hash}
}

// Record appends an event. The first error of any sink sticks; see Err.
func (r *Recorder) Record(p Payload) {
	r.mu.Lock()
	defer r.mu.Unlock()
	data, err := json.Marshal(p)
	if err != nil {
		r.fail(fmt.Errorf("encode %s event: %w", p.EventKind(), err))
		return
	}
	r.seq++
	e := Event{Seq: r.seq, Time: r.now().UTC(), Run: r.run, Kind: p.EventKind(), Data: data, Prev: r.prev, Payload: p}
	e.Hash = e.sum()
	r.prev = e.Hash
	for _, s := range r.sinks {
		r.fail(s.Write(e))
	}
}

// Err is the first error a sink had: a record with a hole is no record.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *Recorder) fail(err error) {
	if r.err == nil && err != nil {
		r.err = err
	}
}

// sum is the hash that links e to the event before it.
func (e Event) sum() string {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n%s\n%s\n%s\n%s\n", e.Seq, e.Time.Format(time.RFC3339Nano), e.Run, e.Kind, e.Prev)
	h.Write(e.Data)
	return hex.EncodeToString(h.Sum(nil))
}

// Verify checks the chain of a whole record and names the first event that
// does not fit.
func Verify(events []Event) error {
	prev := ""
	for i, e := range events {
		switch {
		case e.Seq != int64(i)+1:
			return fmt.Errorf("event %d: sequence number is %d", i+1, e.Seq)
		case e.Prev != prev:
			return fmt.Errorf("event %d: does not follow the event before it", e.Seq)
		case e.sum() != e.Hash:
			return fmt.Errorf("event %d: content does not match its hash", e.Seq)
		}
		prev = e.Hash
	}
	return nil
}

// Level says how loud a Notice is.
type Level string

// The levels of notices.
const (
	Info Level = "info"
	Warn Level = "warn"
)

// Verdict words used by requests and tool calls.
const (
	Allow = "allow"
	Deny  = "deny"
)

// Actions of rules that are more than a verdict word.
const (
	ActionWarn = "warn"
	ActionAsk  = "ask"
)

// The payloads. JSON names are a stable interface for --json.
type (
	// Phase is a step of the run that ended.
	Phase struct {
		Name     string        `json:"name"`
		Detail   string        `json:"detail,omitempty"`
		Duration time.Duration `json:"duration_ns"`
	}
	// Notice is something a person should know.
	Notice struct {
		Level Level  `json:"level"`
		Text  string `json:"text"`
	}
	// Say is text by the agent.
	Say struct {
		Text string `json:"text"`
	}
	// Output is a line that an exec agent printed.
	Output struct {
		Stream string `json:"stream"` // "stdout", "stderr"
		Text   string `json:"text"`
	}
	// ToolCall is a tool the agent asked for.
	ToolCall struct {
		ID    string          `json:"id"` // tool_use_id
		Name  string          `json:"name"`
		Input json.RawMessage `json:"input"`
		// Parent is the tool call whose subagent asked, if any.
		Parent string `json:"parent,omitempty"`
	}
	// ToolResult is what came back.
	ToolResult struct {
		ID      string `json:"id"`
		IsError bool   `json:"is_error"`
		Text    string `json:"text"`
	}
	// Verdict is the answer to one hook event: the receipt.
	Verdict struct {
		ID        string `json:"id"`    // receipt id
		Event     string `json:"event"` // "PreToolUse"
		ToolUseID string `json:"tool_use_id,omitempty"`
		Tool      string `json:"tool,omitempty"`
		InputHash string `json:"input_hash,omitempty"` // sha256 of the tool input as received
		Decision  string `json:"decision"`             // Allow or Deny
		Rule      string `json:"rule"`
		Reason    string `json:"reason,omitempty"`
		Action    string `json:"action,omitempty"` // of the rule: "allow", "warn", "ask", "deny"
		Source    string `json:"source,omitempty"` // where the rule stands
		By        string `json:"by,omitempty"`     // who answered an ask
		// Modified says that the tool was allowed with another input than the
		// transcript shows; UpdatedHash names that one.
		Modified    bool          `json:"modified,omitempty"`
		UpdatedHash string        `json:"updated_hash,omitempty"`
		Context     string        `json:"context,omitempty"` // told to the model besides
		PID         int           `json:"pid,omitempty"`     // of the caller, as the kernel says
		UID         int           `json:"uid,omitempty"`
		Duration    time.Duration `json:"duration_ns"`
	}
	// Request is one connection or lookup that the gateway judged, written
	// when it ended.
	Request struct {
		ID       string        `json:"id"`   // the one id that agent and person see
		Path     string        `json:"path"` // "connect", "http", "redirect", "dns"
		Host     string        `json:"host"` // normalised, or the address for a raw one
		Port     uint16        `json:"port,omitempty"`
		Address  string        `json:"address,omitempty"` // dialled ip:port
		Method   string        `json:"method,omitempty"`  // for what was opened
		URLPath  string        `json:"url_path,omitempty"`
		Status   int           `json:"status,omitempty"`
		Up       int64         `json:"up"`   // bytes out of the sandbox
		Down     int64         `json:"down"` // bytes into it
		Verdict  string        `json:"verdict"`
		Rule     string        `json:"rule,omitempty"` // as written, with its source
		Reason   string        `json:"reason,omitempty"`
		Fix      string        `json:"fix,omitempty"`   // the line to add
		Error    string        `json:"error,omitempty"` // allowed, but the network failed
		Duration time.Duration `json:"duration_ns"`
	}
	// Commit is work that reached the host repository.
	Commit struct {
		ID      string           `json:"id"`
		Subject string           `json:"subject"`
		Stat    sandbox.DiffStat `json:"stat"` // of the branch against its base
	}
	// Usage is what the agent says it used, in all.
	Usage struct {
		sandbox.Cost
	}
	// Outcome is the end of a run.
	Outcome struct {
		Outcome sandbox.Outcome `json:"outcome"`
		Reason  string          `json:"reason,omitempty"`
		Run     sandbox.Run     `json:"run"`
		Flagged []string        `json:"flagged,omitempty"` // changed paths that run on the host
		Denials int             `json:"denials"`
	}
)

// EventKind implements Payload.
func (Phase) EventKind() string { return "phase" }

// EventKind implements Payload.
func (Notice) EventKind() string { return "notice" }

// EventKind implements Payload.
func (Say) EventKind() string { return "say" }

// EventKind implements Payload.
func (Output) EventKind() string { return "output" }

// EventKind implements Payload.
func (ToolCall) EventKind() string { return "tool_call" }

// EventKind implements Payload.
func (ToolResult) EventKind() string { return "tool_result" }

// EventKind implements Payload.
func (Verdict) EventKind() string { return "verdict" }

// EventKind implements Payload.
func (Request) EventKind() string { return "request" }

// EventKind implements Payload.
func (Commit) EventKind() string { return "commit" }

// EventKind implements Payload.
func (Usage) EventKind() string { return "usage" }

// EventKind implements Payload.
func (Outcome) EventKind() string { return "outcome" }
