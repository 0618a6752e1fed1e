package pidone

import (
	"bytes"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"agentprocess/internal/sandbox"
)

// ending is a PID 1 that ends when it is told to.
type ending struct {
	once sync.Once
	gone chan struct{}
}

func (e *ending) End()                   { e.once.Do(func() { close(e.gone) }) }
func (e *ending) Ended() <-chan struct{} { return e.gone }
func (e *ending) Err() error             { return nil }

// FuzzLink has a PID 1 that somebody took over say anything, a frame a line,
// with a descriptor where the frame begins with '+': the supervisor neither
// hangs nor crashes, keeps no descriptor, and every program has ended once.
func FuzzLink(f *testing.F) {
	f.Add([]byte(`{"op":"started","id":1}` + "\n" + `{"op":"exited","id":1,"code":3}`))
	f.Add([]byte(`+{"op":"started","id":1}` + "\n" + `+{"op":"started","id":1}` + "\n" + `{"op":"started","id":1,"error":"no","errno":2}`))
	f.Add([]byte(`{"op":"exited","id":2}` + "\n" + `{"op":"exited","id":2}` + "\n" + `{"op":"oom"}`))
	f.Add([]byte(`+{"op":"ready"}` + "\n" + `{"op":"ready","report":{"sockets":["proxy"]}}`))
	f.Add([]byte(`{"op":` + "\n" + `[]`))
	f.Fuzz(func(t *testing.T, said []byte) {
		before := descriptors(t)
		ours, theirs, err := NewWires()
		if err != nil {
			t.Fatal(err)
		}
		x := NewLink(LinkConfig{
			ID: "fuzz", Logger: slog.New(slog.DiscardHandler), Wire: ours, Init: &ending{gone: make(chan struct{})}, OOMKills: func() int { return 0 },
		})
		programs := []*process{newProgram(x), newProgram(x)}
		say(t, theirs, said)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			x.Close()
		}()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatalf("%q: the supervisor hangs", said)
		}
		for _, p := range programs {
			select {
			case r := <-p.reply:
				CloseAll(r.fds...)
			default:
			}
			if r := running(p); r {
				t.Errorf("%q: program %d never ended", said, p.id)
			}
		}
		if after := descriptors(t); after != before {
			t.Errorf("%q: %d descriptors were open, %d are", said, before, after)
		}
	})
}

func newProgram(x *Link) *process {
	p := &process{link: x, reply: make(chan started, 1), done: make(chan struct{})}
	x.register(p)
	return p
}

// running reports whether the link still waits for a program. One whose start
// was refused never ran.
func running(p *process) bool {
	select {
	case <-p.done:
		return false
	default:
		p.link.mu.Lock()
		defer p.link.mu.Unlock()
		return p.link.running[p.id] != nil
	}
}

// say sends frames from the other end, which it closes.
func say(t *testing.T, theirs *os.File, said []byte) {
	t.Helper()
	for frame := range bytes.SplitSeq(said, []byte("\n")) {
		var oob []byte
		if rest, ok := bytes.CutPrefix(frame, []byte("+")); ok {
			frame, oob = rest, unix.UnixRights(int(theirs.Fd()))
		}
		if len(frame) == 0 || len(frame) > frameSize {
			continue
		}
		err := unix.Sendmsg(int(theirs.Fd()), frame, oob, nil, unix.MSG_NOSIGNAL)
		if err != nil && !HungUp(err) {
			t.Fatal(err)
		}
	}
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
}

// descriptors counts what is open.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A second word of a program's start is no more than odd.
func TestStartedTwice(t *testing.T) {
	x := &Link{LinkConfig: LinkConfig{OOMKills: func() int { return 0 }}, running: map[int]*process{}}
	p := newProgram(x)
	for range 3 {
		x.handle(Message{Op: opStarted, ID: p.id}, nil)
	}
	x.handle(Message{Op: opExited, ID: p.id, Code: 4}, nil)
	if <-p.done; p.exit != (sandbox.Exit{Code: 4}) {
		t.Errorf("exit %+v", p.exit)
	}
}
