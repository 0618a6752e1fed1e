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
	// EventStop comes when the agent has finished a turn.
	EventStop = "Stop"
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
	Raw        json.RawMessage
	Peer       Peer
}

// Peer is the process at the other end of a socket, as the kernel says. It is
// zero where the kernel cannot say.
type Peer struct{ PID, UID, GID int }

// Decision is the answer to a call. Only an Allow of true allows.
type Decision struct {
	Allow  bool
	Rule   string // what decided, for the record
	Reason string // told to the model when it is a denial
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
