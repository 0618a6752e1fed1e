package toolpolicy

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestTouch(t *testing.T) {
	tests := []struct {
		tool, input string
		want        Touched
	}{
		{"Bash", `{"command":"ls > x"}`, Touched{Shell: true, Line: "ls > x"}},
		{"Monitor", `{"command":"tail -f x"}`, Touched{Shell: true, Line: "tail -f x"}},
		{"mcp__host__run_shell", `{"command":"ls"}`, Touched{Shell: true, Line: "ls"}},
		{"Write", `{"file_path":"a","content":""}`, Touched{Writes: []string{"a"}}},
		{"NotebookEdit", `{"notebook_path":"/n"}`, Touched{Writes: []string{"/n"}}},
		{"mcp__fs__write_file", `{"path":"a"}`, Touched{Writes: []string{"a"}}},
		{"mcp__fs__delete", `{"paths":["a","b"]}`, Touched{Removes: []string{"a", "b"}}},
		{"mcp__fs__read_file", `{"path":"a"}`, Touched{}},
		{"mcp__fs__frobnicate", `{"path":"a"}`, Touched{Writes: []string{"a"}}},
		{"Read", `{"file_path":"a"}`, Touched{}},
		{"WebFetch", `{"url":"https://example.com/"}`, Touched{}},
		{"apply_patch", `{"input":"*** Add File: n\n*** Delete File: d\n"}`, Touched{Writes: []string{"n"}, Removes: []string{"d"}}},
	}
	for _, tt := range tests {
		got, err := Touch(tt.tool, json.RawMessage(tt.input))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s %s: got %+v, %v, want %+v", tt.tool, tt.input, got, err, tt.want)
		}
	}
	for tool, input := range map[string]string{"Bash": `{}`, "Write": `{"file_path":7}`, "Edit": `[]`} {
		if got, err := Touch(tool, json.RawMessage(input)); err == nil {
			t.Errorf("%s %s is understood as %+v", tool, input, got)
		}
	}
}

func TestAskIsBefore(t *testing.T) {
	for phase, good := range map[string]bool{`"pre"`: true, `"post"`: false, `["pre", "stop"]`: false} {
		_, err := Parse("p", []byte("[[rule]]\nid = \"a\"\naction = \"ask\"\nreason = \"r\"\ntool = \"*\"\nphase = "+phase+"\n"))
		if good != (err == nil) {
			t.Errorf("phase %s: %v", phase, err)
		}
	}
}
