package audit

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"agentprocess/internal/sandbox"
)

// record keeps events; it is a Sink.
type record struct {
	events []Event
	fails  error // from the second event on
}

func (r *record) Write(e Event) error {
	r.events = append(r.events, e)
	if len(r.events) > 1 {
		return r.fails
	}
	return nil
}

func clock() time.Time { return time.Date(2030, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600)) }

// payloads are one of each kind.
func payloads() []Payload {
	return []Payload{
		Phase{Name: "proof", Detail: "d", Duration: time.Second},
		Notice{Level: Warn, Text: "dirty\x1b[31m"},
		Say{Text: "hello"},
		Output{Stream: "stdout", Text: "line"},
		ToolCall{ID: "t1", Name: "Bash", Input: json.RawMessage(`{"command":"ls"}`), Parent: "t0"},
		ToolResult{ID: "t1", IsError: true, Text: "no"},
		Verdict{ID: "v1", Event: "PreToolUse", Decision: Deny, Rule: "r", PID: 1, UID: 2, Duration: 3},
		Request{ID: "r1", Path: "connect", Host: "a.example", Port: 443, Verdict: Allow, Up: 1, Down: 2},
		Commit{ID: "c1", Subject: "s", Stat: sandbox.DiffStat{Commits: 1}},
		Usage{Cost: sandbox.Cost{InputTokens: 1, USD: 0.5}},
		Outcome{Outcome: sandbox.OutcomeDone, Run: sandbox.Run{ID: "x", Created: clock().UTC()}, Denials: 1},
	}
}

func TestRecordIsAChain(t *testing.T) {
	sink := &record{}
	rec := NewRecorder("docs-1", clock, sink)
	for _, p := range payloads() {
		rec.Record(p)
	}
	if err := rec.Err(); err != nil {
		t.Fatal(err)
	}
	if err := Verify(sink.events); err != nil {
		t.Fatal(err)
	}
	first := sink.events[0]
	if first.Seq != 1 || first.Prev != "" || first.Run != "docs-1" || first.Kind != "phase" || first.Time.Location() != time.UTC {
		t.Errorf("the first event is %+v", first)
	}
}

func TestVerifyFindsWhatWasChanged(t *testing.T) {
	tests := []struct {
		name   string
		change func([]Event) []Event
	}{
		{"an event changed", func(e []Event) []Event { e[1].Data = json.RawMessage(`{"text":"other"}`); return e }},
		{"a time changed", func(e []Event) []Event { e[1].Time = e[1].Time.Add(1); return e }},
		{"a kind changed", func(e []Event) []Event { e[1].Kind = "notice"; return e }},
		{"a run changed", func(e []Event) []Event { e[1].Run = "other"; return e }},
		{"the first one cut out", func(e []Event) []Event { return e[1:] }},
		{"one cut out", func(e []Event) []Event { return slices.Delete(e, 1, 2) }},
		{"one cut out and the rest numbered anew", func(e []Event) []Event {
			e = slices.Delete(e, 1, 2)
			e[1].Seq = 2
			return e
		}},
		{"two exchanged", func(e []Event) []Event { e[1], e[2] = e[2], e[1]; return e }},
		{"one written again with a hash that fits", func(e []Event) []Event {
			e[1].Data = json.RawMessage(`{"text":"other"}`)
			e[1].Hash = e[1].sum()
			return e
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sink := &record{}
			rec := NewRecorder("docs-1", clock, sink)
			for _, text := range []string{"one", "two", "three"} {
				rec.Record(Say{Text: text})
			}
			if err := Verify(tt.change(sink.events)); err == nil {
				t.Error("Verify() found nothing")
			}
		})
	}
}

func TestResumeGoesOnWithTheChain(t *testing.T) {
	sink := &record{}
	NewRecorder("docs-1", clock, sink).Record(Say{Text: "one"})
	Resume(sink.events[0], "docs-1", clock, sink).Record(Say{Text: "two"})
	if err := Verify(sink.events); err != nil || len(sink.events) != 2 {
		t.Errorf("%d events, %v", len(sink.events), err)
	}
	empty := &record{}
	Resume(Event{}, "docs-1", clock, empty).Record(Say{Text: "one"})
	if err := Verify(empty.events); err != nil {
		t.Errorf("after nothing: %v", err)
	}
}

func TestRecordedAtTheSameTime(t *testing.T) {
	sink := &record{}
	rec := NewRecorder("docs-1", clock, sink)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { rec.Record(Say{Text: "x"}) })
	}
	wg.Wait()
	if err := Verify(sink.events); err != nil || len(sink.events) != 50 {
		t.Errorf("%d events, %v", len(sink.events), err)
	}
}

func TestTheFirstErrorOfASinkStays(t *testing.T) {
	full, other := errors.New("disk full"), &record{}
	rec := NewRecorder("docs-1", clock, &record{fails: full}, other)
	for range 3 {
		rec.Record(Say{})
	}
	if !errors.Is(rec.Err(), full) {
		t.Errorf("Err() = %v, want %v", rec.Err(), full)
	}
	if len(other.events) != 3 {
		t.Errorf("the other sink got %d events, want 3", len(other.events))
	}
}

func TestAPayloadThatCannotBeEncodedIsAnError(t *testing.T) {
	sink := &record{}
	rec := NewRecorder("docs-1", clock, sink)
	rec.Record(Usage{Cost: sandbox.Cost{USD: math.NaN()}})
	rec.Record(Say{})
	if rec.Err() == nil {
		t.Error("a hole in the record is no error")
	}
	if err := Verify(sink.events); err != nil || len(sink.events) != 1 {
		t.Errorf("%d events, %v, want one that is whole", len(sink.events), err)
	}
}

// What --json prints and the store keeps can be read back as it was.
func TestDecode(t *testing.T) {
	for i, want := range payloads() {
		t.Run(want.EventKind(), func(t *testing.T) {
			sink := &record{}
			NewRecorder("docs-1", clock, sink).Record(payloads()[i])
			line, err := json.Marshal(sink.events[0])
			if err != nil {
				t.Fatal(err)
			}
			var e Event
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatal(err)
			}
			if err := Verify([]Event{e}); err != nil {
				t.Errorf("read back: %v", err)
			}
			got, err := Decode(e)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("Decode() = %+v, %v, want %+v", got, err, want)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct {
		event Event
		says  string
	}{
		{Event{Seq: 3, Kind: "future"}, `unknown kind "future"`},
		{Event{Seq: 3, Kind: "say", Data: json.RawMessage(`{"text":1}`)}, "event 3: decode say"},
		{Event{Kind: "say"}, "decode say"},
	}
	for _, tt := range tests {
		if p, err := Decode(tt.event); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("Decode(%+v) = %v, %v, want an error that says %q", tt.event, p, err, tt.says)
		}
	}
}
