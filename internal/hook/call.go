package hook

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"agentprocess/internal/audit"
)

// The words of a decision.
const (
	allow = audit.Allow
	deny  = audit.Deny
)

// The events that have a meaning here; all others are recorded and allowed.
const (
	// EventPreToolUse comes before a tool runs; a denial stops it.
	EventPreToolUse = "PreToolUse"
	// EventPostToolUse and EventPostToolUseFailure come when a tool has run,
	// with the input it ran with; a denial tells the model why.
	EventPostToolUse        = "PostToolUse"
	EventPostToolUseFailure = "PostToolUseFailure"
	// EventStop comes when the agent has finished a turn; a denial sends it
	// back to work.
	EventStop = "Stop"

	eventPrompt       = "UserPromptSubmit"
	eventSessionStart = "SessionStart"
	// eventDisplay comes with each piece of text that is shown: the transcript
	// has it already, so it is answered without a record.
	eventDisplay = "MessageDisplay"
)

// maxField bounds the names and ids of a call.
const maxField = 512

// Call is one event as the CLI told it.
type Call struct {
	Event     string
	Session   string
	Tool      string
	ToolUseID string
	Input     json.RawMessage // tool_input as it came
	Dir       string          // the CLI's working directory
	Mode      string          // permission mode
	Agent     string          // id of the subagent that asks, if any
	// StopActive is set on a Stop that follows one a hook has held.
	StopActive bool
	// Said is, on a Stop, what the agent said last.
	Said string
	Raw  json.RawMessage
	Peer Peer
}

// Peer is the process at the other end of a socket, as the kernel says: its
// ids as the server's namespaces count them. It is zero where the kernel
// cannot say.
type Peer struct {
	PID, UID, GID int
	Parent        int // the PID's parent when it called, 0 when not known
}

// The words for how a decision came about, for the record.
const (
	actionAllow = "allow"
	actionWarn  = "warn"
	actionAsk   = "ask"
	actionDeny  = "deny"
)

// Decision is the answer to a call. Only an Allow of true allows.
type Decision struct {
	Allow  bool
	Rule   string // what decided, for the record
	Reason string // told to the model when it is a denial
	Action string // "allow", "warn", "ask" or "deny", for the record; empty is what Allow says
	Source string // where the rule stands, for the record
	By     string // who answered an ask
	// Input replaces the whole input of an allowed tool call. It must be an
	// object that fits the tool's schema: the CLI refuses others.
	Input json.RawMessage
	// Context is told to the model besides, where the CLI can: before and after
	// a tool, with a prompt, and at the start.
	Context string
}

// check gives d as it may be answered: what contradicts itself is a denial.
func (d Decision) check(c Call) Decision {
	switch d.Action {
	case "":
		d.Action = actionDeny
		if d.Allow {
			d.Action = actionAllow
		}
	case actionAllow, actionWarn, actionAsk, actionDeny:
	default:
		return failed(fmt.Sprintf("the policy answered with the unknown action %q", d.Action))
	}
	switch {
	case !d.Allow:
		d.Input, d.Context = nil, ""
		if d.Reason == "" {
			d.Reason = "not allowed"
		}
	case d.Action == actionDeny:
		return failed("the policy contradicts itself")
	case d.Input != nil && c.Event == EventPreToolUse && (len(d.Input) > MaxInput || !json.Valid(d.Input) || !isObject(d.Input)):
		return failed("the policy's input for the tool cannot be used")
	}
	if c.Event != EventPreToolUse {
		d.Input = nil
	}
	if !takesContext(c.Event) {
		d.Context = ""
	}
	d.Reason, d.Context = cut(d.Reason, maxReason), cut(d.Context, maxContext)
	return d
}

// cut shortens text to limit bytes, never inside a character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// failed is the denial of a policy that does not work.
func failed(why string) Decision {
	return Decision{Action: actionDeny, Rule: "failure", Reason: why + ", so nothing is allowed"}
}

// ParseCall reads the JSON of one event. Names are matched exactly, unlike
// encoding/json does by itself.
func ParseCall(raw []byte) (Call, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		return Call{}, fmt.Errorf("parse event: %w", err)
	}
	c := Call{Raw: raw, Input: m["tool_input"]}
	for name, to := range map[string]*string{
		"hook_event_name": &c.Event, "session_id": &c.Session, "tool_name": &c.Tool, "tool_use_id": &c.ToolUseID,
		"cwd": &c.Dir, "permission_mode": &c.Mode, "agent_id": &c.Agent,
	} {
		if err := field(m, name, to); err != nil {
			return Call{}, err
		}
	}
	if v, ok := m["stop_hook_active"]; ok {
		c.StopActive = string(v) == "true"
	}
	c.Said = lastSaid(m)
	return c, c.validate()
}

func field(m map[string]json.RawMessage, name string, to *string) error {
	raw, ok := m[name]
	if !ok || string(raw) == "null" {
		return nil
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("parse event: %q: %w", name, err)
	}
	// A path may be longer than a name, and no kernel takes one over 4096.
	if limit := maxField; len(*to) > limit && (name != "cwd" || len(*to) > 4096) {
		return fmt.Errorf("parse event: %q is %d bytes long", name, len(*to))
	}
	return nil
}

// maxSaid bounds what is kept of the agent's last words.
const maxSaid = 16 << 10

// lastSaid is the agent's last words, which nothing depends on.
func lastSaid(m map[string]json.RawMessage) string {
	var text string
	if raw, ok := m["last_assistant_message"]; !ok || json.Unmarshal(raw, &text) != nil {
		return ""
	}
	return cut(text, maxSaid)
}

func (c Call) validate() error {
	switch {
	case c.Event == "":
		return errors.New("parse event: no hook_event_name")
	case c.Event != EventPreToolUse:
		return nil
	case c.Tool == "":
		return errors.New("parse event: a tool call without tool_name")
	case c.ToolUseID == "":
		return errors.New("parse event: a tool call without tool_use_id")
	case len(c.Input) == 0 || c.Input[0] != '{':
		return errors.New("parse event: a tool call without tool_input")
	}
	return nil
}

// Hash is the sha256 of JSON in its canonical form, so that two spellings of
// one value have one hash.
func Hash(raw json.RawMessage) (string, error) {
	b, err := canonical(raw)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// canonical is raw with sorted keys, no spaces, one spelling for each string
// and number.
func canonical(raw []byte) ([]byte, error) {
	v, err := decode(raw)
	if err != nil {
		return nil, err
	}
	return encode(v)
}

// decode parses exactly one JSON value, with numbers in one spelling.
func decode(raw []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("parse JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("parse JSON: more than one value")
	}
	return v, nil
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(sameNumbers(v)); err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// sameNumbers gives each number of v the one spelling of number, in place.
func sameNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = sameNumbers(e)
		}
	case []any:
		for i, e := range v {
			v[i] = sameNumbers(e)
		}
	case json.Number:
		return json.Number(number(v))
	}
	return v
}

// number is n as the double it is to the CLI; 1e3 and 1000.0 are 1000. What is
// no double stays as it is.
func number(n json.Number) string {
	f, err := strconv.ParseFloat(string(n), 64)
	switch {
	case err != nil:
		return string(n)
	case f == 0:
		return "0" // -0 too
	case f == math.Trunc(f) && math.Abs(f) < 1e15:
		return strconv.FormatFloat(f, 'f', -1, 64)
	default:
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
}
