package scripted

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// chunk is how much text or JSON goes into one streamed event.
const chunk = 4 << 10

// answer is a turn as the API sends it.
type answer struct {
	id, model string
	blocks    []block
	stop      string
	in, out   int
}

type block struct {
	Type  string          `json:"type"`
	Text  string          `json:"text,omitempty"`
	ID    string          `json:"id,omitempty"`
	Name  string          `json:"name,omitempty"`
	Input json.RawMessage `json:"input,omitempty"`
}

func newAnswer(m messages, t Turn, serial int) answer {
	id := fmt.Sprintf("%s_%d", m.key(), serial)
	a := answer{id: "msg_" + id, model: m.Model, stop: t.StopReason, out: tokens(len(t.Text))}
	if t.Text != "" || len(t.Tools) == 0 {
		a.blocks = append(a.blocks, block{Type: "text", Text: t.Text})
	}
	cwd := m.cwd()
	for i, tool := range t.Tools {
		b := tool.block(cwd)
		if b.ID == "" {
			b.ID = fmt.Sprintf("toolu_%s_%d", id, i+1)
		}
		a.out += tokens(len(b.Input))
		a.blocks = append(a.blocks, b)
	}
	if a.stop == "" {
		a.stop = "end_turn"
		if len(t.Tools) > 0 {
			a.stop = "tool_use"
		}
	}
	for _, msg := range m.Messages {
		a.in += tokens(len(msg.Content))
	}
	return a
}

// block is the call as the API writes it.
func (t Tool) block(cwd string) block {
	input := t.Input
	if input == nil {
		input = map[string]any{}
	}
	// A map of strings to plain values always has a JSON form: it came from one.
	data, err := json.Marshal(expand(input, cwd))
	if err != nil {
		data = []byte("{}")
	}
	return block{Type: "tool_use", ID: t.ID, Name: t.Name, Input: data}
}

// tokens is a rough count for n bytes of text.
func tokens(n int) int { return n/4 + 1 }

func (a answer) usage() map[string]int {
	return map[string]int{
		"input_tokens": a.in, "output_tokens": a.out,
		"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
	}
}

// message is the answer as one object; a stream starts with an empty one.
func (a answer) message(whole bool) map[string]any {
	m := map[string]any{
		"id": a.id, "type": "message", "role": "assistant", "model": a.model, "content": []block{},
		"stop_reason": nil, "stop_sequence": nil, "usage": a.usage(),
	}
	if whole {
		m["content"], m["stop_reason"] = a.blocks, a.stop
	}
	return m
}

// stream sends the answer as server-sent events. What comes after the first
// block waits until within returns.
func (a answer) stream(w http.ResponseWriter, within func() error) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	s := &events{w: w}
	s.send("message_start", map[string]any{"message": a.message(false)})
	for i, b := range a.blocks {
		if i == 1 && s.err == nil {
			s.err = within()
		}
		s.block(i, b)
	}
	s.send("message_delta", map[string]any{
		"delta": map[string]any{"stop_reason": a.stop, "stop_sequence": nil},
		"usage": map[string]int{"output_tokens": a.out},
	})
	s.send("message_stop", map[string]any{})
}

// events writes server-sent events; after an error (the client went away) it
// writes nothing more.
type events struct {
	w   http.ResponseWriter
	err error
}

func (s *events) send(kind string, data map[string]any) {
	if s.err != nil {
		return
	}
	data["type"] = kind
	text, err := json.Marshal(data)
	if err != nil {
		s.err = err
		return
	}
	if _, s.err = fmt.Fprintf(s.w, "event: %s\ndata: %s\n\n", kind, text); s.err != nil {
		return
	}
	if f, ok := s.w.(http.Flusher); ok {
		f.Flush()
	}
}

func (s *events) block(index int, b block) {
	start, delta, key, text := b, "text_delta", "text", b.Text
	start.Text = ""
	startBlock := map[string]any{"type": "text", "text": ""}
	if b.Type == "tool_use" {
		startBlock = map[string]any{"type": "tool_use", "id": b.ID, "name": b.Name, "input": map[string]any{}}
		delta, key, text = "input_json_delta", "partial_json", string(b.Input)
	}
	s.send("content_block_start", map[string]any{"index": index, "content_block": startBlock})
	for len(text) > 0 {
		n := cut(text)
		s.send("content_block_delta", map[string]any{
			"index": index, "delta": map[string]any{"type": delta, key: text[:n]},
		})
		text = text[n:]
	}
	s.send("content_block_stop", map[string]any{"index": index})
}

// cut is where to end the next piece of text: never inside a character.
func cut(text string) int {
	if len(text) <= chunk {
		return len(text)
	}
	n := chunk
	for n > chunk-4 && text[n]&0xC0 == 0x80 {
		n--
	}
	return n
}

// writeError answers with an error in the API's form.
func writeError(w http.ResponseWriter, e Error) {
	if e.Type == "" {
		e.Type = errorType(e.Status)
	}
	if e.Message == "" {
		e.Message = http.StatusText(e.Status)
	}
	if e.RetryAfter != "" {
		w.Header().Set("Retry-After", e.RetryAfter)
	}
	writeJSON(w, e.Status, map[string]any{
		"type": "error", "error": map[string]string{"type": e.Type, "message": e.Message},
	})
}

func errorType(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "invalid_request_error"
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case 529:
		return "overloaded_error"
	default:
		return "api_error"
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client went away
}
