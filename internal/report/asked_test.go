package report

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/term"
)

// judged is a run in which a policy asks, warns and holds.
func judged(t *testing.T) []audit.Payload {
	t.Helper()
	warn := audit.Verdict{
		ID: "v3", Event: "PreToolUse", ToolUseID: "t3", Tool: "Write", Decision: audit.Allow, Action: audit.ActionWarn,
		Rule: "ci-files", Source: "built-in", Reason: "CI files run with your rights",
	}
	run := docs()
	run.Outcome = sandbox.OutcomeDone
	return []audit.Payload{
		audit.Phase{Name: "agent", Detail: "claude 2.1.197"},
		audit.ToolCall{ID: "t1", Name: "Bash", Input: input(t, map[string]any{"command": "git push origin x"})},
		audit.Question{
			ID: "q-22222", ToolUseID: "t1", Subject: "Bash: git push origin x\x1b[2J", Rule: "push", Source: "built-in",
			Reason: "pushes are yours", Deadline: start().Add(time.Hour),
		},
		audit.Verdict{ID: "v1", Event: "PreToolUse", ToolUseID: "t1", Tool: "Bash", Decision: audit.Allow, Action: audit.ActionAsk, Rule: "push", By: "ada"},
		audit.ToolResult{ID: "t1", Text: "pushed"},
		audit.ToolCall{ID: "t2", Name: "Bash", Input: input(t, map[string]any{"command": "npm publish"})},
		audit.Question{ID: "q-33333", ToolUseID: "t2", Subject: "Bash: npm publish", Rule: "publish", Unattended: true},
		audit.Verdict{
			ID: "v2", Event: "PreToolUse", ToolUseID: "t2", Tool: "Bash", Decision: audit.Deny, Action: audit.ActionAsk, Rule: "publish",
			Reason: "this needs a person's yes, and the agent runs unattended", By: "unattended",
		},
		warn, warn,
		audit.OwnHook{Hook: "pre-any", Decision: audit.Allow},
		audit.OwnHook{Hook: "pre-bash", Decision: audit.Allow, Modified: true},
		audit.OwnHook{Hook: "post-writes", Decision: audit.Allow, Changed: []string{"a.go", "b\x1b[2J.go", "c", "d", "e", "f"}},
		audit.OwnHook{Hook: "pre-any", Decision: audit.Deny, Observed: true, Reason: "no\nreally"},
		audit.OwnHook{Hook: "pre-any", Decision: audit.Deny, Observed: true, Failure: "timed out"},
		audit.OwnHook{Hook: "post-stop", Decision: audit.Allow, Observed: true, Failure: "no interpreter \u202e"},
		audit.Question{ID: "$(reboot)", ToolUseID: "t9", Subject: "Bash: sleep", Rule: "x"},
		audit.Held{ID: tip, Subject: "Change the \x1b]0;world", Paths: []string{"a", "b\u202e", "c", "d", "e", "f"}, More: 3, Reason: "outside --scope docs/**"},
		audit.Held{ID: "--upload-pack=x", Subject: "Later work"},
		audit.Outcome{Outcome: sandbox.OutcomeDone, Run: run, Denials: 1},
	}
}

func TestLiveShowsThePolicy(t *testing.T) {
	for name, screen := range map[string]term.Screen{
		"policy-pipe": {}, "policy-narrow": {TTY: true, Width: 50}, "policy-colour": {TTY: true, Width: 100, Colour: true},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			screen.W = &out
			live := NewLive(&screen, LiveOptions{})
			for _, e := range events(t, judged(t)) {
				if err := live.Write(e); err != nil {
					t.Fatal(err)
				}
			}
			if err := live.Close(); err != nil {
				t.Fatal(err)
			}
			text := out.String()
			if strings.Contains(text, "$(reboot) allow") {
				t.Error("what an agent could have made up is offered for typing")
			}
			for line := range strings.Lines(text) {
				if w := term.Width(strings.TrimSuffix(line, "\n")); screen.Width == 50 && w > 50 {
					t.Errorf("%d wide: %q", w, line)
				}
			}
			golden(t, name, strings.ReplaceAll(text, "\x1b", "<ESC>"))
		})
	}
}

func TestShowThePolicy(t *testing.T) {
	var out bytes.Buffer
	if err := Show(term.Plain(&out), DetailOf(docs(), events(t, judged(t))), start().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	golden(t, "policy-show", out.String())
}

func TestWarningsDoNotDrown(t *testing.T) {
	var out bytes.Buffer
	live := NewLive(term.Plain(&out), LiveOptions{})
	payloads := make([]audit.Payload, 0, 3000)
	for i := range 3000 {
		payloads = append(payloads, audit.Verdict{ID: "v", Tool: fmt.Sprint("tool", i), Rule: "w", Decision: audit.Allow, Action: audit.ActionWarn})
		payloads = append(payloads, audit.Question{ID: "q-22222", Subject: "s"}, audit.Held{ID: tip})
	}
	recorded := events(t, payloads)
	for _, e := range recorded {
		if e.Kind != (audit.Verdict{}).EventKind() {
			continue
		}
		if err := live.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != shownDenials {
		t.Errorf("%d lines", n)
	}
	if d := DigestOf(recorded); len(d.Warned) != distinct+1 || len(d.Asked) != distinct || len(d.Held) != distinct || d.Denied() != 0 {
		t.Errorf("%d warned, %d asked, %d held, %d denied", len(d.Warned), len(d.Asked), len(d.Held), d.Denied())
	}
}

// display is a terminal of endless height as far as Live uses one.
type display struct {
	lines  [][]rune
	row    int
	column int
}

// Write implements io.Writer.
func (d *display) Write(p []byte) (int, error) {
	text := []rune(string(p))
	for i := 0; i < len(text); i++ {
		d.grow()
		switch r := text[i]; r {
		case '\n':
			d.row, d.column = d.row+1, 0
		case '\r':
			d.column = 0
		case '\x1b':
			n, final := 0, rune(0)
			for i += 2; final == 0; i++ {
				if text[i] >= '0' && text[i] <= '9' {
					n = n*10 + int(text[i]-'0')
				} else {
					final = text[i]
				}
			}
			i--
			if err := d.control(final, n); err != nil {
				return 0, err
			}
		default:
			d.lines[d.row] = append(d.lines[d.row][:d.column], r)
			d.column++
		}
	}
	d.grow()
	return len(p), nil
}

func (d *display) grow() {
	for len(d.lines) <= d.row {
		d.lines = append(d.lines, nil)
	}
}

func (d *display) control(final rune, n int) error {
	switch {
	case final == 'A' && n <= d.row:
		d.row -= n
	case final == 'K':
		d.lines[d.row] = d.lines[d.row][:d.column]
	case final == 'J':
		d.lines = d.lines[:d.row+1]
		d.lines[d.row] = d.lines[d.row][:d.column]
	default:
		return errors.New("unexpected sequence")
	}
	return nil
}

func (d *display) String() string {
	lines := make([]string, len(d.lines))
	for i := range d.lines {
		lines[i] = string(d.lines[i])
	}
	return strings.Join(lines, "\n")
}

func TestFooterStandsBelowTheStream(t *testing.T) {
	d := &display{}
	live := NewLive(&term.Screen{W: d, TTY: true, Width: 40}, LiveOptions{Status: true, Now: start})
	say := func(text string) {
		for _, e := range events(t, []audit.Payload{audit.Output{Stream: "stdout", Text: text}}) {
			if err := live.Write(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	steps := []struct {
		name string
		do   func()
		want string
	}{
		{"the stream", func() { say("one") }, "  │ one\n  1.0 s"},
		{"a question", func() { live.Footer(term.Text("? may I"), term.Text("> ")) }, "  │ one\n  1.0 s\n? may I\n> "},
		{"the stream goes on", func() { say("two\nthree") }, "  │ one\n  │ two\n  │ three\n  1.0 s\n? may I\n> "},
		{"something is typed", func() { live.Footer(term.Text("? may I"), term.Text("> n")) }, "  │ one\n  │ two\n  │ three\n  1.0 s\n? may I\n> n"},
		{
			"a wide and hostile line", func() { live.Footer(term.Text("\x1b[2J"+strings.Repeat("x", 60)), term.Text("> ")) },
			"  │ one\n  │ two\n  │ three\n  1.0 s\n␛[2J" + strings.Repeat("x", 34) + "…\n> ",
		},
		{"it is answered", func() { live.Footer() }, "  │ one\n  │ two\n  │ three\n  1.0 s"},
		{"the stream goes on again", func() { say("four") }, "  │ one\n  │ two\n  │ three\n  │ four\n  1.0 s"},
		{"the end", func() {
			live.Footer(term.Text("?"), term.Text("> "))
			if err := live.Close(); err != nil {
				t.Fatal(err)
			}
		}, "  │ one\n  │ two\n  │ three\n  │ four\n"},
	}
	for _, step := range steps {
		step.do()
		if got := d.String(); got != step.want {
			t.Fatalf("%s: the screen shows\n%s\nwant\n%s", step.name, got, step.want)
		}
	}
}

func TestAPipeHasNoFooter(t *testing.T) {
	var out bytes.Buffer
	live := NewLive(term.Plain(&out), LiveOptions{Status: true, Now: start})
	live.Footer(term.Text("? may I"), term.Text("> "))
	if err := live.Close(); err != nil || out.Len() > 0 {
		t.Errorf("%q, %v", out.String(), err)
	}
}
