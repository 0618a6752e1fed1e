package projecthook

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// schema is as much of the published schema as can be held against the code.
type schema struct {
	Defs struct {
		Input, Answer struct {
			Required   []string
			Properties map[string]struct {
				Enum       []string
				Required   []string
				Properties map[string]any
				Const      int
				MaxLength  int
			}
		}
	} `json:"$defs"`
}

// keys are the names in a JSON object.
func keys(t *testing.T, data []byte) []string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(m))
}

// What is published is what hooks are told.
func TestSchema(t *testing.T) {
	data, err := os.ReadFile("../../docs/hooks-schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	full, err := encode(PreBash, About{}, Input{Tool: &Tool{Input: []byte("{}")}, Result: []byte("{}"), Commands: [][]string{nil}})
	if err != nil {
		t.Fatal(err)
	}
	least, err := encode(PostStop, About{}, Input{})
	if err != nil {
		t.Fatal(err)
	}
	in := s.Defs.Input
	for _, tt := range []struct {
		name      string
		want, got []string
	}{
		{"properties", slices.Sorted(maps.Keys(in.Properties)), keys(t, full)},
		{"required", slices.Sorted(slices.Values(in.Required)), keys(t, least)},
		{"hooks", in.Properties["hook"].Enum, Names()},
		{"answer", slices.Sorted(maps.Keys(s.Defs.Answer.Properties)), []string{"context", "decision", "input", "reason"}},
		{"decisions", s.Defs.Answer.Properties["decision"].Enum, []string{string(Allow), string(Ask), string(Deny)}},
		{"agent", slices.Sorted(maps.Keys(in.Properties["agent"].Properties)), []string{"kind", "name"}},
		{"tool", slices.Sorted(maps.Keys(in.Properties["tool"].Properties)), []string{"input", "name", "use_id"}},
	} {
		if !slices.Equal(tt.want, tt.got) {
			t.Errorf("%s: the schema has %q, the code %q", tt.name, tt.want, tt.got)
		}
	}
	if in.Properties["version"].Const != Version || s.Defs.Answer.Properties["context"].MaxLength != maxContext {
		t.Error("version or bound differ")
	}
	for _, doc := range [][]byte{full, least} {
		if strings.Contains(string(doc), "null") {
			t.Errorf("null in %s", doc)
		}
	}
}

// The examples of the reference are what they say.
func TestReference(t *testing.T) {
	data, err := os.ReadFile("../../docs/hooks-reference.md")
	if err != nil {
		t.Fatal(err)
	}
	var examples []string
	for i, part := range strings.Split(string(data), "```") {
		if body, ok := strings.CutPrefix(part, "json\n"); ok && i%2 == 1 {
			examples = append(examples, body)
		}
	}
	if len(examples) != 2 {
		t.Fatalf("%d examples, want an answer and an input", len(examples))
	}
	if a, err := parseAnswer(PreBash, []byte(examples[0])); err != nil || a.decision != Ask {
		t.Errorf("the answer: %+v, %v", a, err)
	}
	var d document
	dec := json.NewDecoder(strings.NewReader(examples[1]))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		t.Fatal(err)
	}
	again, err := encode(d.Hook, About{d.Run, d.Agent, d.Goal, d.Workspace, d.Base, d.Branch}, Input{
		Event: d.Event, Tool: d.Tool, Commands: d.Commands, Unparsed: d.Unparsed, Paths: d.Paths, Result: d.Result,
	})
	if err != nil || !slices.Equal(keys(t, again), keys(t, []byte(examples[1]))) {
		t.Errorf("the input: %s, %v", again, err)
	}
}
