package projecthook

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Version is the version of what a hook reads and writes.
const Version = 1

// About is what all calls of a run have in common.
type About struct {
	Run       string
	Agent     Agent
	Goal      string
	Workspace string // absolute path of the tree inside
	Base      string // commit id
	Branch    string
}

// Agent is who calls tools.
type Agent struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}

// Input is one call as a hook is told it.
type Input struct {
	Event string // "PreToolUse"
	Tool  *Tool  // nil when the agent stops
	// Commands are the programs that a shell command runs, with their words.
	Commands [][]string
	// Unparsed says what of a shell command could not be understood; Commands
	// may lack something then.
	Unparsed []string
	// Paths are the files that the call writes: absolute, links followed.
	Paths []string
	// Result is what the tool answered, for the hooks that come after.
	Result json.RawMessage
}

// Tool is a call of a tool.
type Tool struct {
	Name  string          `json:"name"`
	UseID string          `json:"use_id"`
	Input json.RawMessage `json:"input"`
}

// document is the JSON on a hook's stdin; docs/hooks-schema.json describes it.
type document struct {
	Version   int             `json:"version"`
	Hook      string          `json:"hook"`
	Event     string          `json:"event"`
	Run       string          `json:"run"`
	Agent     Agent           `json:"agent"`
	Goal      string          `json:"goal"`
	Workspace string          `json:"workspace"`
	Base      string          `json:"base"`
	Branch    string          `json:"branch"`
	Tool      *Tool           `json:"tool,omitempty"`
	Commands  [][]string      `json:"commands"`
	Unparsed  []string        `json:"unparsed"`
	Paths     []string        `json:"paths"`
	Result    json.RawMessage `json:"result,omitempty"`
}

// encode writes the document. Lists are never null: a hook may go through them
// without asking.
func encode(name string, a About, in Input) ([]byte, error) {
	d := document{
		Version: Version, Hook: name, Event: in.Event, Run: a.Run, Agent: a.Agent, Goal: a.Goal,
		Workspace: a.Workspace, Base: a.Base, Branch: a.Branch, Tool: in.Tool,
		Commands: append([][]string{}, in.Commands...), Unparsed: append([]string{}, in.Unparsed...),
		Paths: append([]string{}, in.Paths...), Result: in.Result,
	}
	for i, words := range d.Commands {
		if words == nil {
			d.Commands[i] = []string{}
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // hooks may be scripts that look at the text
	if err := enc.Encode(d); err != nil {
		return nil, fmt.Errorf("encode the call: %w", err)
	}
	return b.Bytes(), nil
}
