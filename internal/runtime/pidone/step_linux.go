package pidone

import (
	"errors"

	"golang.org/x/sys/unix"
)

// StepError says which step of the set-up failed.
type StepError struct {
	step string
	err  error
}

// Error implements error.
func (e *StepError) Error() string { return e.step + ": " + e.err.Error() }

// Unwrap gives the cause.
func (e *StepError) Unwrap() error { return e.err }

// Step names the step an error belongs to; nil stays nil.
func Step(name string, err error) error {
	if err == nil {
		return nil
	}
	return &StepError{name, err}
}

// Failure is the message of a PID 1 that could not be set up.
func Failure(err error) Message {
	m := Message{Op: OpFailed, Error: err.Error()}
	if s, ok := errors.AsType[*StepError](err); ok {
		m.Step = s.step
	}
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		m.Errno = int(errno)
	}
	return m
}

// Expect waits for an order and reads its payload; it gives the descriptors
// that came along.
func (w *Wire) Expect(op string, v any) ([]int, error) {
	m, fds, err := w.Recv()
	if err != nil {
		return nil, err
	}
	if m.Op != op || len(fds) == 0 {
		CloseAll(fds...)
		return nil, errors.New("wanted " + op + ", got " + m.Op)
	}
	return fds[1:], ReadPayload(fds[0], v)
}

// HungUp reports whether a send failed because PID 1 ended; what it said
// before is still there to read.
func HungUp(err error) bool { return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) }
