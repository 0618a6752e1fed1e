package projecthook

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseAnswer(t *testing.T) {
	good := []struct {
		name, out, hook string
		want            answer
	}{
		{"nothing", "", PreBash, answer{decision: Allow}},
		{"white space", " \n\t", PreBash, answer{decision: Allow}},
		{"an empty object", "{}", PreBash, answer{decision: Allow}},
		{"a context alone", `{"context":"c"}`, PreAny, answer{decision: Allow, context: "c"}},
		{"allow with a reason", `{"decision":"allow","reason":"r"}`, PreAny, answer{decision: Allow, reason: "r"}},
		{"ask with an input", ` {"input" : {"a":1} , "decision":"ask"} `, PreWrites, answer{decision: Ask, input: json.RawMessage(`{"a":1}`)}},
		{"deny after", `{"decision":"deny","reason":"r"}`, PostStop, answer{decision: Deny, reason: "r"}},
	}
	for _, tt := range good {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseAnswer(tt.hook, []byte(tt.out))
			if err != nil || got.decision != tt.want.decision || got.reason != tt.want.reason || got.context != tt.want.context || string(got.input) != string(tt.want.input) {
				t.Errorf("parseAnswer(%q) = %+v, %v, want %+v", tt.out, got, err, tt.want)
			}
		})
	}
	bad := []struct{ name, out, hook string }{
		{"text", "ok", PreBash},
		{"a string", `"allow"`, PreBash},
		{"a list", `[{"decision":"deny"}]`, PreBash},
		{"null", "null", PreBash},
		{"unfinished", `{"decision":"allow"`, PreBash},
		{"two", `{"decision":"allow"}{"decision":"deny"}`, PreBash},
		{"text behind", `{"decision":"allow"} ok`, PreBash},
		{"a field twice", `{"decision":"deny","decision":"allow"}`, PreBash},
		{"a field of another case", `{"Decision":"deny"}`, PreBash},
		{"a misspelled field", `{"dedecision":"deny"}`, PreBash},
		{"a misspelled decision", `{"decision":"denied"}`, PreBash},
		{"a decision of another case", `{"decision":"Allow"}`, PreBash},
		{"an empty decision", `{"decision":""}`, PreBash},
		{"a decision of another kind", `{"decision":true}`, PreBash},
		{"a decision that is null", `{"decision":null}`, PreBash},
		{"a reason without a decision", `{"reason":"no"}`, PreBash},
		{"an input that is no object", `{"input":"ls"}`, PreBash},
		{"an input that is null", `{"input":null}`, PreBash},
		{"an input with a denial", `{"decision":"deny","input":{}}`, PreBash},
		{"an input after the tool", `{"input":{}}`, PostWrites},
		{"a question after the tool", `{"decision":"ask"}`, PostWrites},
		{"a question at the end", `{"decision":"ask"}`, PostStop},
		{"a long context", `{"context":"` + strings.Repeat("x", maxContext+1) + `"}`, PreBash},
		{"bytes that are no text", "{\"context\":\"\xff\"}", PreBash},
		{"a NUL", "{}\x00", PreBash},
	}
	for _, tt := range bad {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := parseAnswer(tt.hook, []byte(tt.out)); err == nil {
				t.Errorf("parseAnswer(%q) = %+v", tt.out, got)
			}
		})
	}
}

// Whatever a hook writes, it allows only by saying so or by saying nothing
// that could have been a denial.
func FuzzParseAnswer(f *testing.F) {
	for _, seed := range []string{
		"", "{}", `{"decision":"allow"}`, `{"decision":"deny","reason":"x"}`, `{"decision":"ask","input":{"a":[1]}}`, `{"context":"x"}`,
		`{"decision":"deny","decision":"allow"}`, `[]`, `{"a`, "{\"context\":\"\xff\"}", `{"input":{"a":1e400}}`,
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, out string, before bool) {
		name := PostWrites
		if before {
			name = PreBash
		}
		a, err := parseAnswer(name, []byte(out))
		if err != nil {
			return
		}
		switch a.decision {
		case Allow, Deny:
		case Ask:
			if !before {
				t.Errorf("%q asks after the tool", out)
			}
		default:
			t.Errorf("%q: decision %q", out, a.decision)
		}
		if a.decision == Allow && strings.Contains(out, `"deny"`) && a.reason == "" && a.context == "" && a.input == nil {
			t.Errorf("%q allows", out)
		}
		if a.input != nil {
			var v map[string]any
			if err := json.Unmarshal(a.input, &v); err != nil && !strings.Contains(err.Error(), "number") {
				t.Errorf("%q: input %q: %v", out, a.input, err)
			}
		}
	})
}
