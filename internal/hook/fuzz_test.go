package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"agentprocess/internal/audit"
)

// quiet is a caller that is not there any more, for what needs one.
func quiet(t *testing.T) caller {
	t.Helper()
	ours, theirs := net.Pipe()
	c := newConversation(t.Context(), ours, time.Minute, func() error { return nil })
	t.Cleanup(func() {
		_ = theirs.Close()
		c.close()
	})
	return caller{talk: c, rest: func() {}}
}

func FuzzServer(f *testing.F) {
	f.Add([]byte(`{"v":2,"event":` + event("t", "x") + `}`))
	f.Add([]byte(`{"v":1}`))
	f.Add([]byte(`{"v":2,"event":{"hook_event_name":"PreToolUse","tool_name":"B","tool_use_id":"i","tool_input":{"a":1e400,"b":-0,"path":"../x"}}}`))
	f.Add([]byte(`{"v":2,"event":{"hook_event_name":"Stop","stop_hook_active":true}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, d := range []Decision{{Allow: true}, {Allow: true, Input: json.RawMessage(`{"a":1}`), Context: "c"}, {Reason: "no"}} {
			s := &Server{Recorder: audit.NewRecorder("run", time.Now), Receipts: NewReceipts("/home/agent")}
			s.Decide = func(context.Context, Call, Talk) Decision { return d }
			a := s.answer(data, quiet(t))
			encoded, err := json.Marshal(a)
			if err != nil {
				t.Fatal(err)
			}
			back, err := decodeFrame(encoded, digest(data))
			if err != nil || back.answer == nil || back.answer.Decision != a.Decision {
				t.Errorf("the answer does not survive: %+v, %v", back, err)
			}
			event, err := decodeQuestion(data)
			if (err != nil || !d.Allow) && a.Decision != deny {
				t.Errorf("%q is allowed", data)
			}
			if a.Decision == allow && (a.Input != nil || a.Context != "") {
				if out, err := output(event, a); err != nil || !json.Valid(out) {
					t.Errorf("%q: the client prints %q, %v", data, out, err)
				}
			}
		}
	})
}

// FuzzClient is what a client makes of what it is sent.
func FuzzClient(f *testing.F) {
	f.Add([]byte(event("t", "x")), []byte(`{"v":2,"id":"v","request":"x","decision":"allow"}`))
	f.Add([]byte(`{}`), []byte(`{}`))
	f.Add([]byte(`{"cwd":"/"}`), []byte(`{"v":2,"resolve":["a","/b/../c"]}`))
	f.Add([]byte(`{}`), []byte(`{"v":2,"hold":60}`))
	f.Fuzz(func(t *testing.T, stdin, reply []byte) {
		q, err := encodeQuestion(stdin)
		if err != nil {
			return
		}
		back, err := decodeQuestion(q)
		if err != nil || !bytes.Equal(back, bytes.TrimSpace(stdin)) {
			t.Errorf("question %q came back as %q, %v", stdin, back, err)
		}
		// As if the server knew our question, so that more gets through.
		reply = bytes.ReplaceAll(reply, []byte(`"request":"x"`), []byte(`"request":"`+digest(q)+`"`))
		fr, err := decodeFrame(reply, digest(q))
		if err != nil {
			return
		}
		kinds := 0
		if a := fr.answer; a != nil {
			kinds++
			if a.Request != digest(q) || a.Decision != allow && a.Decision != deny || a.Input != nil && !isObject(a.Input) {
				t.Errorf("accepted %q", reply)
			}
		}
		if fr.hold > 0 {
			kinds++
			if fr.hold > MaxHold {
				t.Errorf("accepted %q", reply)
			}
		}
		if fr.resolve != nil {
			kinds++
			r := resolveAll(fr.resolve, directory(stdin))
			var b strings.Builder
			if err := writeJSON(&b, r, maxReply); err != nil {
				t.Fatal(err)
			}
			if len(r.Resolved)+len(r.Errors) == 0 {
				t.Errorf("%q has no reply", reply)
			}
		}
		if kinds != 1 {
			t.Errorf("%q is %d things", reply, kinds)
		}
	})
}

// FuzzReply is what the server makes of a caller's word about paths.
func FuzzReply(f *testing.F) {
	f.Add([]byte(`{"v":2,"resolved":{"/a":"/b"}}`), "/a", "b")
	f.Add([]byte(`{"v":2,"resolved":{},"errors":{"a":"no"}}`), "a", "a")
	f.Fuzz(func(t *testing.T, data []byte, one, two string) {
		asked := []string{one}
		if two != one {
			asked = append(asked, two)
		}
		if checkPaths(asked) != nil {
			return
		}
		got, err := decodeReply(data, asked)
		if err == nil && len(got) != len(asked) {
			t.Errorf("%q says all of %q, %q", data, asked, got)
		}
		for p, real := range got {
			if p != one && p != two || !strings.HasPrefix(real, "/") || strings.Contains(real, "/../") {
				t.Errorf("%q: %q is at %q", data, p, real)
			}
		}
		// What our own client says is always understood.
		var b strings.Builder
		if err := writeJSON(&b, resolveAll(asked, "/tmp"), maxReply); err != nil {
			t.Fatal(err)
		}
		if got, _ := decodeReply([]byte(b.String()[4:]), asked); got == nil {
			t.Errorf("%q is not understood", b.String())
		}
	})
}
