package workspace

import (
	"bytes"
	"fmt"
	"strings"
)

// pairReader reads `git diff-tree -r -z --raw --stdin` for pairs of trees as
// it comes: what an agent made may be too much to keep.
type pairReader struct {
	stray func(pair [2]string, path string)

	pair    [2]string
	rest    []byte // a field that has not ended
	pathNow bool   // the next field is a path
	err     error
}

// maxDiffField bounds a path and what stands before it; a pair that does not
// differ adds a line.
const maxDiffField = 64 << 20

// Write implements io.Writer.
func (r *pairReader) Write(p []byte) (n int, err error) {
	n, r.err = r.read(p)
	return n, r.err
}

func (r *pairReader) read(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, 0)
		if i < 0 {
			break
		}
		field := p[:i]
		if len(r.rest) > 0 {
			field = append(r.rest, field...)
			r.rest = nil
		}
		if err := r.field(string(field)); err != nil {
			return 0, err
		}
		p = p[i+1:]
	}
	if len(r.rest)+len(p) > maxDiffField {
		return 0, errTooLarge
	}
	r.rest = append(r.rest, p...)
	return n, nil
}

func (r *pairReader) field(f string) error {
	if r.pathNow {
		r.pathNow = false
		r.stray(r.pair, f)
		return nil
	}
	for {
		line, rest, found := strings.Cut(f, "\n")
		if !found {
			break
		}
		a, b, two := strings.Cut(line, " ")
		if !two || !isObjectID(a) || !isObjectID(b) {
			return fmt.Errorf("diff header %q is not understood", truncate([]byte(line), 200))
		}
		r.pair, f = [2]string{a, b}, rest
	}
	if !strings.HasPrefix(f, ":") || r.pair[0] == "" {
		return fmt.Errorf("diff entry %q is not understood", truncate([]byte(f), 200))
	}
	r.pathNow = true
	return nil
}

// end checks that nothing was cut off; headers of pairs without a difference
// may be left.
func (r *pairReader) end() error {
	if r.err != nil {
		return r.err
	}
	if r.pathNow {
		return fmt.Errorf("the comparison of %v ended early", r.pair)
	}
	for line := range strings.Lines(string(r.rest)) {
		a, b, two := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !two || !isObjectID(a) || !isObjectID(b) {
			return fmt.Errorf("diff header %q is not understood", truncate([]byte(line), 200))
		}
	}
	return nil
}
