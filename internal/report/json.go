package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"unicode"

	"agentprocess/internal/audit"
	"agentprocess/internal/term"
)

// JSON prints a value as indented JSON.
func JSON(s *term.Screen, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	return write(s, b.Bytes())
}

// JSONLines is an audit.Sink that prints one event a line, byte for byte as it
// was hashed unless a terminal would act on it. Like Live it outlives its
// reader.
type JSONLines struct {
	mu     sync.Mutex
	screen *term.Screen
	err    error
}

// NewJSONLines makes a stream of JSON lines onto a screen.
func NewJSONLines(screen *term.Screen) *JSONLines { return &JSONLines{screen: screen} }

// Write implements audit.Sink.
func (j *JSONLines) Write(e audit.Event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode event %d: %w", e.Seq, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err == nil {
		j.err = write(j.screen, append(line, '\n'))
	}
	return nil
}

// Close says whether all could be printed.
func (j *JSONLines) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// write prints JSON. encoding/json leaves C1 controls and bidirectional
// overrides in strings as they are; on a terminal they become escapes, which
// are the same JSON.
func write(s *term.Screen, text []byte) error {
	if s.TTY {
		text = escape(text)
	}
	if _, err := s.Write(text); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// escape writes what a terminal would act on as \u escapes. Such runes stand
// in strings only: all else in JSON is ASCII.
func escape(text []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(text) {
		switch {
		case r == '\n' || r >= ' ' && r < 0x7f:
			b.WriteRune(r)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := (r-0x10000)>>10+0xd800, (r-0x10000)&0x3ff+0xdc00
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.Bytes()
}
