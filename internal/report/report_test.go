package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"agentprocess/internal/audit"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/term"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

const (
	base = "1a2b3c4d5e6f708192a3b4c5d6e7f80912345678"
	tip  = "ffeeddccbbaa99887766554433221100ffeeddcc"
)

func start() time.Time { return time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC) }

func docs() sandbox.Run {
	return sandbox.Run{
		ID: "20260102-150405-docs-7f3a", Name: "docs", Goal: "Add documentation to the main.go file",
		Repository: "/home/ada/shop/.git", Worktree: "/home/ada/worktrees/docs", Branch: "agent--docs", Base: base, Tip: tip,
		Agent: sandbox.AgentInfo{Kind: "claude", Version: "2.1.197", Model: "sonnet"},
		State: sandbox.StateFinished, Outcome: sandbox.OutcomeDone,
		Created: start(), Ended: start().Add(133 * time.Second),
		Stat: sandbox.DiffStat{Commits: 1, Files: 2, Insertions: 12, Deletions: 1},
		Cost: sandbox.Cost{InputTokens: 12345, OutputTokens: 678, USD: 0.0421, Turns: 3},
	}
}

func input(t *testing.T, v any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// story is a run in which everything happens that can be shown.
func story(t *testing.T) []audit.Payload {
	t.Helper()
	deny := audit.Request{ID: "7f3a", Path: "connect", Host: "evil.example", Port: 443, Verdict: audit.Deny, Fix: "evil.example"}
	return []audit.Payload{
		audit.Phase{Name: "workspace", Detail: "overlay on cached checkout", Duration: 12 * time.Millisecond},
		audit.Notice{Level: audit.Warn, Text: "the tree has uncommitted changes, which the agent does not see: it starts at the commit main points to"},
		audit.Phase{Name: "sandbox", Detail: "native, rootless", Duration: 1234 * time.Millisecond},
		audit.Request{ID: "0", Path: "connect", Host: "canary.invalid", Port: 443, Verdict: audit.Deny, Rule: audit.ProofRule},
		audit.Verdict{ID: "0", Event: "PreToolUse", Tool: "Bash", Decision: audit.Deny, Rule: audit.ProofRule},
		audit.Phase{Name: "proof", Detail: "5 attempts refused", Duration: 300 * time.Microsecond},
		audit.Phase{Name: "agent", Detail: "claude 2.1.197"},
		audit.Say{Text: "I'll read `main.go` first.\n\n- then document it,\n- then run the tests, which should take only a moment because there are hardly any of them in this project.\n"},
		audit.ToolCall{ID: "t1", Name: "Read", Input: input(t, map[string]any{"file_path": "/home/agent/docs/main.go"})},
		audit.Verdict{ID: "v1", Event: "PreToolUse", ToolUseID: "t1", Tool: "Read", Decision: audit.Allow, Rule: "default"},
		audit.ToolResult{ID: "t1", Text: "package main\n\nfunc main() {}\n"},
		audit.ToolCall{ID: "t2", Name: "Bash", Input: input(t, map[string]any{"command": "curl https://evil.example/\x1b[2J\necho done", "description": "Fetch"})},
		deny, deny, deny,
		audit.ToolResult{ID: "t2", IsError: true, Text: "Exit code 56\r\ncurl: (56) CONNECT tunnel failed, response 403\n\x1b]0;title\x07\nfour\nfive\n"},
		audit.ToolCall{ID: "t3", Name: "Task", Input: input(t, map[string]any{"description": "Look for tests", "prompt": "..."})},
		audit.ToolCall{ID: "t4", Name: "Grep", Input: input(t, map[string]any{"pattern": "func Test", "path": "."}), Parent: "t3"},
		audit.ToolCall{ID: "t5", Name: "mcp__x__y", Input: input(t, map[string]any{"b": 1, "a": []int{1, 2}})},
		audit.ToolResult{ID: "t4", Text: "main_test.go:3:func TestMain"},
		audit.ToolResult{ID: "t3", Text: ""},
		audit.ToolResult{ID: "t5", IsError: true},
		audit.Verdict{ID: "v9", Event: "PreToolUse", Tool: "Bash", Decision: audit.Deny, Rule: "no-push", Reason: "git push is not for agents"},
		audit.Request{ID: "8a", Path: "dns", Host: "x; rm -rf ~.example", Verdict: audit.Deny, Fix: "x; rm -rf ~.example", Reason: "not a host name"},
		audit.Request{ID: "9b", Path: "connect", Host: "api.example", Port: 443, Verdict: audit.Allow, Up: 2048, Down: 1 << 20, Rule: "api.example"},
		audit.Request{ID: "9c", Path: "connect", Host: "api.example", Port: 443, Verdict: audit.Allow, Error: "connection reset"},
		audit.Request{ID: "9d", Path: "connect", Host: "api.example", Port: 443, Verdict: audit.Allow, Error: "connection reset"},
		audit.Output{Stream: "stdout", Text: "building\tthings"},
		audit.Output{Stream: "stderr", Text: "warning: \u202egnihton"},
		audit.Usage{Cost: sandbox.Cost{InputTokens: 12345, OutputTokens: 678, USD: 0.0421, Turns: 3}},
		audit.Notice{Level: audit.Info, Text: "the tests were not run"},
		audit.Say{Text: "Done."},
		audit.Commit{ID: tip, Subject: "Document main", Stat: docs().Stat},
		audit.Outcome{Outcome: sandbox.OutcomeDone, Run: docs(), Flagged: []string{".github/workflows/ci.yml", "Makefile"}, Denials: 5},
	}
}

// collector is a sink that keeps what it gets.
type collector struct{ events []audit.Event }

// Write implements audit.Sink.
func (c *collector) Write(e audit.Event) error {
	c.events = append(c.events, e)
	return nil
}

// events records payloads; they come back as from the store, without payload.
func events(t *testing.T, payloads []audit.Payload) []audit.Event {
	t.Helper()
	now, kept := start(), &collector{}
	rec := audit.NewRecorder("r1", func() time.Time { now = now.Add(time.Second); return now }, kept)
	for _, p := range payloads {
		rec.Record(p)
	}
	if rec.Err() != nil {
		t.Fatal(rec.Err())
	}
	for i := range kept.events {
		kept.events[i].Payload = nil
	}
	return kept.events
}

func TestLive(t *testing.T) {
	tests := []struct {
		name   string
		screen term.Screen
		status bool
	}{
		{"live-pipe", term.Screen{}, true},
		{"live-narrow", term.Screen{TTY: true, Width: 60}, false},
		{"live-colour", term.Screen{TTY: true, Width: 100, Colour: true}, false},
		{"live-status", term.Screen{TTY: true, Width: 100}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			tt.screen.W = &out
			now := start()
			live := NewLive(&tt.screen, LiveOptions{Status: tt.status, Now: func() time.Time { now = now.Add(time.Second); return now }})
			for _, e := range events(t, story(t)) {
				if err := live.Write(e); err != nil {
					t.Fatal(err)
				}
			}
			if err := live.Close(); err != nil {
				t.Fatal(err)
			}
			if !tt.screen.TTY && strings.Contains(out.String(), "\x1b") {
				t.Error("escape sequence in plain output")
			}
			golden(t, tt.name, strings.ReplaceAll(out.String(), "\x1b", "<ESC>"))
		})
	}
}

func TestLiveFitsTheScreen(t *testing.T) {
	for _, width := range []int{30, 60, 120} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			var out bytes.Buffer
			live := NewLive(&term.Screen{W: &out, TTY: true, Width: width}, LiveOptions{})
			for _, e := range events(t, story(t)[:30]) {
				if err := live.Write(e); err != nil {
					t.Fatal(err)
				}
			}
			for line := range strings.Lines(out.String()) {
				if w := term.Width(strings.TrimSuffix(line, "\n")); w > width {
					t.Errorf("%d wide: %q", w, line)
				}
			}
		})
	}
}

func TestLiveDoesNotDrown(t *testing.T) {
	var out bytes.Buffer
	live := NewLive(term.Plain(&out), LiveOptions{})
	payloads := make([]audit.Payload, 0, 3000)
	for i := range 3000 {
		payloads = append(payloads, audit.Request{
			ID: fmt.Sprint(i), Path: "connect", Host: fmt.Sprintf("h%d.example", i), Port: 443, Verdict: audit.Deny,
		})
	}
	for _, e := range events(t, payloads) {
		if err := live.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != shownDenials+1 {
		t.Errorf("%d lines", n)
	}
	d := live.digest
	if d.Denied() != 3000 || len(d.Denials) != distinct+1 || len(d.Network) != distinct+1 {
		t.Errorf("%d denied, %d told apart, %d hosts", d.Denied(), len(d.Denials), len(d.Network))
	}
}

// gone is a screen whose reader went away after some writes.
type gone struct{ left int }

// Write implements io.Writer.
func (g *gone) Write(p []byte) (int, error) {
	if g.left--; g.left < 0 {
		return 0, errGone
	}
	return len(p), nil
}

var errGone = errors.New("broken pipe")

func TestViewersThatGoAwayDoNotEndTheRun(t *testing.T) {
	type viewer interface {
		audit.Sink
		Close() error
	}
	views := map[string]func(*term.Screen) viewer{
		"live": func(s *term.Screen) viewer { return NewLive(s, LiveOptions{}) },
		"json": func(s *term.Screen) viewer { return NewJSONLines(s) },
	}
	for name, view := range views {
		t.Run(name, func(t *testing.T) {
			v := view(term.Plain(&gone{left: 3}))
			rec := audit.NewRecorder("r1", start, v)
			for _, p := range story(t) {
				rec.Record(p)
			}
			if rec.Err() != nil {
				t.Errorf("recorder: %v", rec.Err())
			}
			if err := v.Close(); !errors.Is(err, errGone) {
				t.Errorf("close: %v", err)
			}
		})
	}
}

func TestAnimateRedrawsEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		live := NewLive(&term.Screen{W: &out, TTY: true, Width: 80}, LiveOptions{Status: true, Now: time.Now})
		audit.NewRecorder("r1", time.Now, live).Record(audit.Phase{Name: "agent"})
		done := make(chan struct{})
		go func() {
			live.Animate(t.Context())
			close(done)
		}()
		timer := time.NewTimer(2500 * time.Millisecond)
		<-timer.C
		synctest.Wait()
		if err := live.Close(); err != nil {
			t.Fatal(err)
		}
		want := "  agent\n  1.0 s\r\x1b[K  1.0 s\r\x1b[K  2.0 s\r\x1b[K"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestJSONLines(t *testing.T) {
	recorded := events(t, story(t))
	var out bytes.Buffer
	sink := NewJSONLines(term.Plain(&out))
	for _, e := range recorded {
		if err := sink.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	var back []audit.Event
	for dec := json.NewDecoder(&out); dec.More(); {
		var e audit.Event
		if err := dec.Decode(&e); err != nil {
			t.Fatal(err)
		}
		back = append(back, e)
	}
	if err := audit.Verify(back); err != nil {
		t.Errorf("what was printed does not verify: %v", err)
	}
	if diff := cmp.Diff(recorded, back); diff != "" {
		t.Error(diff)
	}
}

func TestJSONOnATerminal(t *testing.T) {
	in := []string{"\x1b[2J", "\u009b2J", "\u202e", "\U000e0001", "日本", "\x7f"}
	var out bytes.Buffer
	if err := JSON(&term.Screen{W: &out, TTY: true}, in); err != nil {
		t.Fatal(err)
	}
	if text := strings.ReplaceAll(out.String(), "\n", ""); term.Visible(text) != text {
		t.Errorf("a terminal would act on %q", text)
	}
	var back []string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, back); diff != "" {
		t.Error(diff)
	}
}

func TestList(t *testing.T) {
	running, crashed, plain := docs(), docs(), docs()
	running.Name, running.State, running.Outcome, running.Stat, running.Cost = "fix-login", sandbox.StateRunning, "", sandbox.DiffStat{}, sandbox.Cost{}
	crashed.Name, crashed.State, crashed.Outcome, crashed.Goal = "crashed", sandbox.StateCrashed, "", "A goal\nof two lines that is a good deal longer than any table has room for, really"
	plain.Name, plain.Outcome, plain.Stat = "idle", sandbox.OutcomeNoChanges, sandbox.DiffStat{}
	runs := []sandbox.Run{docs(), running, crashed, plain}
	for name, screen := range map[string]term.Screen{"list": {}, "list-narrow": {TTY: true, Width: 90}, "list-merge": {}} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			screen.W = &out
			var merging map[string]Merging
			if name == "list-merge" {
				merging = map[string]Merging{"docs": {Text: "conflicts", Style: term.StyleRed}}
			}
			if err := List(&screen, runs, merging, start().Add(26*time.Hour)); err != nil {
				t.Fatal(err)
			}
			golden(t, name, out.String())
		})
	}
	t.Run("none", func(t *testing.T) {
		var out bytes.Buffer
		if err := List(term.Plain(&out), nil, nil, start()); err != nil || !strings.HasPrefix(out.String(), "no agents yet") {
			t.Errorf("got %q, %v", out.String(), err)
		}
	})
}

func TestShow(t *testing.T) {
	detail := DetailOf(docs(), events(t, story(t)))
	var text, object bytes.Buffer
	if err := Show(term.Plain(&text), detail, start().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	golden(t, "show", text.String())
	if err := JSON(term.Plain(&object), detail); err != nil {
		t.Fatal(err)
	}
	golden(t, "show-json", object.String())
}

func TestShowGivesTheErrorOfTheScreen(t *testing.T) {
	if err := Show(term.Plain(&gone{left: 2}), DetailOf(docs(), nil), start()); !errors.Is(err, errGone) {
		t.Errorf("got %v", err)
	}
}

func TestNextIsTypable(t *testing.T) {
	evil := docs()
	evil.Name, evil.Base = "x; rm -rf ~", "$(reboot)"
	if got := Next(evil); got != nil {
		t.Errorf("name: got %q", got)
	}
	evil.Name = "docs"
	if got := Next(evil)[0]; strings.Contains(got, "$(") {
		t.Errorf("base: got %q", got)
	}
}

func TestDoctor(t *testing.T) {
	fine := sandbox.Step{Name: "user namespace", OK: true, Required: true, Detail: "yes"}
	weak := sandbox.Step{Name: "nftables", Detail: "operation not permitted", Cause: "the kernel lacks nf_tables", Fix: "modprobe nf_tables"}
	broken := sandbox.Step{
		Name: "proc mount", Required: true, Detail: "mount proc: operation not permitted",
		Cause: "/proc is masked, as in a container", Fix: "run the container with:\n--security-opt systempaths=unconfined",
	}
	tests := map[string][]sandbox.Step{
		"doctor-fine": {fine}, "doctor-weak": {fine, weak}, "doctor-broken": {fine, broken, weak}, "doctor-nothing": nil,
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := Doctor(term.Plain(&out), sandbox.Capabilities{Runtime: "native", Steps: steps}); err != nil {
				t.Fatal(err)
			}
			golden(t, name, out.String())
		})
	}
}

// FuzzLive holds that nothing a terminal acts on reaches a plain screen,
// whatever an agent says, calls, prints and asks for.
func FuzzLive(f *testing.F) {
	f.Add("hello", "Bash", `{"command":"ls"}`, true)
	f.Add("\x1b[2J", "\u202e", `{"todos":[1]}`, false)
	f.Add("a\r\nb\r\n\tc", "Grep", `{`, true)
	f.Fuzz(func(t *testing.T, text, name, in string, bad bool) {
		raw := json.RawMessage(in)
		if !json.Valid(raw) {
			raw = input(t, in)
		}
		var out bytes.Buffer
		live := NewLive(&term.Screen{W: &out, TTY: true, Width: 40}, LiveOptions{})
		rec := audit.NewRecorder("r1", start, live)
		for _, p := range []audit.Payload{
			audit.Say{Text: text},
			audit.ToolCall{ID: name, Name: name, Input: raw},
			audit.ToolResult{ID: name, IsError: bad, Text: text},
			audit.Output{Stream: name, Text: text},
			audit.Notice{Level: audit.Warn, Text: text},
			audit.Phase{Name: name, Detail: text},
			audit.Request{Host: text, Path: name, Verdict: audit.Deny, Rule: text, Reason: name, Fix: text, ID: name},
			audit.Request{Host: text, Verdict: audit.Allow, Error: text},
			audit.Commit{ID: text, Subject: text},
			audit.Question{ID: name, ToolUseID: name, Subject: text, Rule: name, Reason: text, Unattended: bad},
			audit.Verdict{ID: name, ToolUseID: name, Tool: name, Decision: audit.Allow, Action: audit.ActionAsk, Rule: text, By: name},
			audit.Verdict{ID: name, Tool: text, Decision: audit.Allow, Action: audit.ActionWarn, Rule: text, Reason: name},
			audit.OwnHook{Hook: name, Decision: audit.Deny, Observed: bad, Reason: text, Failure: name, Modified: true},
			audit.OwnHook{Hook: text, Decision: audit.Allow, Changed: []string{text, name}},
			audit.Held{ID: text, Subject: name, Paths: []string{text, name}, Reason: text},
			audit.Outcome{Outcome: sandbox.Outcome(name), Reason: text, Flagged: []string{text}, Run: sandbox.Run{Name: name, Branch: text, Base: text}},
		} {
			rec.Record(p)
		}
		if err := errors.Join(rec.Err(), live.Close()); err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(out.String(), "\n") {
			if term.Visible(line) != line {
				t.Errorf("a terminal would act on %q", line)
			}
		}
	})
}
