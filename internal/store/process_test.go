package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/execx"
)

// asWriter in the environment makes the test binary open a database and write
// to it until it has written its share or is killed.
const asWriter = "STORE_TEST_WRITER"

func TestMain(m *testing.M) {
	if os.Getenv(asWriter) == "fill" {
		os.Exit(fillDisk(context.Background(), os.Getenv("STORE_TEST_DATABASE")))
	}
	if os.Getenv(asWriter) == "answer" {
		os.Exit(answerAll(context.Background(), os.Getenv("STORE_TEST_DATABASE"), os.Getenv("STORE_TEST_NAME")))
	}
	if run := os.Getenv(asWriter); run != "" {
		os.Exit(writer(run, os.Getenv("STORE_TEST_DATABASE"), os.Getenv("STORE_TEST_FOREVER") != ""))
	}
	os.Exit(m.Run())
}

func writer(run, path string, forever bool) int {
	ctx := context.Background()
	s, err := Open(ctx, path)
	if err != nil {
		fmt.Fprintln(os.Stderr, "open:", err)
		return 1
	}
	sink := s.Sink(ctx)
	rec := audit.NewRecorder(run, time.Now, sink)
	for i := 0; rec.Err() == nil && (i < 50 || forever); i++ {
		rec.Record(audit.Say{Text: strings.Repeat("x", 100)})
		rec.Record(audit.Verdict{ID: "v", Decision: audit.Allow})
		if i == 5 {
			fmt.Fprintln(os.Stdout, "writing")
		}
	}
	if err := errors.Join(rec.Err(), sink.Close(), s.Close()); err != nil {
		fmt.Fprintln(os.Stderr, "write:", err)
		return 1
	}
	return 0
}

func writerCmd(t *testing.T, run, path string, extra ...string) execx.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return execx.Cmd{Argv: []string{self}, Env: append(extra, asWriter+"="+run, "STORE_TEST_DATABASE="+path)}
}

func TestTwentyProcessesAtOnceOnANewDatabase(t *testing.T) {
	path := database(t)
	const processes = 20
	failures := make([]error, processes)
	var wg sync.WaitGroup
	for i := range processes {
		wg.Go(func() { failures[i] = execx.Run(t.Context(), writerCmd(t, fmt.Sprintf("r%d", i), path)) })
	}
	wg.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	for i := range processes {
		checkRecord(t, s, fmt.Sprintf("r%d", i), 100)
	}
}

func TestKilledWritersLeaveASoundDatabase(t *testing.T) {
	path := database(t)
	for i := range 5 {
		name := fmt.Sprintf("r%d", i)
		started := make(signalWriter, 1)
		cmd := writerCmd(t, name, path, "STORE_TEST_FOREVER=1")
		cmd.Stdout = started
		p, err := execx.Start(t.Context(), cmd)
		if err != nil {
			t.Fatal(err)
		}
		<-started
		if err := p.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := p.Wait(); err == nil {
			t.Fatal("it ended by itself")
		}
		checkRecord(t, open(t, path), name, 12)
	}
}

// signalWriter says when something was written.
type signalWriter chan struct{}

// Write implements io.Writer.
func (w signalWriter) Write(p []byte) (int, error) {
	signal(w)
	return len(p), nil
}

func checkRecord(t *testing.T, s *Store, run string, atLeast int) {
	t.Helper()
	events, err := s.Events(t.Context(), run, 0, 0)
	if err != nil || len(events) < atLeast {
		t.Errorf("run %s: %d events, %v", run, len(events), err)
	}
	if err := audit.Verify(events); err != nil {
		t.Errorf("run %s: %v", run, err)
	}
	var sound string
	if err := s.db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&sound); err != nil || sound != "ok" {
		t.Errorf("integrity: %q, %v", sound, err)
	}
}

func BenchmarkOpenWarm(b *testing.B) {
	path := filepath.Join(b.TempDir(), "state.db")
	keep, err := Open(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(b.Context(), path)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	if err := keep.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkVerdict(b *testing.B) {
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "state.db"))
	if err != nil {
		b.Fatal(err)
	}
	sink := s.Sink(b.Context())
	rec := audit.NewRecorder("r", time.Now, sink)
	for b.Loop() {
		rec.Record(audit.Verdict{ID: "v", Decision: audit.Allow})
	}
	if err := errors.Join(rec.Err(), sink.Close(), s.Close()); err != nil {
		b.Fatal(err)
	}
}
