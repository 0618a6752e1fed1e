package projecthook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// maxStdout bounds an answer: a modified input may hold a whole file.
	maxStdout = 8 << 20
	// maxContext bounds what is told to the model besides.
	maxContext = 16 << 10
)

// answer is what a hook says on stdout.
type answer struct {
	decision Decision
	reason   string
	context  string
	input    json.RawMessage
}

// parseAnswer reads the stdout of a hook that exited with 0. It is strict: a
// word that is misspelled must not turn a denial into nothing.
func parseAnswer(name string, out []byte) (answer, error) {
	if out = bytes.TrimSpace(out); len(out) == 0 {
		return answer{decision: Allow}, nil
	}
	if !utf8.Valid(out) {
		return answer{}, errors.New("it is not UTF-8")
	}
	fields, err := object(out)
	if err != nil {
		return answer{}, err
	}
	var a answer
	for key, raw := range fields {
		var err error
		switch key {
		case "decision":
			err = json.Unmarshal(raw, &a.decision)
		case "reason":
			err = json.Unmarshal(raw, &a.reason)
		case "context":
			err = json.Unmarshal(raw, &a.context)
		case "input":
			a.input = raw
		default:
			err = errors.New("there is no such field; those there are: decision, reason, input, context")
		}
		if err != nil {
			return answer{}, fmt.Errorf("field %q: %w", key, err)
		}
	}
	if _, given := fields["decision"]; !given && a.reason == "" {
		a.decision = Allow
	}
	return a, a.check(name)
}

// check refuses what makes no sense together.
func (a answer) check(name string) error {
	allowed := []Decision{Allow, Ask, Deny}
	if after(name) {
		allowed = []Decision{Allow, Deny}
	}
	switch {
	case a.decision == "":
		return errors.New("a reason without a decision")
	case !slices.Contains(allowed, a.decision):
		return fmt.Errorf("decision %q: %s answers one of %q", string(a.decision), name, allowed)
	case a.input == nil:
	case after(name):
		return fmt.Errorf("%s cannot change the input: the tool has run", name)
	case a.decision == Deny:
		return errors.New("an input for a call that is denied")
	case a.input[0] != '{':
		return errors.New("input is not an object")
	}
	if len(a.context) > maxContext {
		return fmt.Errorf("context is %d bytes long, at most %d may be", len(a.context), maxContext)
	}
	return nil
}

// after reports whether a hook comes when the tool has run.
func after(name string) bool { return strings.HasPrefix(name, "post-") }

// object reads exactly one JSON object, whose names are matched as they are
// and may stand once.
func object(data []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("it is not a JSON object")
	}
	fields := map[string]json.RawMessage{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("it is not JSON: %w", err)
		}
		key, ok := t.(string)
		if _, twice := fields[key]; !ok || twice {
			return nil, fmt.Errorf("field %q is there twice", key)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, fmt.Errorf("it is not JSON: %w", err)
		}
		if string(raw) == "null" {
			return nil, fmt.Errorf("field %q is null", key)
		}
		fields[key] = raw
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the JSON object")
	}
	return fields, nil
}
