package service

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"agentprocess/internal/audit"
)

// written keeps the payloads of events; it is an audit.Sink.
type written struct{ payloads []audit.Payload }

func (w *written) Write(e audit.Event) error {
	w.payloads = append(w.payloads, e.Payload)
	return nil
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", longestLine)
	tests := []struct {
		name   string
		writes []string
		want   []string
	}{
		{"nothing", nil, nil},
		{"nothing in it", []string{"", ""}, nil},
		{"lines", []string{"one\ntwo\n"}, []string{"one", "two"}},
		{"no end", []string{"one\ntwo"}, []string{"one", "two"}},
		{"in pieces", []string{"o", "n", "e\nt", "wo\n"}, []string{"one", "two"}},
		{"empty lines", []string{"\n\na\n\n"}, []string{"", "", "a", ""}},
		{"carriage returns", []string{"one\r\ntwo\r", "\n"}, []string{"one", "two"}},
		{"too long", []string{long + "yyy\nz\n"}, []string{long, "z"}},
		{"too long in pieces", []string{long[:5000], long[5000:] + "y", "y", "y\n", "z"}, []string{long, "z"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sink := &written{}
			l := &lines{stream: "check", rec: audit.NewRecorder("r", time.Now, sink)}
			for _, w := range tt.writes {
				if n, err := io.WriteString(l, w); n != len(w) || err != nil {
					t.Fatalf("Write(%q) = %d, %v", w, n, err)
				}
			}
			l.flush()
			l.flush() // again adds nothing
			var got []string
			for _, p := range sink.payloads {
				got = append(got, p.(audit.Output).Text)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("recorded %.80q, want %.80q", got, tt.want)
			}
		})
	}
}

func TestLimited(t *testing.T) {
	var b strings.Builder
	l := &limited{w: &b, left: 5}
	for _, text := range []string{"abc", "defg", "h"} {
		if n, err := io.WriteString(l, text); n != len(text) || err != nil {
			t.Fatalf("Write(%q) = %d, %v", text, n, err)
		}
	}
	if b.String() != "abcde" {
		t.Errorf("kept %q, want the first 5 bytes", b.String())
	}
}

func TestKeptShowsAllAndKeepsTheEnd(t *testing.T) {
	var shown strings.Builder
	k := &kept{w: &shown}
	block := strings.Repeat("x", mostKept/4)
	for range 20 {
		if _, err := io.WriteString(k, block); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(k, "token"); err != nil {
		t.Fatal(err)
	}
	if got := k.buf.Len(); got > mostKept || !strings.HasSuffix(k.buf.String(), "token") {
		t.Errorf("kept %d bytes, at most %d with the end in them", got, mostKept)
	}
	if want := 20*len(block) + len("token"); shown.Len() != want {
		t.Errorf("showed %d bytes, want %d", shown.Len(), want)
	}
}

func TestCommitMessage(t *testing.T) {
	long := strings.Repeat("é", 80)
	tests := []struct {
		name, goal, subject, body string
	}{
		{"a line", "Write docs", "Write docs", ""},
		{"space around it", "  Write docs \n", "Write docs", ""},
		{"more lines", "Write docs\n\nAll of them.\nNow.\n", "Write docs", "All of them.\nNow."},
		{"none", " \n ", "Work of docs", ""},
		{"long", long, strings.Repeat("é", 71) + "…", long},
		{"exactly as long as it may be", long[:2*72], long[:2*72], ""},
		{"long, with more", long + "\nmore", strings.Repeat("é", 71) + "…", long + "\nmore"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := commitMessage("docs", tt.goal, "Claude <c@example.com>")
			if m.Subject != tt.subject || m.Body != tt.body || m.CoAuthor == "" {
				t.Errorf("commitMessage(%q) = %+v, want %q and %q", tt.goal, m, tt.subject, tt.body)
			}
		})
	}
}

func TestSeenWaits(t *testing.T) {
	connection, lookup := audit.Request{Path: "connect"}, audit.Request{Path: "dns"}
	tests := []struct {
		name string
		adds []audit.Request // one each second
		want int             // what there is at the end of the wait
		took time.Duration
	}{
		{"all of them", []audit.Request{connection, connection}, 2, 2 * time.Second},
		{"lookups do not count", []audit.Request{lookup, connection, lookup, connection, connection}, 4, 4 * time.Second},
		{"too few", []audit.Request{connection, lookup}, 2, 10 * time.Second},
		{"none", nil, 0, 10 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &seen{}
				begin := time.Now()
				for i, r := range tt.adds {
					defer time.AfterFunc(time.Duration(i+1)*time.Second, func() { s.add(r) }).Stop()
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				got := s.wait(ctx, 2)
				if len(got) != tt.want || time.Since(begin) != tt.took {
					t.Errorf("wait() = %d requests after %s, want %d after %s", len(got), time.Since(begin), tt.want, tt.took)
				}
			})
		})
	}
}
