package hook

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Version is the version of the wire protocol.
const Version = 2

const (
	// MaxMessage bounds a question: the CLI's JSON for one event.
	MaxMessage = 16 << 20
	// MaxInput bounds an input that replaces the tool's own.
	MaxInput = 1 << 20
	// MaxHold bounds how long all holds of one call together may last.
	MaxHold = time.Hour
	// MaxPaths bounds how many paths one question about them may have.
	MaxPaths = 256

	// maxFrame bounds what the server sends: an answer, a question about paths.
	maxFrame = MaxInput + 128<<10
	// maxReply bounds what the client answers about paths.
	maxReply = 1 << 20
	// maxPathBytes bounds the paths of one question about them, together.
	maxPathBytes = 64 << 10
	// maxPath bounds one path; no kernel takes a longer one.
	maxPath = 4096
	// maxFrames bounds how many frames come before and with an answer.
	maxFrames = 64
	// maxReason bounds the text of a denial.
	maxReason = 8 << 10
	// maxContext bounds what the model is told besides.
	maxContext = 16 << 10
	// envelope is what a question adds to the CLI's JSON, at most.
	envelope = 64
)

var (
	// errMessageSize is a frame that is empty or over its bound.
	errMessageSize = errors.New("message size out of bounds")
	// errOddFrame is a frame that says nothing, too much, or nothing known.
	errOddFrame = errors.New("a message that has no meaning")
)

type question struct {
	Version int             `json:"v"`
	Event   json.RawMessage `json:"event"`
}

// answer ends a conversation.
type answer struct {
	Version  int             `json:"v"`
	ID       string          `json:"id"`
	Request  string          `json:"request"`
	Decision string          `json:"decision"`
	Reason   string          `json:"reason,omitempty"`
	Input    json.RawMessage `json:"input,omitempty"`
	Context  string          `json:"context,omitempty"`
}

// inquiry is what the server may send before its answer: one of the two.
type inquiry struct {
	Version int      `json:"v"`
	Resolve []string `json:"resolve,omitempty"`
	Hold    int      `json:"hold,omitempty"` // seconds
}

// reply is what the client knows of paths: each is in one of the maps.
type reply struct {
	Version  int               `json:"v"`
	Resolved map[string]string `json:"resolved"`
	Errors   map[string]string `json:"errors,omitempty"`
}

// frame is what a client was sent: an answer, or an inquiry.
type frame struct {
	answer  *answer
	resolve []string
	hold    time.Duration
}

// encodeQuestion wraps the CLI's JSON without copying it through a parser.
func encodeQuestion(event []byte) ([]byte, error) {
	event = bytes.TrimSpace(event)
	if !json.Valid(event) {
		return nil, errors.New("the hook's input is not JSON")
	}
	b := make([]byte, 0, len(event)+envelope)
	b = fmt.Appendf(b, `{"v":%d,"event":`, Version)
	b = append(b, event...)
	return append(b, '}'), nil
}

func decodeQuestion(data []byte) (json.RawMessage, error) {
	var q question
	if err := json.Unmarshal(data, &q); err != nil {
		return nil, fmt.Errorf("parse question: %w", err)
	}
	if q.Version != Version {
		return nil, fmt.Errorf("question of version %d: want %d", q.Version, Version)
	}
	return q.Event, nil
}

// decodeFrame accepts exactly one of the three things a server may say. request
// is the digest of our question.
func decodeFrame(data []byte, request string) (frame, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return frame{}, fmt.Errorf("parse message: %w", err)
	}
	if v := string(m["v"]); v != fmt.Sprint(Version) {
		return frame{}, fmt.Errorf("message of version %q: want %d", v, Version)
	}
	if _, ok := m["decision"]; ok {
		a, err := decodeAnswer(data, m, request)
		return frame{answer: &a}, err
	}
	if len(m) != 2 {
		return frame{}, errOddFrame
	}
	if raw, ok := m["hold"]; ok {
		d, err := decodeHold(raw)
		return frame{hold: d}, err
	}
	var paths []string
	if err := json.Unmarshal(m["resolve"], &paths); err != nil {
		return frame{}, fmt.Errorf("%w: %w", errOddFrame, err)
	}
	return frame{resolve: paths}, checkPaths(paths)
}

func decodeHold(raw []byte) (time.Duration, error) {
	var seconds int
	if err := json.Unmarshal(raw, &seconds); err != nil {
		return 0, fmt.Errorf("%w: %w", errOddFrame, err)
	}
	if seconds <= 0 || seconds > int(MaxHold/time.Second) {
		return 0, fmt.Errorf("%w: a hold of %d s", errOddFrame, seconds)
	}
	return time.Duration(seconds) * time.Second, nil
}

// decodeAnswer accepts only a complete answer to this very question, without
// anything that we would not understand.
func decodeAnswer(data []byte, keys map[string]json.RawMessage, request string) (answer, error) {
	for key := range keys {
		switch key {
		case "v", "id", "request", "decision", "reason", "input", "context":
		default:
			return answer{}, fmt.Errorf("%w: %q in an answer", errOddFrame, key)
		}
	}
	var a answer
	if err := json.Unmarshal(data, &a); err != nil {
		return a, fmt.Errorf("parse answer: %w", err)
	}
	switch {
	case a.Request != request:
		return a, errors.New("answer to another question")
	case a.ID == "":
		return a, errors.New("answer without a receipt")
	case a.Decision != allow && a.Decision != deny:
		return a, fmt.Errorf("answer with decision %q", a.Decision)
	case a.Input != nil && !isObject(a.Input):
		return a, errors.New("answer with an input that is no object")
	}
	return a, nil
}

// isObject says whether raw, which is valid JSON, is an object. An input that
// is none would be ignored by the CLI, which then runs the original one.
func isObject(raw []byte) bool {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	return len(raw) > 0 && raw[0] == '{'
}

// digest names the bytes of a question.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func writeFrame(w io.Writer, data []byte) error {
	frame := make([]byte, 4, 4+len(data))
	binary.BigEndian.PutUint32(frame, uint32(len(data))) //nolint:gosec // bounded by MaxMessage
	_, err := w.Write(append(frame, data...))
	return err
}

// writeJSON sends v as one frame of at most limit bytes.
func writeJSON(w io.Writer, v any, limit int) error {
	data, err := json.Marshal(v)
	switch {
	case err != nil:
		return err
	case len(data) > limit:
		return fmt.Errorf("%w: %d bytes", errMessageSize, len(data))
	}
	return writeFrame(w, data)
}

// readFrame reads one frame of at most limit bytes.
func readFrame(r io.Reader, limit int) ([]byte, error) {
	n, err := readLength(r, limit)
	if err != nil {
		return nil, err
	}
	return readBody(r, n)
}

// readLength reads the head of a frame.
func readLength(r io.Reader, limit int) (int, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, fmt.Errorf("read message length: %w", err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || uint64(n) > uint64(limit) { //nolint:gosec // limit is a positive constant
		return 0, fmt.Errorf("%w: %d bytes", errMessageSize, n)
	}
	return int(n), nil
}

// readBody reads n bytes. Memory grows with what arrives, not with what was
// announced.
func readBody(r io.Reader, n int) ([]byte, error) {
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r, int64(n)); err != nil {
		return nil, fmt.Errorf("read message of %d bytes: %w", n, err)
	}
	return b.Bytes(), nil
}
