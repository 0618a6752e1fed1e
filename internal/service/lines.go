package service

import (
	"bytes"
	"sync"

	"agentprocess/internal/audit"
)

// longestLine is how much of one line of output is recorded, in bytes.
const longestLine = 8 << 10

// lines records what is written to it, a line at a time.
type lines struct {
	stream string
	rec    *audit.Recorder

	mu   sync.Mutex
	part []byte
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := p; ; {
		line, after, found := bytes.Cut(rest, []byte("\n"))
		l.keep(line)
		if !found {
			return len(p), nil
		}
		l.emit()
		rest = after
	}
}

// keep adds to the line that is being read, as far as it is recorded.
func (l *lines) keep(p []byte) {
	l.part = append(l.part, p[:min(len(p), longestLine-len(l.part))]...)
}

func (l *lines) emit() {
	l.rec.Record(audit.Output{Stream: l.stream, Text: string(bytes.TrimSuffix(l.part, []byte("\r")))})
	l.part = l.part[:0]
}

// flush records a last line that had no end.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.emit()
	}
}
