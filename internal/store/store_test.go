package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"agentprocess/internal/audit"
	"agentprocess/internal/sandbox"
)

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func database(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "state", "state.db")
}

func run(id, name string, created int64) sandbox.Run {
	return sandbox.Run{
		ID: id, Name: name, Repository: "/r/.git", State: sandbox.StateRunning,
		Created: time.Unix(created, 5).UTC(), Goal: "do \x1b[31mit",
	}
}

func TestRuns(t *testing.T) {
	s := open(t, database(t))
	ctx := t.Context()
	a, b, again := run("1", "a", 1), run("2", "b", 2), run("3", "a", 3)
	for _, r := range []sandbox.Run{a, b, again} {
		if err := s.PutRun(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	b.State, b.Outcome, b.Ended = sandbox.StateFinished, sandbox.OutcomeDone, time.Unix(9, 0).UTC()
	if err := s.PutRun(ctx, b); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		filter RunFilter
		want   []sandbox.Run
	}{
		{"all, newest first", RunFilter{}, []sandbox.Run{again, b, a}},
		{"limit", RunFilter{Limit: 1}, []sandbox.Run{again}},
		{"by name", RunFilter{Name: "a"}, []sandbox.Run{again, a}},
		{"by state", RunFilter{States: []sandbox.State{sandbox.StateFinished, sandbox.StateCrashed}}, []sandbox.Run{b}},
		{"other repository", RunFilter{Repository: "/other"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.Runs(ctx, tt.filter)
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("error %v, difference (-want +got):\n%s", err, diff)
			}
		})
	}
	t.Run("newest of a name", func(t *testing.T) {
		if got, err := s.RunByName(ctx, "/r/.git", "a"); err != nil || got.ID != "3" {
			t.Errorf("got %q, %v", got.ID, err)
		}
	})
}

func TestDeleteRunHidesButKeeps(t *testing.T) {
	s := open(t, database(t))
	ctx := t.Context()
	if err := s.PutRun(ctx, run("1", "a", 1)); err != nil {
		t.Fatal(err)
	}
	recordOf(t, s, "1", 1)
	if err := s.DeleteRun(ctx, "1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RunByName(ctx, "/r/.git", "a"); sandbox.ErrorCode(err) != sandbox.CodeNotFound {
		t.Errorf("by name: %v", err)
	}
	if r, err := s.Run(ctx, "1"); err != nil || r.ID != "1" {
		t.Errorf("by id: %+v, %v", r, err)
	}
	if events, err := s.Events(ctx, "1", 0, 0); err != nil || len(events) == 0 {
		t.Errorf("%d events, %v", len(events), err)
	}
	if err := s.DeleteRun(ctx, "nope"); sandbox.ErrorCode(err) != sandbox.CodeNotFound {
		t.Errorf("unknown run: %v", err)
	}
}

// recordOf records n rounds of every kind of event that is indexed.
func recordOf(t *testing.T, s *Store, id string, n int) {
	t.Helper()
	sink := s.Sink(t.Context())
	rec := audit.NewRecorder(id, time.Now, sink)
	for i := range n {
		rec.Record(audit.Say{Text: "<b>&\u2028\x00\x1b"})
		rec.Record(audit.Request{ID: fmt.Sprintf("q%d", i), Host: "evil.example", Port: 443, Verdict: audit.Deny})
		rec.Record(audit.Request{ID: fmt.Sprintf("p%d", i), Host: "good.example", Verdict: audit.Allow})
		rec.Record(audit.Verdict{ID: fmt.Sprintf("v%d", i), ToolUseID: "toolu_1", Decision: audit.Allow})
		rec.Record(audit.Verdict{ID: fmt.Sprintf("w%d", i), Event: "Stop", Decision: audit.Deny})
	}
	if err := errors.Join(rec.Err(), sink.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestEventsComeBackAsTheyWere(t *testing.T) {
	s := open(t, database(t))
	ctx := t.Context()
	recordOf(t, s, "r1", 40)
	recordOf(t, s, "r2", 1)
	events, err := s.Events(ctx, "r1", 0, 0)
	if err != nil || len(events) != 200 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	if err := audit.Verify(events); err != nil {
		t.Errorf("chain: %v", err)
	}
	part, err := s.Events(ctx, "r1", 10, 5)
	if diff := cmp.Diff(events[10:15], part); diff != "" || err != nil {
		t.Errorf("error %v, difference:\n%s", err, diff)
	}
}

func TestRequestsAndVerdicts(t *testing.T) {
	s := open(t, database(t))
	ctx := t.Context()
	recordOf(t, s, "r1", 2)
	recordOf(t, s, "r2", 1)
	requests := []struct {
		name   string
		filter RequestFilter
		want   string
	}{
		{"of a run", RequestFilter{Run: "r1"}, "q0 p0 q1 p1"},
		{"denied", RequestFilter{Run: "r1", Verdict: audit.Deny}, "q0 q1"},
		{"by id everywhere", RequestFilter{ID: "q0"}, "q0 q0"},
		{"by host", RequestFilter{Host: "good.example", Run: "r2"}, "p0"},
		{"limit", RequestFilter{Run: "r1", Limit: 1}, "q0"},
	}
	for _, tt := range requests {
		t.Run("requests "+tt.name, func(t *testing.T) {
			got, err := s.Requests(ctx, tt.filter)
			var ids []string
			for _, r := range got {
				ids = append(ids, r.ID)
			}
			if strings.Join(ids, " ") != tt.want || err != nil {
				t.Errorf("got %q, %v; want %q", ids, err, tt.want)
			}
		})
	}
	verdicts, err := s.Verdicts(ctx, VerdictFilter{Run: "r1", ToolUseID: "toolu_1"})
	if err != nil || len(verdicts) != 2 || verdicts[1].ID != "v1" || verdicts[1].Seq != 9 {
		t.Errorf("verdicts: %+v, %v", verdicts, err)
	}
	denied, err := s.Verdicts(ctx, VerdictFilter{Run: "r1", Decision: audit.Deny, Limit: 1})
	if err != nil || len(denied) != 1 || denied[0].ID != "w0" {
		t.Errorf("denied verdicts: %+v, %v", denied, err)
	}
}

func TestEventsAreAppendOnly(t *testing.T) {
	s := open(t, database(t))
	recordOf(t, s, "r1", 1)
	for _, statement := range []string{
		"DELETE FROM events", "UPDATE events SET data = '{}'", "UPDATE events SET hash = '' WHERE seq = 1",
	} {
		t.Run(statement, func(t *testing.T) {
			if _, err := s.db.ExecContext(t.Context(), statement); err == nil {
				t.Error("was allowed")
			}
		})
	}
	t.Run("same place twice", func(t *testing.T) {
		events, err := s.Events(t.Context(), "r1", 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.AppendEvents(t.Context(), events...); err == nil {
			t.Error("was allowed")
		}
	})
}

func TestFilesArePrivate(t *testing.T) {
	path := database(t)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	recordOf(t, s, "r1", 1)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", info.Name(), info.Mode())
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(t *testing.T, path string)
		code    sandbox.Code
		hint    string
	}{
		{"a newer database", func(t *testing.T, path string) {
			t.Helper()
			s, err := Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.db.ExecContext(t.Context(), "PRAGMA user_version = 999")
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
		}, sandbox.CodeUsage, "newer agent-process"},
		{"what is no database", func(t *testing.T, path string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 200)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, sandbox.CodeInternal, "damaged"},
		{"a directory", func(t *testing.T, path string) {
			t.Helper()
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, sandbox.CodeInternal, "XDG_STATE_HOME"},
		{"a symbolic link", func(t *testing.T, path string) {
			t.Helper()
			if err := os.Symlink("elsewhere", path); err != nil {
				t.Fatal(err)
			}
		}, sandbox.CodeInternal, "XDG_STATE_HOME"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			tt.prepare(t, path)
			s, err := Open(t.Context(), path)
			if err == nil {
				t.Fatal("opened", s.Close())
			}
			if sandbox.ErrorCode(err) != tt.code || !strings.Contains(sandbox.ErrorHint(err), tt.hint) {
				t.Errorf("got %v (%s), hint %q", err, sandbox.ErrorCode(err), sandbox.ErrorHint(err))
			}
		})
	}
}

func TestSinkKeepsTheFirstErrorAndSaysSo(t *testing.T) {
	s := open(t, database(t))
	// The same code as a full disk, without filling one.
	if _, err := s.db.ExecContext(t.Context(), "PRAGMA max_page_count = 20"); err != nil {
		t.Fatal(err)
	}
	sink := s.Sink(t.Context())
	rec := audit.NewRecorder("r1", time.Now, sink)
	rec.Record(audit.Say{Text: strings.Repeat("x", 1<<20)})
	<-sink.Failed()
	err := sink.Flush()
	if sandbox.ErrorCode(err) != sandbox.CodeInternal || !strings.Contains(sandbox.ErrorHint(err), "disk is full") {
		t.Errorf("flush: %v, hint %q", err, sandbox.ErrorHint(err))
	}
	rec.Record(audit.Say{Text: "more"})
	if rec.Err() == nil {
		t.Error("the recorder did not learn of it")
	}
	if sink.Close() == nil {
		t.Error("close forgot the error")
	}
}

func TestSinkAfterClose(t *testing.T) {
	s := open(t, database(t))
	sink := s.Sink(t.Context())
	for range 2 {
		if err := errors.Join(sink.Close(), sink.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Write(audit.Event{Run: "r", Seq: 1}); !errors.Is(err, errClosed) {
		t.Errorf("got %v", err)
	}
}

func TestVerdictIsDurableWhenWritten(t *testing.T) {
	path := database(t)
	s, other := open(t, path), open(t, path)
	sink := s.Sink(t.Context())
	rec := audit.NewRecorder("r1", time.Now, sink)
	rec.Record(audit.Say{Text: "before"})
	rec.Record(audit.Verdict{ID: "v", Decision: audit.Deny})
	events, err := other.Events(t.Context(), "r1", 0, 0)
	if err != nil || len(events) != 2 {
		t.Errorf("another connection sees %d events, %v", len(events), err)
	}
	if err := sink.Close(); err != nil {
		t.Error(err)
	}
}

func TestSinkWritesAfterItsContextEnded(t *testing.T) {
	s := open(t, database(t))
	ctx, cancel := context.WithCancel(t.Context())
	sink := s.Sink(ctx)
	cancel()
	audit.NewRecorder("r1", time.Now, sink).Record(audit.Outcome{Outcome: sandbox.OutcomeStopped})
	if err := sink.Flush(); err != nil {
		t.Fatal(err)
	}
	if events, err := s.Events(t.Context(), "r1", 0, 0); err != nil || len(events) != 1 {
		t.Errorf("%d events, %v", len(events), err)
	}
	if err := sink.Close(); err != nil {
		t.Error(err)
	}
}

func TestManyWritersInOneSink(t *testing.T) {
	s := open(t, database(t))
	sink := s.Sink(t.Context())
	rec := audit.NewRecorder("r1", time.Now, sink)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 20 {
				rec.Record(audit.Verdict{ID: "v", Decision: audit.Allow})
				rec.Record(audit.Say{Text: "x"})
			}
		})
	}
	wg.Wait()
	if err := errors.Join(rec.Err(), sink.Close()); err != nil {
		t.Fatal(err)
	}
	events, err := s.Events(t.Context(), "r1", 0, 0)
	if err != nil || len(events) != 640 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	if err := audit.Verify(events); err != nil {
		t.Error(err)
	}
}

func TestFollow(t *testing.T) {
	path := database(t)
	writer, reader := open(t, path), open(t, path)
	sink := writer.Sink(t.Context())
	rec := audit.NewRecorder("r1", time.Now, sink)
	rec.Record(audit.Say{Text: "0"})
	seen := 0
	err := reader.Follow(t.Context(), "r1", 0, func() bool { return true }, func(e audit.Event) error {
		seen++
		if e.Seq < 4 {
			rec.Record(audit.Say{Text: "more"}) // written while it is followed
		} else if e.Seq == 4 {
			rec.Record(audit.Outcome{})
			rec.Record(audit.Say{Text: "after the end"})
		}
		return nil
	})
	if err != nil || seen != 5 {
		t.Errorf("saw %d events, %v", seen, err)
	}
	if err := sink.Close(); err != nil {
		t.Error(err)
	}
	t.Run("of a run that nobody writes", func(t *testing.T) {
		left := 0
		err := reader.Follow(t.Context(), "r1", 5, func() bool { return false }, func(audit.Event) error { left++; return nil })
		if err != nil || left != 1 {
			t.Errorf("saw %d events, %v", left, err)
		}
	})
	t.Run("until cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		err := reader.Follow(ctx, "r2", 0, func() bool { cancel(); return true }, func(audit.Event) error { return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestMigrationsAreNumbered(t *testing.T) {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if want := fmt.Sprintf("%04d_", i+1); !strings.HasPrefix(e.Name(), want) {
			t.Errorf("%q is number %d", e.Name(), i+1)
		}
	}
}

func TestRunRecordWithUnknownFieldsIsRead(t *testing.T) {
	s := open(t, database(t))
	if err := s.PutRun(t.Context(), run("1", "a", 1)); err != nil {
		t.Fatal(err)
	}
	err := s.transact(t.Context(), func(tx *sql.Tx) error {
		record, err := json.Marshal(map[string]any{"id": "1", "later": true})
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(t.Context(), "UPDATE runs SET record = ?", string(record))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := s.Run(t.Context(), "1"); err != nil || r.ID != "1" {
		t.Errorf("got %+v, %v", r, err)
	}
}
