package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Verb is the command of our binary that an agent's hooks run.
const Verb = "hook"

const (
	exitAllow = 0
	exitStop  = 1 // see doc.go: the second failure on Stop
	exitDeny  = 2

	// clientTimeout bounds the life of the client while nobody holds it.
	clientTimeout = 30 * time.Second
	// ClientLife bounds the whole life of a client. The timeout that the CLI
	// gives a hook must be longer, for there a timeout allows.
	ClientLife = clientTimeout + MaxHold
)

// ClientMain is `agent-process hook`: it asks the server behind socketPath
// about the event on stdin and returns the exit status for the CLI: 0 to go on,
// with what is to be changed on stdout, and 2 to stop, with the reason on
// stderr.
func ClientMain(stdin io.Reader, stdout, stderr io.Writer, socketPath string) int {
	c := &client{stdin: stdin, stdout: stdout, stderr: stderr, socket: socketPath, timeout: clientTimeout}
	return c.main()
}

// client is one life of `agent-process hook`.
type client struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	socket         string
	timeout        time.Duration
	end            time.Time   // no hold gets beyond it
	watch          *time.Timer // gives up, whatever hangs
}

// main gives up in time, whatever hangs: stdin, the connection or the server.
// The goroutine it may leave behind ends with the process.
func (c *client) main() int {
	c.end = time.Now().Add(c.timeout + MaxHold)
	c.watch = time.NewTimer(c.timeout)
	defer c.watch.Stop()
	done := make(chan verdict, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- verdict{exit: exitDeny, reason: fmt.Sprintf("internal error: %v", p)}
			}
		}()
		done <- c.consult()
	}()
	v := verdict{exit: exitDeny, reason: "no answer in time"}
	select {
	case v = <-done:
	case <-c.watch.C:
	}
	return c.tell(v)
}

// verdict is how the client ends.
type verdict struct {
	exit   int
	reason string // for stderr
	output []byte // for stdout
}

// tell writes what the CLI reads. Without what is to be changed it would run
// the tool as it was, so that must be written or denies.
func (c *client) tell(v verdict) int {
	if len(v.output) > 0 {
		if _, err := c.stdout.Write(v.output); err != nil {
			v = verdict{exit: exitDeny, reason: fmt.Sprintf("the answer could not be given: %v", err)}
		}
	}
	if v.reason != "" {
		// The status alone denies; a reason that cannot be written is lost.
		_, _ = fmt.Fprintln(c.stderr, "agent-process:", v.reason)
	}
	return v.exit
}

func (c *client) consult() verdict {
	event, err := io.ReadAll(io.LimitReader(c.stdin, MaxMessage-envelope+1))
	switch {
	case err != nil:
		return failure(event, fmt.Errorf("read the hook's input: %w", err))
	case len(event) > MaxMessage-envelope:
		return failure(event, fmt.Errorf("the hook's input is over %d bytes", MaxMessage-envelope))
	}
	a, err := c.ask(event)
	switch {
	case err != nil:
		return failure(event, err)
	case a.Decision != allow:
		return verdict{exit: exitDeny, reason: fmt.Sprintf("denied (%s): %s", a.ID, a.Reason)}
	case a.Input == nil && a.Context == "":
		return verdict{exit: exitAllow}
	}
	out, err := output(event, a)
	if err != nil {
		return failure(event, err)
	}
	return verdict{exit: exitAllow, output: out}
}

// failure denies, but does not hold an agent that wants to stop for ever.
func failure(event []byte, err error) verdict {
	exit := exitDeny
	if bytes.Contains(event, []byte(`"stop_hook_active"`)) {
		if c, perr := ParseCall(event); perr == nil && c.StopActive && c.Event != EventPreToolUse {
			exit = exitStop
		}
	}
	return verdict{exit: exit, reason: fmt.Sprintf("the policy could not be asked, so nothing is allowed: %v", err)}
}

// ask sends one question and waits for its answer.
func (c *client) ask(event []byte) (answer, error) {
	if len(event) == 0 {
		return answer{}, errors.New("the hook's input is empty")
	}
	q, err := encodeQuestion(event)
	if err != nil {
		return answer{}, err
	}
	// A little less than our own life, so that the reason can be told.
	deadline := time.Now().Add(c.timeout - c.timeout/10)
	ctx, cancel := context.WithDeadline(context.Background(), deadline) //nolint:forbidigo // the root of a process of its own
	defer cancel()
	conn, err := dial(ctx, c.socket, deadline)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(deadline); err != nil {
		return answer{}, fmt.Errorf("set deadline: %w", err)
	}
	if err := writeFrame(conn, q); err != nil {
		return answer{}, fmt.Errorf("send question: %w", err)
	}
	return c.converse(conn, event, digest(q))
}

// converse answers what the server wants to know until it gives its answer.
func (c *client) converse(conn net.Conn, event []byte, request string) (answer, error) {
	for range maxFrames {
		data, err := readFrame(conn, maxFrame)
		if err != nil {
			return answer{}, err
		}
		f, err := decodeFrame(data, request)
		switch {
		case err != nil:
			return answer{}, err
		case f.answer != nil:
			return *f.answer, nil
		case f.hold > 0:
			err = c.hold(conn, f.hold)
		default:
			err = writeJSON(conn, resolveAll(f.resolve, directory(event)), maxReply)
		}
		if err != nil {
			return answer{}, err
		}
	}
	return answer{}, fmt.Errorf("no answer in %d messages", maxFrames)
}

// directory is where the event happens; relative paths start there.
func directory(event []byte) string {
	c, err := ParseCall(event)
	if err != nil {
		return "" // the server knows, and does not allow it
	}
	return c.Dir
}

// hold makes us wait d longer than usual from now on, but never beyond our
// end.
func (c *client) hold(conn net.Conn, d time.Duration) error {
	left := min(d+c.timeout, time.Until(c.end))
	if left <= 0 {
		return errors.New("held for too long")
	}
	c.watch.Reset(left)
	return conn.SetDeadline(time.Now().Add(left - c.timeout/10))
}
