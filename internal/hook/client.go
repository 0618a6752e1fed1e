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

	// clientTimeout bounds the whole life of the client; the timeout that the
	// CLI gives a hook must be longer, for there a timeout allows.
	clientTimeout = 30 * time.Second
)

// ClientMain is `agent-process hook`: it asks the server behind socketPath
// about the event on stdin and returns the exit status for the CLI, 0 to go on
// and 2 to stop, with the reason on stderr.
func ClientMain(stdin io.Reader, stderr io.Writer, socketPath string) int {
	return clientMain(stdin, stderr, socketPath, clientTimeout)
}

// clientMain gives up after timeout, whatever hangs: stdin, the connection or
// the server. The goroutine it may leave behind ends with the process.
func clientMain(stdin io.Reader, stderr io.Writer, socketPath string, timeout time.Duration) int {
	done := make(chan verdict, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- verdict{exitDeny, fmt.Sprintf("internal error: %v", p)}
			}
		}()
		done <- consult(stdin, socketPath, timeout)
	}()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	v := verdict{exitDeny, fmt.Sprintf("no answer within %v", timeout)}
	select {
	case v = <-done:
	case <-timer.C:
	}
	if v.reason != "" {
		// The status alone denies; a reason that cannot be written is lost.
		_, _ = fmt.Fprintln(stderr, "agent-process:", v.reason)
	}
	return v.exit
}

// verdict is how the client ends.
type verdict struct {
	exit   int
	reason string
}

func consult(stdin io.Reader, socketPath string, timeout time.Duration) verdict {
	event, err := io.ReadAll(io.LimitReader(stdin, MaxMessage-envelope+1))
	switch {
	case err != nil:
		return failure(event, fmt.Errorf("read the hook's input: %w", err))
	case len(event) > MaxMessage-envelope:
		return failure(event, fmt.Errorf("the hook's input is over %d bytes", MaxMessage-envelope))
	}
	// A little less than our own life, so that the reason can be told.
	a, err := ask(event, socketPath, timeout-timeout/10)
	switch {
	case err != nil:
		return failure(event, err)
	case a.Decision == allow:
		return verdict{exit: exitAllow}
	default:
		return verdict{exitDeny, fmt.Sprintf("denied (%s): %s", a.ID, a.Reason)}
	}
}

// failure denies, but does not hold an agent that wants to stop for ever.
func failure(event []byte, err error) verdict {
	exit := exitDeny
	if bytes.Contains(event, []byte(`"stop_hook_active"`)) {
		if c, perr := ParseCall(event); perr == nil && c.StopActive && c.Event != EventPreToolUse {
			exit = exitStop
		}
	}
	return verdict{exit, fmt.Sprintf("the policy could not be asked, so nothing is allowed: %v", err)}
}

// ask sends one question and waits for its answer.
func ask(event []byte, socketPath string, timeout time.Duration) (answer, error) {
	if len(event) == 0 {
		return answer{}, errors.New("the hook's input is empty")
	}
	q, err := encodeQuestion(event)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout) //nolint:forbidigo // the root of a process of its own
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socketPath)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return answer{}, fmt.Errorf("set deadline: %w", err)
		}
	}
	if err := writeFrame(conn, q); err != nil {
		return answer{}, fmt.Errorf("send question: %w", err)
	}
	n, err := readLength(conn, maxAnswer)
	if err != nil {
		return answer{}, err
	}
	data, err := readBody(conn, n)
	if err != nil {
		return answer{}, err
	}
	return decodeAnswer(data, digest(q))
}
