package agent

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"agentprocess/internal/audit"
)

const (
	// MaxLine bounds a line of output, which for Claude Code is one message.
	// It is what a hook takes, too: a tool call that does not fit is denied.
	MaxLine = 16 << 20
	// maxText bounds a text in an event; see shorten.
	maxText = 64 << 10
	// cutMark ends a text that was longer.
	cutMark = " [... cut]"
)

// Collector splits the output of a program into lines, has a Transcript read
// them and emits the events. Its writers may be used at the same time.
type Collector struct {
	mu         sync.Mutex
	transcript Transcript
	emit       func(audit.Payload) error
	lines      []*lineWriter
	err        error
}

// NewCollector makes a Collector. An error of emit fails the write in which it
// happened and every later one.
func NewCollector(t Transcript, emit func(audit.Payload) error) *Collector {
	return &Collector{transcript: t, emit: emit}
}

// Stdout takes what the program writes there.
func (c *Collector) Stdout() io.Writer { return c.writer(Stdout) }

// Stderr takes what the program writes there.
func (c *Collector) Stderr() io.Writer { return c.writer(Stderr) }

func (c *Collector) writer(stream Stream) io.Writer {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &lineWriter{owner: c, stream: stream}
	c.lines = append(c.lines, w)
	return w
}

// Close reads what is left of unended lines and gives the result. The error is
// the first of emit's.
func (c *Collector) Close() (Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.lines {
		if len(w.buf) > 0 || w.cut {
			w.flush(true)
		}
	}
	return c.transcript.Result(), c.err
}

// Result is what the transcript has said so far.
func (c *Collector) Result() Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.transcript.Result()
}

// lineWriter collects one stream.
type lineWriter struct {
	owner  *Collector
	stream Stream
	buf    []byte
	cut    bool
}

// Write implements io.Writer.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.owner.mu.Lock()
	defer w.owner.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		w.keep(line)
		if ended {
			w.flush(false)
		}
		p = rest
	}
	return n, w.owner.err
}

// keep adds to the line what still fits.
func (w *lineWriter) keep(part []byte) {
	if room := MaxLine - len(w.buf); len(part) > room {
		part, w.cut = part[:room], true
	}
	w.buf = append(w.buf, part...)
}

// flush reads the line. One that the end of the program has cut short hides
// nothing by that.
func (w *lineWriter) flush(unended bool) {
	line := bytes.TrimSuffix(w.buf, []byte{'\r'})
	if w.owner.err == nil {
		for _, p := range w.owner.transcript.Line(w.stream, line, w.cut) {
			if unended {
				p = ungarbled(p)
			}
			if w.owner.err = w.owner.emit(p); w.owner.err != nil {
				break
			}
		}
	}
	// Payloads may share the buffer, so a new line gets a new one.
	w.buf, w.cut = nil, false
}

// shorten gives at most maxText bytes of s, marked when there was more, as
// valid UTF-8.
func shorten(s string, cut bool) string {
	if len(s) > maxText {
		s, cut = s[:maxText], true
		for i := 0; i < utf8.UTFMax && len(s) > 0; i++ {
			if r, size := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || size > 1 {
				break
			}
			s = s[:len(s)-1]
		}
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if cut {
		s += cutMark
	}
	return s
}
