package hook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/execx"
	"agentprocess/internal/execx/exectest"
)

// The test binary is also the client, and those who mean no good: processes of
// their own, because the endpoint tells callers apart by that.
const (
	asClient = "hook-client"
	asFlood  = "hook-flood"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case asClient:
			os.Exit(ClientMain(os.Stdin, os.Stdout, os.Stderr, os.Args[2]))
		case asFlood:
			os.Exit(flood(os.Args[2], os.Args[3]))
		}
	}
	os.Exit(exectest.Main(m))
}

// clientProcess asks as a process of its own.
func clientProcess(t testing.TB, socket, stdin string) (exit int, stderr string) {
	t.Helper()
	var said bytes.Buffer
	err := execx.Run(t.Context(), execx.Cmd{Argv: []string{exectest.Binary(t), asClient, socket}, Stdin: strings.NewReader(stdin), Stderr: &said})
	if err != nil && execx.ExitCode(err) < 0 {
		t.Fatal(err)
	}
	return max(0, execx.ExitCode(err)), said.String()
}

// flood calls the endpoint in one way until its stdin ends.
func flood(socket, way string) int {
	until := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the test
		close(until)
	}()
	var open []net.Conn
	for i := 0; ; i++ {
		select {
		case <-until:
			return 0
		default:
		}
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "unix", socket)
		if err != nil {
			continue
		}
		switch way {
		case "silent":
		case "slow":
			_, _ = conn.Write([]byte{0, 255, 255, 255, '{'}) // 16 MiB are to come
		case "garbage":
			_, _ = conn.Write(bytes.Repeat([]byte("x"), 1<<16))
		case "valid":
			q, err := encodeQuestion([]byte(event(fmt.Sprint("forged", os.Getpid(), "-", i), "ls")))
			if err == nil && writeFrame(conn, q) == nil {
				_, _ = readFrame(conn, maxFrame)
			}
		}
		if open = append(open, conn); len(open) > 200 {
			_ = open[0].Close()
			open = open[1:]
		}
	}
}

func TestHundredAtOnce(t *testing.T) {
	_, record, socket := serve(t, nil)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			if exit, stderr := clientProcess(t, socket, event(fmt.Sprintf("t%d", i), "x")); exit != 0 {
				t.Errorf("exit %d, %q", exit, stderr)
			}
		})
	}
	all.Wait()
	got := record.all()
	seen := map[int]bool{}
	for _, v := range got {
		seen[v.PID] = true
		if v.PID == os.Getpid() || v.PID == 0 || v.UID != os.Getuid() {
			t.Errorf("a caller is recorded as %d, user %d", v.PID, v.UID)
		}
	}
	if len(got) != 100 || len(seen) < 90 { // a pid may come again
		t.Errorf("%d verdicts on %d processes", len(got), len(seen))
	}
}

// A caller that is killed while its call is decided ends the decision, and what
// is recorded is a denial.
func TestKilledCallerEndsTheDecision(t *testing.T) {
	deciding, ended := make(chan struct{}), make(chan error, 1)
	_, record, socket := serve(t, func(s *Server) {
		s.Decide = func(ctx context.Context, _ Call, talk Talk) Decision {
			err := talk.Hold(ctx, time.Minute)
			close(deciding)
			<-ctx.Done()
			ended <- err
			return Decision{Allow: true}
		}
	})
	p, err := execx.Start(t.Context(), execx.Cmd{Argv: []string{exectest.Binary(t), asClient, socket}, Stdin: strings.NewReader(event("t", "x"))})
	if err != nil {
		t.Fatal(err)
	}
	<-deciding
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait() // killed
	if err := <-ended; err != nil {
		t.Errorf("hold: %v", err)
	}
	got := record.wait(t, 1)
	if got[0].Decision != audit.Deny || got[0].Rule != "caller" {
		t.Errorf("verdicts = %+v", got)
	}
}

func BenchmarkHook(b *testing.B) {
	_, _, socket := serve(b, nil)
	i := 0
	for b.Loop() {
		i++
		if exit, stderr := ask1(b, socket, event(fmt.Sprint("t", i), "go test ./...")); exit != 0 {
			b.Fatal(stderr)
		}
	}
}

func BenchmarkHookProcess(b *testing.B) {
	_, _, socket := serve(b, nil)
	i := 0
	for b.Loop() {
		i++
		if exit, stderr := clientProcess(b, socket, event(fmt.Sprint("t", i), "go test ./...")); exit != 0 {
			b.Fatal(stderr)
		}
	}
}
