package hook

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"agentprocess/internal/audit"
)

// sink keeps verdicts; fail makes it a full disk.
type sink struct {
	mu       sync.Mutex
	verdicts []audit.Verdict
	fail     error
	written  chan struct{} // has something when a verdict came
}

func (s *sink) Write(e audit.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := e.Payload.(audit.Verdict); ok {
		s.verdicts = append(s.verdicts, v)
		select {
		case s.written <- struct{}{}:
		default:
		}
	}
	return s.fail
}

// wait gives the verdicts when there are n.
func (s *sink) wait(t *testing.T, n int) []audit.Verdict {
	t.Helper()
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for {
		if got := s.all(); len(got) >= n {
			return got
		}
		select {
		case <-s.written:
		case <-late.C:
			t.Fatalf("%d verdicts: want %d", len(s.all()), n)
		}
	}
}

func (s *sink) all() []audit.Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]audit.Verdict(nil), s.verdicts...)
}

// serve runs a server on a socket of its own until the test ends.
func serve(t testing.TB, change func(*Server)) (server *Server, record *sink, socket string) {
	t.Helper()
	record = &sink{written: make(chan struct{}, 1)}
	server = &Server{Recorder: audit.NewRecorder("run", time.Now, record), Receipts: NewReceipts("/home/agent"), Nonce: "secret-nonce"}
	if change != nil {
		change(server)
	}
	socket = filepath.Join(t.TempDir(), "s")
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return server, record, socket
}

func event(id, command string) string {
	return fmt.Sprintf(`{"hook_event_name":"PreToolUse","session_id":"s","cwd":"/project","tool_name":"Bash","tool_use_id":%q,"tool_input":{"command":%q}}`, id, command)
}

func ask1(t testing.TB, socket, stdin string) (exit int, stderr string) {
	t.Helper()
	exit, stdout, stderr := ask2(t, socket, stdin)
	if stdout != "" {
		t.Errorf("stdout = %q", stdout)
	}
	return exit, stderr
}

func ask2(t testing.TB, socket, stdin string) (exit int, stdout, stderr string) {
	t.Helper()
	var out, said bytes.Buffer
	exit = ClientMain(strings.NewReader(stdin), &out, &said, socket)
	return exit, out.String(), said.String()
}

func TestAllowLeavesAReceipt(t *testing.T) {
	server, record, socket := serve(t, nil)
	if exit, stderr := ask1(t, socket, event("t1", "ls")); exit != 0 || stderr != "" {
		t.Fatalf("exit %d, %q", exit, stderr)
	}
	got := record.all()
	if len(got) != 1 || got[0].ToolUseID != "t1" || got[0].Decision != audit.Allow || got[0].ID == "" || got[0].PID != os.Getpid() {
		t.Errorf("verdicts = %+v", got)
	}
	if want, err := Hash([]byte(` { "command" : "ls" } `)); err != nil || got[0].InputHash != want {
		t.Errorf("hash = %s, want %s (%v)", got[0].InputHash, want, err)
	}
	if err := server.Receipts.Check("t1", []byte(`{"command":"ls"}`)); err != nil {
		t.Error(err)
	}
	if err := server.Receipts.Check("t1", []byte(`{"command":"rm"}`)); !errors.Is(err, ErrInputDiffers) {
		t.Errorf("err = %v", err)
	}
	if err := server.Receipts.Check("t2", nil); !errors.Is(err, ErrNoReceipt) {
		t.Errorf("err = %v", err)
	}
}

func TestEveryEventIsRecordedButDisplay(t *testing.T) {
	_, record, socket := serve(t, nil)
	for _, name := range []string{"SessionStart", "Stop", "MessageDisplay", "SomethingNew"} {
		if exit, stderr := ask1(t, socket, `{"hook_event_name":"`+name+`"}`); exit != 0 {
			t.Errorf("%s: exit %d, %q", name, exit, stderr)
		}
	}
	if got := record.all(); len(got) != 3 {
		t.Errorf("verdicts = %+v", got)
	}
}

func TestServerDenies(t *testing.T) {
	tests := map[string]struct {
		change func(*Server)
		stdin  string
		rule   string
	}{
		"by decision": {func(s *Server) {
			s.Decide = func(context.Context, Call, Talk) Decision { return Decision{Rule: "r", Reason: "because \x1b[31m"} }
		}, event("t", "x"), "r"},
		"without a reason": {func(s *Server) {
			s.Decide = func(context.Context, Call, Talk) Decision { return Decision{Rule: "r"} }
		}, event("t", "x"), "r"},
		"panic": {func(s *Server) {
			s.Decide = func(context.Context, Call, Talk) Decision { panic("broken policy") }
		}, event("t", "x"), "failure"},
		"another canary":      {nil, `{"hook_event_name":"PreToolUse","tool_name":"AgentProcessCanary","tool_use_id":"c","tool_input":{}}`, "canary"},
		"no event name":       {nil, `{"tool_name":"Bash"}`, "unreadable"},
		"call without id":     {nil, `{"hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{}}`, "unreadable"},
		"call without tool":   {nil, `{"hook_event_name":"PreToolUse","tool_use_id":"t","tool_input":{}}`, "unreadable"},
		"call without input":  {nil, `{"hook_event_name":"PreToolUse","tool_name":"Bash","tool_use_id":"t"}`, "unreadable"},
		"input no object":     {nil, `{"hook_event_name":"PreToolUse","tool_name":"Bash","tool_use_id":"t","tool_input":[1]}`, "unreadable"},
		"names of other case": {nil, `{"Hook_Event_Name":"Stop"}`, "unreadable"},
		"array":               {nil, `[]`, "unreadable"},
		"long name":           {nil, `{"hook_event_name":"` + strings.Repeat("x", 1000) + `"}`, "unreadable"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, record, socket := serve(t, tt.change)
			exit, stderr := ask1(t, socket, tt.stdin)
			if exit != 2 || !strings.HasPrefix(stderr, "agent-process: denied") {
				t.Errorf("exit %d, %q", exit, stderr)
			}
			got := record.all()
			if len(got) != 1 || got[0].Decision != audit.Deny || got[0].Rule != tt.rule || got[0].Reason == "" {
				t.Errorf("verdicts = %+v", got)
			}
		})
	}
}

func TestFullDiskDenies(t *testing.T) {
	server, record, socket := serve(t, nil)
	record.fail = errors.New("no space left on device")
	if exit, _ := ask1(t, socket, event("t", "x")); exit != 2 {
		t.Errorf("exit %d", exit)
	}
	if err := server.CanaryProved(2); err == nil {
		t.Error("a canary is proved without a record")
	}
}

func TestCanary(t *testing.T) {
	server, record, socket := serve(t, nil)
	if err := server.CanaryProved(2); err == nil {
		t.Error("proved before it was called")
	}
	stdin, err := server.Canary()
	if err != nil {
		t.Fatal(err)
	}
	exit, _ := ask1(t, socket, string(stdin))
	if err := server.CanaryProved(exit); err != nil {
		t.Error(err)
	}
	if err := server.CanaryProved(0); err == nil {
		t.Error("proved although it was allowed")
	}
	if got := record.all(); len(got) != 1 || got[0].Rule != "canary" {
		t.Errorf("verdicts = %+v", got)
	}
}

// Each thing that can go wrong between client and server denies.
func TestClientFailsClosed(t *testing.T) {
	question := event("t", "x")
	q, err := encodeQuestion([]byte(question))
	if err != nil {
		t.Fatal(err)
	}
	good := answer{Version: Version, ID: "v", Request: digest(q), Decision: allow}
	frame := func(change func(*answer)) []byte {
		a := good
		change(&a)
		data, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...)
	}
	whole := frame(func(*answer) {})
	tests := map[string]struct {
		reply []byte
		exit  int
	}{
		"good":             {whole, 0},
		"nothing":          {nil, 2},
		"half a length":    {whole[:2], 2},
		"half an answer":   {whole[:len(whole)-1], 2},
		"empty":            {[]byte{0, 0, 0, 0}, 2},
		"huge":             {[]byte{255, 255, 255, 255}, 2},
		"no JSON":          {[]byte{0, 0, 0, 2, 'h', 'i'}, 2},
		"version":          {frame(func(a *answer) { a.Version = 1 }), 2},
		"no receipt":       {frame(func(a *answer) { a.ID = "" }), 2},
		"another question": {frame(func(a *answer) { a.Request = digest(nil) }), 2},
		"no decision":      {frame(func(a *answer) { a.Decision = "" }), 2},
		"unknown decision": {frame(func(a *answer) { a.Decision = "Allow" }), 2},
		"denied":           {frame(func(a *answer) { a.Decision = deny }), 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			socket := replyWith(t, tt.reply)
			if exit, stderr := ask1(t, socket, question); exit != tt.exit || (exit != 0) == (stderr == "") {
				t.Errorf("exit %d, %q", exit, stderr)
			}
		})
	}
}

// replyWith is a server that reads one question and answers with bytes.
func replyWith(t *testing.T, reply []byte) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if n, err := readLength(conn, MaxMessage); err == nil {
			if _, err := readBody(conn, n); err == nil {
				_, _ = conn.Write(reply)
				if c, ok := conn.(*net.UnixConn); ok && c.CloseWrite() == nil {
					_, _ = io.Copy(io.Discard, conn) // what the client still says
				}
			}
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
	return socket
}

// stuck is an input that never comes.
type stuck struct{ until chan struct{} }

func (s stuck) Read([]byte) (int, error) {
	<-s.until
	return 0, io.EOF
}

type broken struct{ panics bool }

func (b broken) Read([]byte) (int, error) {
	if b.panics {
		panic("broken input")
	}
	return 0, errors.New("broken input")
}

func TestClientFailsClosedByItself(t *testing.T) {
	_, _, socket := serve(t, nil)
	until := make(chan struct{})
	defer close(until)
	silent := replyNever(t)
	tests := map[string]struct {
		stdin  io.Reader
		socket string
		exit   int
	}{
		"no socket":       {strings.NewReader(event("t", "x")), filepath.Join(t.TempDir(), "none"), 2},
		"empty":           {strings.NewReader(""), socket, 2},
		"no JSON":         {strings.NewReader(`{"a":`), socket, 2},
		"two values":      {strings.NewReader(`{} {}`), socket, 2},
		"too long":        {io.MultiReader(strings.NewReader(`"`), bytes.NewReader(bytes.Repeat([]byte("x"), MaxMessage)), strings.NewReader(`"`)), socket, 2},
		"input hangs":     {stuck{until}, socket, 2},
		"input fails":     {broken{}, socket, 2},
		"input panics":    {broken{panics: true}, socket, 2},
		"server hangs":    {strings.NewReader(event("t", "x")), silent, 2},
		"first stop":      {strings.NewReader(`{"hook_event_name":"Stop","stop_hook_active":false}`), silent, 2},
		"second stop":     {strings.NewReader(`{"hook_event_name":"Stop","stop_hook_active":true}`), silent, 1},
		"call says stop":  {strings.NewReader(`{"hook_event_name":"PreToolUse","tool_name":"a","tool_use_id":"b","tool_input":{},"stop_hook_active":true}`), silent, 2},
		"stop, then text": {strings.NewReader(`{"hook_event_name":"Stop","stop_hook_active":true} x`), silent, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			c := &client{stdin: tt.stdin, stdout: io.Discard, stderr: &stderr, socket: tt.socket, timeout: 200 * time.Millisecond}
			exit := c.main()
			if name == "too long" { // takes its time
				exit = ClientMain(io.LimitReader(endless{}, MaxMessage+10), io.Discard, &stderr, tt.socket)
			}
			if exit != tt.exit || stderr.Len() == 0 {
				t.Errorf("exit %d, %q", exit, stderr.String())
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// replyNever is a server that accepts and says nothing.
func replyNever(t *testing.T) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return socket
}

func TestServeEndsWithSilentCallers(t *testing.T) {
	s := &Server{Recorder: audit.NewRecorder("run", time.Now)}
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, ln) }()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestOnStopRunsBeforeTheAnswer(t *testing.T) {
	stopped := 0
	_, _, socket := serve(t, func(s *Server) {
		s.OnStop = func(_ context.Context, c Call) {
			if c.Event == EventStop {
				stopped++
			}
		}
	})
	for range 3 {
		if exit, _ := ask1(t, socket, `{"hook_event_name":"Stop"}`); exit != 0 {
			t.Fatalf("exit %d", exit)
		}
	}
	if stopped != 3 { // read after the answers: the race detector agrees
		t.Errorf("OnStop ran %d times", stopped)
	}
}

// A flood of stops makes one run and one that waits, never a queue.
func TestStopsShareARun(t *testing.T) {
	var q stops
	var owner sync.WaitGroup
	release, started := make(chan struct{}), make(chan struct{}, 10)
	runs := 0
	f := func(context.Context) {
		runs++
		started <- struct{}{}
		<-release
	}
	first := q.join(t.Context(), &owner, f)
	<-started
	var others []<-chan struct{}
	for range 5 {
		others = append(others, q.join(t.Context(), &owner, f))
	}
	close(release)
	<-first
	for _, o := range others {
		<-o
	}
	owner.Wait()
	if runs != 2 {
		t.Errorf("%d runs: want 2", runs)
	}
}
