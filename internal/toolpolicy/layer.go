package toolpolicy

import (
	"fmt"
	"strings"
	"time"
)

// Layer is one policy file: what [Parse] made of it.
type Layer struct {
	source   string
	rules    []*rule
	disable  []ref
	unparsed Action
	hooks    map[string]hookSettings
	// broken makes every policy with this layer an error.
	broken error
}

// ref is the mention of a rule, and where it stands.
type ref struct {
	id           string
	line, column int
}

func (r ref) problem(source, key string) FileError {
	return FileError{
		Source: source, Line: r.line, Column: r.column,
		Text: fmt.Sprintf("%s: no layer below has a rule %q", key, r.id),
	}
}

func refs(list []ref) (ids []string) {
	for _, r := range list {
		ids = append(ids, r.id)
	}
	return ids
}

type hookSettings struct {
	observe *bool
	timeout time.Duration
	memory  int64
}

// FileError is one thing that is wrong with a policy, and where.
type FileError struct {
	Source       string
	Line, Column int // 0 when it stands on no line
	Text         string
}

// String gives it as compilers do.
func (p FileError) String() string {
	if p.Line == 0 {
		return p.Source + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.Source, p.Line, p.Column, p.Text)
}

// FileErrors is the error of [Parse] and [New]: everything that is wrong.
type FileErrors []FileError

// Error implements error, one problem a line.
func (p FileErrors) Error() string {
	lines := make([]string, len(p))
	for i, e := range p {
		lines[i] = e.String()
	}
	return strings.Join(lines, "\n")
}

func (p FileErrors) err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}
