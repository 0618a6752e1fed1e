package hook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"agentprocess/internal/audit"
)

// deciding is a server that decides by f.
func deciding(f func(context.Context, Call, Talk) Decision) func(*Server) {
	return func(s *Server) { s.Decide = f }
}

func TestDecisionAsksForPaths(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	_, _, socket := serve(t, deciding(func(ctx context.Context, _ Call, talk Talk) Decision {
		for range 2 { // again and again, in one conversation
			if got, err = talk.Resolve(ctx, []string{"link/new", "/nowhere", "link/new", "."}); err != nil {
				return Decision{Reason: err.Error()}
			}
		}
		return Decision{Allow: true}
	}))
	stdin := strings.Replace(event("t", "x"), `"/project"`, fmt.Sprintf("%q", dir), 1)
	if exit, stderr := ask1(t, socket, stdin); exit != 0 {
		t.Fatalf("exit %d, %q", exit, stderr)
	}
	if len(got) != 3 || got["link/new"] != "/etc/new" || got["/nowhere"] != "/nowhere" || got["."] != dir {
		t.Errorf("resolved %q", got)
	}
}

func TestPathsThatCannotBeAsked(t *testing.T) {
	many := make([]string, MaxPaths+1)
	for i := range many {
		many[i] = fmt.Sprint("/", i)
	}
	tests := map[string][]string{
		"empty": {""}, "too long": {strings.Repeat("x", maxPath+1)}, "NUL": {"a\x00b"}, "no UTF-8": {"a\xff"}, "too many": many,
	}
	_, _, socket := serve(t, deciding(func(ctx context.Context, _ Call, talk Talk) Decision {
		for name, paths := range tests {
			if got, err := talk.Resolve(ctx, paths); err == nil || got != nil {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
		got, err := talk.Resolve(ctx, nil)
		return Decision{Allow: err == nil && len(got) == 0}
	}))
	if exit, stderr := ask1(t, socket, event("t", "x")); exit != 0 {
		t.Errorf("exit %d, %q", exit, stderr)
	}
}

// A decision that keeps asking comes to an end.
func TestDecisionCannotAskForEver(t *testing.T) {
	_, _, socket := serve(t, deciding(func(ctx context.Context, _ Call, talk Talk) Decision {
		for i := range 2 * maxFrames {
			if _, err := talk.Resolve(ctx, []string{"/"}); err != nil {
				return Decision{Rule: "asked", Reason: fmt.Sprint(i)}
			}
		}
		return Decision{Allow: true}
	}))
	if exit, stderr := ask1(t, socket, event("t", "x")); exit != 2 || !strings.Contains(stderr, fmt.Sprint(maxFrames-1)) {
		t.Errorf("exit %d, %q", exit, stderr)
	}
}

// What a caller may say when it is asked about paths, and what it may not. None
// of it is an allow, and the record says deny.
func TestRepliesThatDeny(t *testing.T) {
	tests := map[string]string{
		"no JSON":            `{`,
		"version":            `{"v":1,"resolved":{"/a":"/a"}}`,
		"nothing":            `{"v":2,"resolved":{}}`,
		"another path":       `{"v":2,"resolved":{"/a":"/a","/b":"/b"}}`,
		"another error":      `{"v":2,"resolved":{"/a":"/a"},"errors":{"/b":"no"}}`,
		"both":               `{"v":2,"resolved":{"/a":"/a"},"errors":{"/a":"no"}}`,
		"relative":           `{"v":2,"resolved":{"/a":"a"}}`,
		"not clean":          `{"v":2,"resolved":{"/a":"/a/../b"}}`,
		"empty path":         `{"v":2,"resolved":{"/a":""}}`,
		"NUL":                `{"v":2,"resolved":{"/a":"/a\u0000"}}`,
		"unknown key":        `{"v":2,"resolved":{"/a":"/a"},"decision":"allow"}`,
		"an answer":          `{"v":2,"id":"v-1","request":"x","decision":"allow"}`,
		"a question":         `{"v":2,"event":{}}`,
		"not asked any more": `{"v":2,"resolved":{"/a":"/a"}}` + "again",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			_, record, socket := serve(t, deciding(func(ctx context.Context, _ Call, talk Talk) Decision {
				_, err := talk.Resolve(ctx, []string{"/a"})
				if err == nil {
					<-ctx.Done() // the second reply comes
				}
				return Decision{Allow: true}
			}))
			conn := converse(t, socket, event("t", "x"))
			if data, err := readFrame(conn, maxFrame); err != nil || !strings.Contains(string(data), `"resolve"`) {
				t.Fatalf("%q, %v", data, err)
			}
			text, again := strings.CutSuffix(text, "again")
			send(t, conn, text)
			if again {
				send(t, conn, text)
			}
			if data, err := readFrame(conn, maxFrame); err == nil && strings.Contains(string(data), `"allow"`) {
				t.Errorf("answer %s", data)
			}
			if got := record.wait(t, 1); got[0].Decision != audit.Deny || got[0].Rule != "caller" {
				t.Errorf("verdicts = %+v", got)
			}
		})
	}
}

// converse asks a question and leaves the rest to the test.
func converse(t *testing.T, socket, stdin string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	q, err := encodeQuestion([]byte(stdin))
	if err != nil {
		t.Fatal(err)
	}
	send(t, conn, string(q))
	return conn
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if err := writeFrame(conn, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// Nothing that a server says before or instead of its answer makes the client
// allow.
func TestServersThatDeny(t *testing.T) {
	stdin := event("t", "x")
	q, err := encodeQuestion([]byte(stdin))
	if err != nil {
		t.Fatal(err)
	}
	request := digest(q)
	good := fmt.Sprintf(`{"v":2,"id":"v-1","request":%q,"decision":"allow"}`, request)
	many := strings.Repeat(`{"v":2,"resolve":["/"]}`+"\n", maxFrames)
	tests := map[string]struct {
		says string // a frame a line
		exit int
	}{
		"good":                {good, 0},
		"asks first":          {`{"v":2,"resolve":["/","x"]}` + "\n" + good, 0},
		"holds first":         {`{"v":2,"hold":1}` + "\n" + good, 0},
		"asks too often":      {many + good, 2},
		"asks nothing":        {`{"v":2,"resolve":[]}` + "\n" + good, 2},
		"asks null":           {`{"v":2,"resolve":null}` + "\n" + good, 2},
		"asks for a number":   {`{"v":2,"resolve":[1]}` + "\n" + good, 2},
		"asks and holds":      {`{"v":2,"resolve":["/"],"hold":1}` + "\n" + good, 2},
		"holds for nothing":   {`{"v":2,"hold":0}` + "\n" + good, 2},
		"holds backwards":     {`{"v":2,"hold":-1}` + "\n" + good, 2},
		"holds for ever":      {`{"v":2,"hold":3601}` + "\n" + good, 2},
		"holds a word":        {`{"v":2,"hold":"1"}` + "\n" + good, 2},
		"holds a part":        {`{"v":2,"hold":0.5}` + "\n" + good, 2},
		"says nothing":        {`{"v":2}` + "\n" + good, 2},
		"says something new":  {`{"v":2,"more":1}` + "\n" + good, 2},
		"version 1":           {strings.Replace(good, `"v":2`, `"v":1`, 1), 2},
		"version 3":           {strings.Replace(good, `"v":2`, `"v":3`, 1), 2},
		"version as text":     {strings.Replace(good, `"v":2`, `"v":"2"`, 1), 2},
		"answer with more":    {strings.Replace(good, `}`, `,"hold":1}`, 1), 2},
		"input is no object":  {strings.Replace(good, `}`, `,"input":"x"}`, 1), 2},
		"input is null":       {strings.Replace(good, `}`, `,"input":null}`, 1), 2},
		"denied with input":   {strings.Replace(strings.Replace(good, `}`, `,"input":{}}`, 1), `"allow"`, `"deny"`, 1), 2},
		"nothing afterwards":  {`{"v":2,"hold":1}`, 2},
		"only half an answer": {good[:len(good)-3], 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var reply []byte
			for line := range strings.Lines(tt.says) {
				var b strings.Builder
				if err := writeFrame(&b, []byte(strings.TrimSpace(line))); err != nil {
					t.Fatal(err)
				}
				reply = append(reply, b.String()...)
			}
			exit, stdout, stderr := ask2(t, replyWith(t, reply), stdin)
			if exit != tt.exit || stdout != "" || (exit != 0) == (stderr == "") {
				t.Errorf("exit %d, %q, %q", exit, stdout, stderr)
			}
		})
	}
}

// A server that is gone in the middle of a conversation denies.
func TestServerThatEndsMeanwhile(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	started := make(chan struct{})
	s := &Server{Recorder: audit.NewRecorder("run", time.Now), Decide: func(ctx context.Context, _ Call, talk Talk) Decision {
		err := talk.Hold(ctx, time.Hour)
		close(started)
		<-ctx.Done()
		return Decision{Allow: err == nil}
	}}
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	go func() {
		<-started
		cancel()
	}()
	if exit, _ := ask1(t, socket, event("t", "x")); exit != 2 {
		t.Errorf("exit %d", exit)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if exit, _ := ask1(t, socket, event("t", "x")); exit != 2 { // the socket is gone now
		t.Errorf("exit %d", exit)
	}
}

// The clock of a conversation, over a pipe and in a bubble: nothing waits.
func TestHoldGivesTime(t *testing.T) {
	tests := map[string]struct {
		decide func(context.Context, Talk) Decision
		rule   string
		after  time.Duration
		allow  bool
	}{
		"in time": {func(ctx context.Context, _ Talk) Decision {
			wait(ctx, decideTimeout-time.Second)
			return Decision{Allow: true, Rule: "r"}
		}, "r", decideTimeout - time.Second, true},
		"late": {func(ctx context.Context, _ Talk) Decision {
			wait(ctx, decideTimeout+time.Second)
			return Decision{Allow: true, Rule: "r"}
		}, "timeout", decideTimeout, false},
		"never": {func(ctx context.Context, _ Talk) Decision {
			wait(context.WithoutCancel(ctx), 2*decideTimeout)
			return Decision{Allow: true, Rule: "r"}
		}, "timeout", decideTimeout, false},
		"held": {func(ctx context.Context, talk Talk) Decision {
			err := talk.Hold(ctx, 10*time.Minute)
			wait(ctx, 10*time.Minute)
			return Decision{Allow: err == nil, Rule: "r"}
		}, "r", 10 * time.Minute, true},
		"held, and late": {func(ctx context.Context, talk Talk) Decision {
			err := talk.Hold(ctx, 10*time.Minute)
			wait(ctx, time.Hour)
			return Decision{Allow: err == nil, Rule: "r"}
		}, "timeout", 10*time.Minute + decideTimeout, false},
		"held again and again": {func(ctx context.Context, talk Talk) Decision {
			for ctx.Err() == nil {
				if err := talk.Hold(ctx, 20*time.Minute); err != nil {
					wait(ctx, time.Hour)
					break
				}
				wait(ctx, 19*time.Minute)
			}
			return Decision{Allow: true, Rule: "r"}
		}, "timeout", MaxHold + decideTimeout, false},
		"held for longer than there is": {func(ctx context.Context, talk Talk) Decision {
			err := talk.Hold(ctx, 9*MaxHold)
			wait(ctx, 2*MaxHold)
			return Decision{Allow: err == nil, Rule: "r"}
		}, "timeout", MaxHold + decideTimeout, false},
		"held for nothing": {func(ctx context.Context, talk Talk) Decision {
			return Decision{Allow: talk.Hold(ctx, -1) == nil, Rule: "r"}
		}, "r", 0, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &Server{Recorder: audit.NewRecorder("run", time.Now, &sink{}), Decide: func(ctx context.Context, _ Call, talk Talk) Decision { return tt.decide(ctx, talk) }}
				ours, theirs := net.Pipe()
				var all sync.WaitGroup
				all.Go(func() { s.serve(t.Context(), newGate().admit(ours, Peer{})) })
				start := time.Now()
				c := &client{timeout: clientTimeout, end: time.Now().Add(ClientLife), watch: time.NewTimer(clientTimeout)}
				q, err := encodeQuestion([]byte(event("t", "x")))
				if err != nil {
					t.Fatal(err)
				}
				if err := writeFrame(theirs, q); err != nil {
					t.Fatal(err)
				}
				a, err := c.converse(theirs, nil, digest(q))
				if err != nil || (a.Decision == allow) != tt.allow {
					t.Errorf("answer %+v, %v", a, err)
				}
				if took := time.Since(start); took != tt.after {
					t.Errorf("answered after %v: want %v", took, tt.after)
				}
				select {
				case <-c.watch.C:
					t.Error("the client had given up")
				default:
				}
				_ = theirs.Close()
				all.Wait()
				wait(t.Context(), 2*decideTimeout) // for a policy that respects nothing
			})
		})
	}
}

// A client that is held gives up by itself, too.
func TestHeldClientGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		c := &client{timeout: clientTimeout, end: time.Now().Add(ClientLife), watch: time.NewTimer(clientTimeout)}
		start, done := time.Now(), make(chan error, 1)
		var took time.Duration
		go func() {
			_, err := c.converse(theirs, nil, "x")
			took = time.Since(start)
			done <- err
		}()
		for range 4 { // together more than there is
			if err := writeFrame(ours, []byte(`{"v":2,"hold":1200}`)); err != nil {
				break
			}
			wait(t.Context(), 19*time.Minute)
		}
		if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		<-c.watch.C
		if took > ClientLife {
			t.Errorf("gave up after %v: want at most %v", took, ClientLife)
		}
	})
}

// More calls than may wait for a person are denied, and the others go on.
func TestManyHeldCalls(t *testing.T) {
	release := make(chan struct{})
	held := make(chan error, maxHeld+1)
	_, _, socket := serve(t, deciding(func(ctx context.Context, c Call, talk Talk) Decision {
		if c.ToolUseID == "free" {
			return Decision{Allow: true}
		}
		err := talk.Hold(ctx, time.Minute)
		held <- err
		if err == nil {
			<-release
		}
		return Decision{Allow: err == nil}
	}))
	var all sync.WaitGroup
	exits := make(chan int, maxHeld+1)
	for i := range maxHeld + 1 {
		all.Go(func() {
			exit, _ := clientProcess(t, socket, event(fmt.Sprint("held", i), "x"))
			exits <- exit
		})
	}
	busy := 0
	for range maxHeld + 1 {
		if errors.Is(<-held, errBusy) {
			busy++
		}
	}
	if exit, stderr := clientProcess(t, socket, event("free", "x")); exit != 0 {
		t.Errorf("exit %d, %q", exit, stderr)
	}
	close(release)
	all.Wait()
	close(exits)
	denied := 0
	for exit := range exits {
		denied += exit / 2
	}
	if busy != 1 || denied != 1 {
		t.Errorf("%d refused, %d denied: want 1 of each", busy, denied)
	}
}

func TestDecisionsThatCannotBeAnswered(t *testing.T) {
	object := json.RawMessage(`{"command":"true"}`)
	tests := map[string]struct {
		event    string
		decision Decision
		exit     int
		stdout   string
		rule     string
	}{
		"modified":             {event("t", "x"), Decision{Allow: true, Rule: "r", Input: object}, 0, `"updatedInput":{"command":"true"}`, "r"},
		"modified, array":      {event("t", "x"), Decision{Allow: true, Input: json.RawMessage(`[]`)}, 2, "", "failure"},
		"modified, broken":     {event("t", "x"), Decision{Allow: true, Input: json.RawMessage(`{`)}, 2, "", "failure"},
		"modified, empty":      {event("t", "x"), Decision{Allow: true, Input: json.RawMessage{}}, 2, "", "failure"},
		"modified, null":       {event("t", "x"), Decision{Allow: true, Input: json.RawMessage(`null`)}, 2, "", "failure"},
		"modified, huge":       {event("t", "x"), Decision{Allow: true, Input: json.RawMessage(`{"a":"` + strings.Repeat("x", MaxInput) + `"}`)}, 2, "", "failure"},
		"modified and denied":  {event("t", "x"), Decision{Rule: "r", Input: object}, 2, "", "r"},
		"modified afterwards":  {`{"hook_event_name":"PostToolUse"}`, Decision{Allow: true, Rule: "r", Input: object}, 0, "", "r"},
		"context":              {event("t", "x"), Decision{Allow: true, Rule: "r", Context: "c"}, 0, `"additionalContext":"c"`, "r"},
		"context afterwards":   {`{"hook_event_name":"PostToolUse"}`, Decision{Allow: true, Rule: "r", Context: "c"}, 0, `"hookEventName":"PostToolUse"`, "r"},
		"context on stop":      {`{"hook_event_name":"Stop"}`, Decision{Allow: true, Rule: "r", Context: "c"}, 0, "", "r"},
		"much context":         {event("t", "x"), Decision{Allow: true, Rule: "r", Context: strings.Repeat("é", maxContext)}, 0, "ééé", "r"},
		"unknown action":       {event("t", "x"), Decision{Allow: true, Action: "maybe"}, 2, "", "failure"},
		"contradiction":        {event("t", "x"), Decision{Allow: true, Action: "deny"}, 2, "", "failure"},
		"allowed by a person":  {event("t", "x"), Decision{Allow: true, Rule: "r", Action: "ask", By: "somebody"}, 0, "", "r"},
		"denied after a tool":  {`{"hook_event_name":"PostToolUse"}`, Decision{Rule: "r", Reason: "why"}, 2, "", "r"},
		"sent back to work":    {`{"hook_event_name":"Stop","stop_hook_active":true}`, Decision{Rule: "r", Reason: "why"}, 2, "", "r"},
		"denied with a lot":    {event("t", "x"), Decision{Rule: "r", Reason: strings.Repeat("é", maxReason)}, 2, "", "r"},
		"a prompt's context":   {`{"hook_event_name":"UserPromptSubmit"}`, Decision{Allow: true, Rule: "r", Context: "c"}, 0, `"hookEventName":"UserPromptSubmit"`, "r"},
		"the start's context":  {`{"hook_event_name":"SessionStart"}`, Decision{Allow: true, Rule: "r", Context: "c"}, 0, `"additionalContext":"c"`, "r"},
		"a failure's context":  {`{"hook_event_name":"PostToolUseFailure"}`, Decision{Allow: true, Rule: "r", Context: "c"}, 0, `"additionalContext":"c"`, "r"},
		"an unknown's context": {`{"hook_event_name":"New"}`, Decision{Allow: true, Rule: "r", Context: "c"}, 0, "", "r"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, record, socket := serve(t, deciding(func(context.Context, Call, Talk) Decision { return tt.decision }))
			exit, stdout, stderr := ask2(t, socket, tt.event)
			if exit != tt.exit || !strings.Contains(stdout, tt.stdout) || (tt.stdout == "") != (stdout == "") {
				t.Errorf("exit %d, %.200q, %.200q", exit, stdout, stderr)
			}
			if stdout != "" && !json.Valid([]byte(stdout)) {
				t.Errorf("stdout %q", stdout)
			}
			v := record.wait(t, 1)[0]
			if v.Rule != tt.rule || v.Action == "" || (v.Decision == audit.Allow) != (exit == 0) || v.By != tt.decision.By && exit == 0 {
				t.Errorf("verdict %+v", v)
			}
			if modified := strings.Contains(stdout, "updatedInput"); v.Modified != modified || (v.UpdatedHash != "") != modified {
				t.Errorf("verdict %+v", v)
			}
		})
	}
}

// Without what is to be changed on stdout the CLI would run the original.
func TestModifiedInputThatCannotBeWritten(t *testing.T) {
	_, _, socket := serve(t, deciding(func(context.Context, Call, Talk) Decision {
		return Decision{Allow: true, Input: json.RawMessage(`{"command":"true"}`)}
	}))
	var stderr strings.Builder
	if exit := ClientMain(strings.NewReader(event("t", "x")), full{}, &stderr, socket); exit != 2 || stderr.Len() == 0 {
		t.Errorf("exit %d, %q", exit, stderr.String())
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }
