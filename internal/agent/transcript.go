package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"agentprocess/internal/audit"
	"agentprocess/internal/sandbox"
)

// maxID bounds ids and names from a transcript.
const maxID = 512

// maxInput is how much of a tool's input is kept in the record; see Bounded.
const maxInput = 256 << 10

// claudeTranscript reads `claude --output-format stream-json`: one JSON object
// a line. What it does not know, it passes over; what is no JSON is output.
type claudeTranscript struct {
	result Result
	begun  bool // it has said what it is: from here on all of its stdout is JSON
	turns  int
	// parts are the tokens per result, for a CLI that does not sum them up.
	input, output int64
}

// streamLine is the part of a line that is looked at.
type streamLine struct {
	Type      string `json:"type"`
	Subtype   string `json:"subtype"`
	SessionID string `json:"session_id"`
	Parent    string `json:"parent_tool_use_id"`
	// system
	Model       string          `json:"model"`
	Version     string          `json:"claude_code_version"`
	Attempt     int             `json:"attempt"`
	MaxRetries  int             `json:"max_retries"`
	ErrorStatus int             `json:"error_status"`
	Error       json.RawMessage `json:"error"` // a word here, an object there
	// assistant, user
	Message struct {
		Content json.RawMessage `json:"content"`
	} `json:"message"`
	// result
	final
}

// final is the content of a result line.
type final struct {
	IsError   bool                  `json:"is_error"`
	APIStatus int                   `json:"api_error_status"`
	Turns     int                   `json:"num_turns"`
	USD       float64               `json:"total_cost_usd"`
	Text      string                `json:"result"`
	Errors    []string              `json:"errors"`
	Usage     tokenUsage            `json:"usage"`
	Models    map[string]modelUsage `json:"modelUsage"`
}

type tokenUsage struct {
	Input         int64 `json:"input_tokens"`
	Output        int64 `json:"output_tokens"`
	CacheCreation int64 `json:"cache_creation_input_tokens"`
	CacheRead     int64 `json:"cache_read_input_tokens"`
}

type modelUsage struct {
	Input         int64 `json:"inputTokens"`
	Output        int64 `json:"outputTokens"`
	CacheCreation int64 `json:"cacheCreationInputTokens"`
	CacheRead     int64 `json:"cacheReadInputTokens"`
}

// contentBlock is a part of a message.
type contentBlock struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	IsError   bool            `json:"is_error"`
	Content   json.RawMessage `json:"content"`
}

// Line implements Transcript.
func (t *claudeTranscript) Line(stream Stream, line []byte, cut bool) []audit.Payload {
	switch {
	case len(bytes.TrimSpace(line)) == 0:
		return nil
	case cut && stream == Stdout:
		text := fmt.Sprintf("a message of the agent is over %d bytes; it is not in the record", MaxLine)
		return []audit.Payload{audit.Notice{Level: audit.Warn, Text: text}}
	case stream != Stdout:
		return []audit.Payload{output(stream, line, cut)}
	}
	var l streamLine
	if err := json.Unmarshal(line, &l); line[0] != '{' || err != nil {
		return []audit.Payload{t.odd(line)}
	}
	if l.SessionID != "" {
		t.result.Session = clip(l.SessionID)
	}
	switch l.Type {
	case "system":
		return t.system(l)
	case "assistant":
		return t.assistant(l)
	case "user":
		return results(l)
	case "result":
		return t.end(l.final)
	default:
		return nil
	}
}

// odd is a line of stdout that is no message. Tool calls of an agent that has
// begun may be in it: then nobody can say whether they were judged.
func (t *claudeTranscript) odd(line []byte) audit.Payload {
	out := output(Stdout, line, false)
	tools := bytes.Contains(line, []byte(`"tool_use`)) || bytes.Contains(line, []byte(`"tool_result`))
	if t.begun && (tools || !json.Valid(line)) {
		return Garbled{out}
	}
	return out
}

// Garbled is output where a message of the agent's transcript belongs.
type Garbled struct{ audit.Output }

// ungarbled is p as output that means nothing more.
func ungarbled(p audit.Payload) audit.Payload {
	if g, ok := p.(Garbled); ok {
		return g.Output
	}
	return p
}

// Result implements Transcript.
func (t *claudeTranscript) Result() Result { return t.result }

func (t *claudeTranscript) system(l streamLine) []audit.Payload {
	switch l.Subtype {
	case "init":
		t.begun = true
		t.result.Version, t.result.Model = clip(l.Version), clip(l.Model)
	case "api_retry":
		if refused(l.ErrorStatus) {
			t.result.NeedsAuth = true
		}
		text := fmt.Sprintf("the API answered %s; try %d of %d failed", status(l.ErrorStatus), l.Attempt, l.MaxRetries)
		return []audit.Payload{audit.Notice{Level: audit.Warn, Text: text}}
	}
	return nil
}

// refused says whether the API did not accept the credential.
func refused(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

func status(code int) string {
	switch {
	case code == 0:
		return "nothing"
	case http.StatusText(code) != "":
		return fmt.Sprintf("%d (%s)", code, http.StatusText(code))
	default:
		return fmt.Sprint(code)
	}
}

func (t *claudeTranscript) assistant(l streamLine) []audit.Payload {
	var out []audit.Payload
	for _, b := range blocks(l.Message.Content) {
		switch {
		case b.Type == "text" && b.Text != "" && l.Parent == "":
			out = append(out, audit.Say{Text: shorten(b.Text, false)})
		case b.Type == "tool_use" && usable(b.ID):
			out = append(out, audit.ToolCall{
				ID: b.ID, Name: clip(b.Name), Input: object(b.Input), Parent: clip(l.Parent),
			})
		}
	}
	if string(l.Error) == `"authentication_failed"` {
		t.result.NeedsAuth = true
	}
	return out
}

// results are the tool results in a user message.
func results(l streamLine) []audit.Payload {
	var out []audit.Payload
	for _, b := range blocks(l.Message.Content) {
		if b.Type == "tool_result" && usable(b.ToolUseID) {
			out = append(out, audit.ToolResult{ID: b.ToolUseID, IsError: b.IsError, Text: shorten(text(b.Content), false)})
		}
	}
	return out
}

func (t *claudeTranscript) end(f final) []audit.Payload {
	t.turns += max(f.Turns, 0)
	t.input += f.Usage.Input + f.Usage.CacheCreation + f.Usage.CacheRead
	t.output += f.Usage.Output
	cost := sandbox.Cost{InputTokens: t.input, OutputTokens: t.output, USD: f.USD, Turns: t.turns}
	if len(f.Models) > 0 {
		cost.InputTokens, cost.OutputTokens = 0, 0
		for _, m := range f.Models {
			cost.InputTokens += m.Input + m.CacheCreation + m.CacheRead
			cost.OutputTokens += m.Output
		}
	}
	t.result.Cost, t.result.Ended, t.result.Failed = cost, true, f.IsError
	t.result.Text = shorten(f.Text, false)
	if f.Text == "" && len(f.Errors) > 0 {
		t.result.Text = shorten(strings.Join(f.Errors, "; "), false)
	}
	switch {
	case f.IsError && refused(f.APIStatus):
		t.result.NeedsAuth = true
	case !f.IsError:
		t.result.NeedsAuth = false // it got through in the end
	}
	return []audit.Payload{audit.Usage{Cost: cost}}
}

// blocks are the parts of a message's content, which may be a plain string.
func blocks(raw json.RawMessage) []contentBlock {
	var list []contentBlock
	if json.Unmarshal(raw, &list) == nil {
		return list
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []contentBlock{{Type: "text", Text: text}}
	}
	return nil
}

// text is the content of a tool result as text.
func text(raw json.RawMessage) string {
	var b strings.Builder
	for _, block := range blocks(raw) {
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		if block.Type == "text" {
			b.WriteString(block.Text)
		} else {
			fmt.Fprintf(&b, "[%s]", clip(block.Type))
		}
		if b.Len() > maxText {
			break
		}
	}
	return b.String()
}

// usable says whether an id can be one: a call without is no call.
func usable(id string) bool { return id != "" && len(id) <= maxID }

// clip bounds a name.
func clip(s string) string {
	if len(s) > maxID {
		s = s[:maxID]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// object is a tool's input, {} when there is none.
func object(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("{}")
	}
	return raw
}

// Bounded is p as the record should have it: a tool call's input, complete in
// the events of a Transcript so that it can be compared with what was judged,
// is replaced by its size and hash when it is large.
func Bounded(p audit.Payload) audit.Payload {
	p = ungarbled(p)
	c, ok := p.(audit.ToolCall)
	if !ok || len(c.Input) <= maxInput {
		return p
	}
	sum := sha256.Sum256(c.Input)
	// A string and a number always have a JSON form.
	c.Input = fmt.Appendf(nil, `{"agent_process_cut":{"bytes":%d,"sha256":%q}}`, len(c.Input), hex.EncodeToString(sum[:]))
	return c
}
