package service

import (
	"context"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"agentprocess/internal/hook"
	"agentprocess/internal/projecthook"
)

// still is a Talk with a caller whose paths lead through no links.
type still struct{}

func (still) Resolve(_ context.Context, paths []string) (map[string]string, error) {
	found := map[string]string{}
	for _, p := range paths {
		found[p] = p
	}
	return found, nil
}

func (still) Hold(context.Context, time.Duration) error { return nil }

// TestHooksOfEveryTool: a tool by another name is judged by the same hooks.
func TestHooksOfEveryTool(t *testing.T) {
	tests := []struct {
		tool, input  string
		names, paths []string
		commands     [][]string
	}{
		{"Bash", `{"command":"a b"}`, []string{"pre-any", "pre-bash"}, nil, [][]string{{"a", "b"}}},
		{"Monitor", `{"command":"a"}`, []string{"pre-any", "pre-bash"}, nil, [][]string{{"a"}}},
		{"mcp__x__exec", `{"command":"a"}`, []string{"pre-any", "pre-bash"}, nil, [][]string{{"a"}}},
		{"Edit", `{"file_path":"x"}`, []string{"pre-any", "pre-writes"}, []string{"/w/x"}, nil},
		{"mcp__fs__write_file", `{"path":"~/x"}`, []string{"pre-any", "pre-writes"}, []string{agentHome + "/x"}, nil},
		{"mcp__fs__move", `{"source":"/w/a","destination":"/w/a"}`, []string{"pre-any", "pre-writes"}, []string{"/w/a"}, nil},
		{"Read", `{"file_path":"x"}`, []string{"pre-any"}, nil, nil},
	}
	for _, tt := range tests {
		names, err := preHooks(hook.Call{Tool: tt.tool, Input: json.RawMessage(tt.input)})
		if err != nil || !reflect.DeepEqual(names, tt.names) {
			t.Errorf("%s: hooks %q, %v, want %q", tt.tool, names, err, tt.names)
		}
		in := projecthook.Input{Tool: &projecthook.Tool{Name: tt.tool, Input: json.RawMessage(tt.input)}}
		in, err = derive(t.Context(), in, "/w", still{})
		if err != nil || !reflect.DeepEqual(in.Paths, tt.paths) || !reflect.DeepEqual(in.Commands, tt.commands) {
			t.Errorf("%s: paths %q, commands %q, %v", tt.tool, in.Paths, in.Commands, err)
		}
	}
	if _, err := preHooks(hook.Call{Tool: "Bash", Input: json.RawMessage(`{}`)}); err == nil {
		t.Error("a call without a command is understood")
	}
}
