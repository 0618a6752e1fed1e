package cli

import (
	"bytes"
	"io"

	"agentprocess/internal/term"
)

// visibleWriter passes on whole lines with everything visible in them that a
// terminal would act on.
type visibleWriter struct {
	w    io.Writer
	part []byte
}

// Write implements io.Writer.
func (v *visibleWriter) Write(p []byte) (int, error) {
	v.part = append(v.part, p...)
	end := bytes.LastIndexByte(v.part, '\n')
	if end < 0 {
		return len(p), nil
	}
	text := term.VisibleLines(string(v.part[:end+1]))
	v.part = append(v.part[:0], v.part[end+1:]...)
	if _, err := io.WriteString(v.w, text); err != nil {
		return 0, err
	}
	return len(p), nil
}
