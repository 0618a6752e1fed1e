package hook

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"agentprocess/internal/audit"
)

const (
	// maxCallers is how many calls are served at once; more wait.
	maxCallers = 128
	// maxInFlight bounds the bytes of all questions being served.
	maxInFlight = 4 * MaxMessage
	// readTimeout is how long a caller may take to ask.
	readTimeout = 10 * time.Second
	// decideTimeout is how long a decision may take; well under the client's.
	decideTimeout = 20 * time.Second
	// acceptRetry is the pause after a failed accept.
	acceptRetry = 50 * time.Millisecond
)

// Recorder takes the verdicts. *audit.Recorder is one.
type Recorder interface {
	Record(audit.Payload)
	Err() error
}

// Server answers hooks. All fields are set before Serve.
type Server struct {
	Recorder Recorder
	// Receipts is told of every verdict on a tool call; it may be nil.
	Receipts *Receipts
	// Decide judges a call; nil allows. It must respect ctx.
	Decide func(ctx context.Context, c Call) Decision
	// OnStop is called when a turn has ended, one call at a time, before the
	// answer goes out, unless it takes too long: then it goes on by itself.
	OnStop func(ctx context.Context, c Call)
	// OnViolation is told of what must end the run: a receipt that does not fit.
	OnViolation func(error)
	// Nonce is the run's own canary; see Canary.
	Nonce string
	// Now is time.Now when nil.
	Now func() time.Time

	background sync.WaitGroup // OnStop calls
	stops      stops
	canary     canaryState
}

// Serve answers callers on ln until ctx ends, closes ln and waits for what it
// started. The error is nil when ctx ended it.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	stop := context.AfterFunc(ctx, func() {
		_ = ln.Close() // Accept says so
	})
	defer stop()
	defer s.background.Wait()
	var callers sync.WaitGroup
	defer callers.Wait()
	slots := make(chan struct{}, maxCallers)
	bytes := semaphore.NewWeighted(maxInFlight)
	for {
		conn, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close() // nobody is left to answer
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept hook: %w", err)
		case err != nil:
			wait(ctx, acceptRetry) // out of descriptors, or the caller went away
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			_ = conn.Close() // the client denies
			return nil
		}
		callers.Go(func() {
			defer func() { <-slots }()
			s.serve(ctx, conn, bytes)
		})
	}
}

// wait returns after d or with ctx.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// serve answers one caller. Without an answer the client denies, so whatever
// goes wrong here may simply end the connection.
func (s *Server) serve(ctx context.Context, conn net.Conn, bytes *semaphore.Weighted) {
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, readTimeout+decideTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // a closed connection is fine, too
	})
	defer stop()
	if conn.SetReadDeadline(s.now().Add(readTimeout)) != nil {
		return
	}
	n, err := readLength(conn, MaxMessage)
	if err != nil || bytes.Acquire(ctx, int64(n)) != nil {
		return
	}
	defer bytes.Release(int64(n))
	data, err := readBody(conn, n)
	if err != nil {
		return
	}
	a := s.answer(ctx, data, peer(conn))
	out, err := json.Marshal(a)
	if err != nil || conn.SetWriteDeadline(s.now().Add(readTimeout)) != nil {
		return
	}
	_ = writeFrame(conn, out) // a caller that has gone denies
}

func (s *Server) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// answer judges one question, records the verdict and gives it.
func (s *Server) answer(ctx context.Context, data []byte, from Peer) answer {
	start := s.now()
	var c Call
	event, err := decodeQuestion(data)
	if err == nil {
		c, err = ParseCall(event)
	}
	c.Peer = from
	d := Decision{Rule: "unreadable", Reason: "the hook's question could not be read"}
	if err == nil {
		d = s.decide(ctx, c)
	} else {
		c = Call{Event: c.Event, Tool: c.Tool, ToolUseID: c.ToolUseID, Peer: from} // for the record alone
	}
	if !d.Allow && d.Reason == "" {
		d.Reason = "not allowed"
	}
	if len(d.Reason) > maxReason {
		d.Reason = d.Reason[:maxReason]
	}
	id, d := s.receipt(c, d, start)
	if c.Event == EventStop && d.Allow && s.OnStop != nil {
		s.stop(ctx, c)
	}
	a := answer{Version: Version, ID: id, Request: digest(data), Decision: deny, Reason: d.Reason}
	if d.Allow {
		a.Decision, a.Reason = allow, ""
	}
	return a
}

// decide asks Decide, which may neither panic nor hang its way to an allow.
func (s *Server) decide(ctx context.Context, c Call) Decision {
	if d, ok := s.judgeCanary(c); ok {
		return d
	}
	if s.Decide == nil {
		return Decision{Allow: true, Rule: "default"}
	}
	ctx, cancel := context.WithTimeout(ctx, decideTimeout)
	defer cancel()
	done := make(chan Decision, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- Decision{Rule: "failure", Reason: "the policy broke down, so nothing is allowed"}
			}
		}()
		done <- s.Decide(ctx, c)
	}()
	select {
	case d := <-done:
		return d
	case <-ctx.Done():
		return Decision{Rule: "timeout", Reason: "the policy took too long, so nothing is allowed"}
	}
}

// receipt records the verdict. When that is not possible, or the call does not
// fit what is known of it, the verdict is a denial whatever was decided.
func (s *Server) receipt(c Call, d Decision, start time.Time) (string, Decision) {
	id := "v-" + rand.Text()[:16]
	if c.Event == eventDisplay && d.Allow {
		return id, d
	}
	v := audit.Verdict{
		ID: id, Event: c.Event, ToolUseID: c.ToolUseID, Tool: c.Tool, Decision: allow, Rule: d.Rule, Reason: d.Reason,
		PID: c.Peer.PID, UID: c.Peer.UID,
	}
	if len(c.Input) > 0 {
		hash, err := Hash(c.Input)
		if err != nil {
			d = Decision{Rule: "unreadable", Reason: "the tool's input could not be read"}
		}
		v.InputHash = hash
	}
	if c.Event == EventPreToolUse && len(c.Input) > 0 && s.Receipts != nil {
		if err := s.Receipts.add(c, d.Allow); err != nil {
			d = Decision{Rule: "receipt", Reason: err.Error()}
			if s.OnViolation != nil {
				s.OnViolation(err)
			}
		}
	}
	if !d.Allow {
		v.Decision, v.Rule, v.Reason = deny, d.Rule, d.Reason
	}
	v.Duration = s.now().Sub(start)
	s.Recorder.Record(v)
	if err := s.Recorder.Err(); err != nil {
		d = Decision{Rule: "record", Reason: "the verdict could not be recorded, so nothing is allowed"}
	}
	return id, d
}

// stop runs OnStop and returns when it has ended or ctx has. One runs at a
// time; those that come meanwhile share the one after it.
func (s *Server) stop(ctx context.Context, c Call) {
	select {
	case <-s.stops.join(ctx, &s.background, func(ctx context.Context) { s.OnStop(ctx, c) }):
	case <-ctx.Done():
	}
}

// stops is the queue of OnStop: one that runs, one that waits.
type stops struct {
	running sync.Mutex
	mu      sync.Mutex
	waiting chan struct{} // closed when the one that waits has ended
}

// join gives what is closed when a run of f that starts after this moment has
// ended.
func (q *stops) join(ctx context.Context, owner *sync.WaitGroup, f func(context.Context)) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting != nil {
		return q.waiting
	}
	done := make(chan struct{})
	q.waiting = done
	detached := context.WithoutCancel(ctx)
	owner.Go(func() {
		defer close(done)
		q.running.Lock()
		defer q.running.Unlock()
		q.mu.Lock()
		q.waiting = nil
		q.mu.Unlock()
		f(detached)
	})
	return done
}
