package projecthook_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"agentprocess/internal/projecthook"
)

func TestRunAll(t *testing.T) {
	w := newWorld(t)
	const allow, show = "exit 0", "cat >&2; exit 2"
	answer := func(s string) string { return "printf '%s' '" + s + "'" }
	derive := func(_ context.Context, in projecthook.Input) (projecthook.Input, error) {
		var input struct{ Command string }
		err := json.Unmarshal(in.Tool.Input, &input)
		in.Commands = [][]string{strings.Fields(input.Command)}
		return in, err
	}
	broken := func(context.Context, projecthook.Input) (projecthook.Input, error) {
		return projecthook.Input{}, errors.New("no such command")
	}
	tests := []struct {
		name, first, second string // pre-any and pre-bash; empty is none
		derive              func(context.Context, projecthook.Input) (projecthook.Input, error)
		want                projecthook.Decision
		reason, input       string
		context             string
		ran                 int
	}{
		{"no hooks", "", "", derive, projecthook.Allow, "", "", "", 0},
		{"both allow", allow, allow, derive, projecthook.Allow, "", "", "", 2},
		{"the first denial wins", "echo one >&2; exit 2", "echo two >&2; exit 2", derive, projecthook.Deny, "one", "", "", 1},
		{"a denial beats a question", answer(`{"decision":"ask","reason":"one?"}`), "echo two >&2; exit 2", derive, projecthook.Deny, "two", "", "", 2},
		{"questions are joined", answer(`{"decision":"ask","reason":"one?"}`), answer(`{"decision":"ask","reason":"two?"}`), derive, projecthook.Ask, "one?\ntwo?", "", "", 2},
		{"contexts are joined", answer(`{"context":"one"}`), answer(`{"context":"two"}`), derive, projecthook.Allow, "", "", "one\ntwo", 2},
		{"a changed input goes on", answer(`{"input":{"command":"ls -l"}}`), show, derive, projecthook.Deny, `"input":{"command":"ls -l"}},"commands":[["ls","-l"]]`, "", "", 2},
		{"the last change counts", answer(`{"input":{"command":"a"}}`), answer(`{"input":{"command":"b"}}`), derive, projecthook.Allow, "", `{"command":"b"}`, "", 2},
		{"changed by the last", "", answer(`{"input":{"command":"b"}}`), nil, projecthook.Allow, "", `{"command":"b"}`, "", 1},
		{"changed, and nobody can tell to what", answer(`{"input":{"command":"ls -l"}}`), allow, nil, projecthook.Deny, "changed the input", "", "", 2},
		{"changed to nonsense", answer(`{"input":{"command":"ls -l"}}`), allow, broken, projecthook.Deny, "cannot be understood", "", "", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var files []projecthook.File
			if tt.first != "" {
				files = append(files, script(projecthook.PreAny, tt.first))
			}
			if tt.second != "" {
				files = append(files, script(projecthook.PreBash, tt.second))
			}
			v := w.runner(t, projecthook.Settings{}, files...).RunAll(t.Context(), projecthook.Chain{
				Hooks: []string{projecthook.PreAny, projecthook.PreBash, projecthook.PreWrites}, Input: bash("ls"), Derive: tt.derive,
			})
			if v.Decision != tt.want || !strings.Contains(v.Reason, tt.reason) || string(v.Input) != tt.input || v.Context != tt.context || len(v.Each) != tt.ran {
				t.Errorf("%+v", v)
			}
		})
	}
}
