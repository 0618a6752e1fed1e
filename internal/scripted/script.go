package scripted

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// Script is what the model says, to whom.
type Script struct {
	Conversations []Conversation `json:"conversations" toml:"conversations"`
}

// Conversation is one sequence of turns. After the last one, the model says
// "Done." and ends.
type Conversation struct {
	Name  string `json:"name" toml:"name"`
	Match Match  `json:"match" toml:"match"`
	Turns []Turn `json:"turns" toml:"turns"`
}

// Match says which requests a conversation answers. All set fields must fit;
// the zero value fits every request that offers tools.
type Match struct {
	// Contains is a part of the first user message.
	Contains string `json:"contains" toml:"contains"`
	// Model is a part of the model's name.
	Model string `json:"model" toml:"model"`
	// System is a part of the system prompt.
	System string `json:"system" toml:"system"`
	// Bare conversations answer requests that offer no tools, too.
	Bare bool `json:"bare" toml:"bare"`
}

// Turn is one answer of the model.
type Turn struct {
	Text string `json:"text" toml:"text"`
	// Tools are the calls the model asks for, after Text.
	Tools []Tool `json:"tools" toml:"tools"`
	// StopReason is "tool_use" or "end_turn" by what there is when empty.
	StopReason string `json:"stop_reason" toml:"stop_reason"`
	// Error is answered before the turn, Error.Times times; a turn that is
	// nothing else comes before the next one.
	Error *Error `json:"error" toml:"error"`
	// Gate holds the answer until [Server.Open] is called with this name.
	Gate string `json:"gate" toml:"gate"`
	// Within holds the tools of an answer that is streamed, when its text has
	// been sent, until [Server.Open] is called with this name.
	Within string `json:"within" toml:"within"`
	// Pause holds the answer for a time, so that people can follow.
	Pause Duration `json:"pause" toml:"pause"`
}

// Tool is a call of a tool. In strings of Input, {{cwd}} is the agent's
// working directory.
type Tool struct {
	ID    string         `json:"id" toml:"id"` // made up when empty
	Name  string         `json:"name" toml:"name"`
	Input map[string]any `json:"input" toml:"input"`
}

// Error is an HTTP error of the API, such as 401, 429 or 529.
type Error struct {
	Status  int    `json:"status" toml:"status"`
	Type    string `json:"type" toml:"type"` // by Status when empty
	Message string `json:"message" toml:"message"`
	// Times is how often it happens before the turn is answered; 0 is always.
	Times int `json:"times" toml:"times"`
	// RetryAfter is the value of that header, if any.
	RetryAfter string `json:"retry_after" toml:"retry_after"`
}

// Duration is a time.Duration written as in "150ms".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("parse duration %q: %w", text, err)
	}
	*d = Duration(v)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) {
	return []byte(time.Duration(d).String()), nil
}

// Load reads a script from a .json or .toml file. Unknown keys are errors.
func Load(path string) (Script, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Script{}, fmt.Errorf("load script: %w", err)
	}
	s, err := Parse(data, filepath.Ext(path))
	if err != nil {
		return Script{}, fmt.Errorf("load script %q: %w", path, err)
	}
	return s, nil
}

// Parse reads a script from data; ext is ".json" or ".toml".
func Parse(data []byte, ext string) (Script, error) {
	var s Script
	var err error
	switch ext {
	case ".json":
		dec := json.NewDecoder(strings.NewReader(string(data)))
		dec.DisallowUnknownFields()
		err = dec.Decode(&s)
	case ".toml":
		dec := toml.NewDecoder(strings.NewReader(string(data)))
		dec.DisallowUnknownFields()
		err = dec.Decode(&s)
	default:
		return Script{}, fmt.Errorf("extension %q: want .json or .toml", ext)
	}
	if err != nil {
		return Script{}, err
	}
	return s, s.validate()
}

// validate names everything that is wrong with a script at once.
func (s Script) validate() error {
	var errs []error
	for i, c := range s.Conversations {
		for j, t := range c.Turns {
			if err := t.validate(); err != nil {
				errs = append(errs, fmt.Errorf("conversation %d (%q), turn %d: %w", i+1, c.Name, j+1, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (t Turn) validate() error {
	for _, tool := range t.Tools {
		if tool.Name == "" {
			return errors.New("a tool has no name")
		}
	}
	if t.Error != nil && (t.Error.Status < 400 || t.Error.Status > 599) {
		return fmt.Errorf("error status %d: want 400 to 599", t.Error.Status)
	}
	return nil
}

// merged puts each turn that is only an error in front of the turn after it,
// for the model says nothing in it and so the client does not count it.
func (s Script) merged() Script {
	var out Script
	for _, c := range s.Conversations {
		var turns []Turn
		var pending *Error
		for i, t := range c.Turns {
			if t.Error == nil {
				t.Error, pending = pending, nil
			} else if t.Text == "" && len(t.Tools) == 0 && i < len(c.Turns)-1 && c.Turns[i+1].Error == nil {
				pending = t.Error
				continue
			}
			turns = append(turns, t)
		}
		c.Turns = turns
		out.Conversations = append(out.Conversations, c)
	}
	return out
}

// expand replaces {{cwd}} in every string of v.
func expand(v any, cwd string) any {
	switch v := v.(type) {
	case string:
		return strings.ReplaceAll(v, "{{cwd}}", cwd)
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = expand(e, cwd)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = expand(e, cwd)
		}
		return out
	default:
		return v
	}
}
