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
)

// Version is the version of the wire protocol.
const Version = 1

const (
	// MaxMessage bounds a question: the CLI's JSON for one event.
	MaxMessage = 16 << 20
	// maxAnswer bounds an answer.
	maxAnswer = 64 << 10
	// maxReason bounds the text of a denial.
	maxReason = 8 << 10
	// envelope is what a question adds to the CLI's JSON, at most.
	envelope = 64
)

// errMessageSize is a frame that is empty or over its bound.
var errMessageSize = errors.New("message size out of bounds")

type question struct {
	Version int             `json:"v"`
	Event   json.RawMessage `json:"event"`
}

type answer struct {
	Version  int    `json:"v"`
	ID       string `json:"id"`
	Request  string `json:"request"`
	Decision string `json:"decision"`
	Reason   string `json:"reason,omitempty"`
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

// decodeAnswer accepts only a complete answer to this very question.
func decodeAnswer(data []byte, request string) (answer, error) {
	var a answer
	if err := json.Unmarshal(data, &a); err != nil {
		return a, fmt.Errorf("parse answer: %w", err)
	}
	switch {
	case a.Version != Version:
		return a, fmt.Errorf("answer of version %d: want %d", a.Version, Version)
	case a.Request != request:
		return a, errors.New("answer to another question")
	case a.ID == "":
		return a, errors.New("answer without a receipt")
	case a.Decision != allow && a.Decision != deny:
		return a, fmt.Errorf("answer with decision %q", a.Decision)
	}
	return a, nil
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
