package hook

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"agentprocess/internal/audit"
)

const (
	// readTimeout is how long a caller may take to ask.
	readTimeout = 10 * time.Second
	// decideTimeout is how long a decision may take, besides holds; well under
	// the client's.
	decideTimeout = 20 * time.Second
	// acceptRetry is the pause after a failed accept.
	acceptRetry = 50 * time.Millisecond
	// maxHanging is how many decisions may not have come back although nobody
	// waits for them any more.
	maxHanging = 1024
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
	// Decide judges a call; nil allows. It must respect ctx, which ends when the
	// caller goes away or time is up. t is good until it returns.
	Decide func(ctx context.Context, c Call, t Talk) Decision
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
	hanging    atomic.Int64 // decisions that have not come back
	flooded    sync.Once
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
	g := newGate()
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
		c := g.admit(conn, peer(conn))
		if c == nil {
			_ = conn.Close() // its client denies
			s.flooded.Do(func() {
				s.Recorder.Record(audit.Notice{Level: audit.Warn, Text: "more callers at the hooks' endpoint than it serves: the rest is denied"})
			})
			continue
		}
		callers.Go(func() { s.serve(ctx, c) })
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
func (s *Server) serve(ctx context.Context, c *guest) {
	defer c.leave()
	defer c.conn.Close()
	c.peer.Parent = parent(c.peer.PID)
	data, ok := s.question(ctx, c)
	if !ok {
		return
	}
	talk := newConversation(ctx, c.conn, decideTimeout, func() error { return c.hold(len(data)) })
	defer talk.close()
	if c.take(talk.ctx) != nil {
		return
	}
	a := s.answer(data, caller{peer: c.peer, talk: talk, rest: c.rest})
	if c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) == nil {
		_ = writeJSON(c.conn, a, maxFrame) // a caller that has gone denies
	}
}

// question reads what c asks.
func (s *Server) question(ctx context.Context, c *guest) ([]byte, bool) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		_ = c.conn.SetDeadline(time.Unix(1, 0)) // a closed connection is fine, too
	})
	data, err := c.question(ctx)
	return data, stop() && err == nil
}

// caller is who asks one question, and how to talk to it.
type caller struct {
	peer Peer
	talk *conversation
	rest func() // gives up its place among those that are decided
}

func (s *Server) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// answer judges one question, records the verdict and gives it.
func (s *Server) answer(data []byte, from caller) answer {
	start := s.now()
	var c Call
	event, err := decodeQuestion(data)
	if err == nil {
		c, err = ParseCall(event)
	}
	d := Decision{Rule: "unreadable", Reason: "the hook's question could not be read"}
	if err == nil {
		c.Peer = from.peer
		d = s.decide(c, from.talk)
	} else {
		c = Call{Event: c.Event, Tool: c.Tool, ToolUseID: c.ToolUseID, Peer: from.peer} // for the record alone
	}
	id, d := s.receipt(c, d.check(c), start)
	from.rest()
	if c.Event == EventStop && d.Allow && s.OnStop != nil {
		s.stop(from.talk.ctx, c)
	}
	a := answer{Version: Version, ID: id, Request: digest(data), Decision: deny, Reason: d.Reason}
	if d.Allow {
		a.Decision, a.Reason, a.Input, a.Context = allow, "", d.Input, d.Context
	}
	return a
}

// decide asks Decide, which may neither panic nor hang its way to an allow.
func (s *Server) decide(c Call, talk *conversation) Decision {
	if d, ok := s.judgeCanary(c); ok {
		return d
	}
	if s.Decide == nil {
		return Decision{Allow: true, Rule: "default"}
	}
	if s.hanging.Add(1) > maxHanging {
		s.hanging.Add(-1)
		return failed("the policy does not come back from earlier calls")
	}
	done := make(chan Decision, 1)
	go func() {
		defer s.hanging.Add(-1)
		defer func() {
			if p := recover(); p != nil {
				done <- failed("the policy broke down")
			}
		}()
		done <- s.Decide(talk.ctx, c, talk)
	}()
	select {
	case d := <-done:
		if talk.ctx.Err() == nil {
			return d
		}
	case <-talk.ctx.Done():
	}
	err := context.Cause(talk.ctx)
	rule := "ended"
	switch {
	case errors.Is(err, errLate):
		rule = "timeout"
	case errors.Is(err, errGone), errors.Is(err, errOdd):
		rule = "caller"
	}
	return Decision{Rule: rule, Reason: err.Error() + ", so nothing is allowed"}
}

// receipt records the verdict. When that is not possible, or the call does not
// fit what is known of it, the verdict is a denial whatever was decided.
func (s *Server) receipt(c Call, d Decision, start time.Time) (string, Decision) {
	id := "v-" + rand.Text()[:16]
	if c.Event == eventDisplay && d.Allow {
		return id, d
	}
	hash, err := hashOf(c.Input)
	updated, err2 := hashOf(d.Input)
	if err = errors.Join(err, err2); err != nil {
		d = Decision{Rule: "unreadable", Reason: "the tool's input could not be read"}.check(c)
		updated = ""
	}
	if err := s.note(c, d); err != nil {
		d, updated = Decision{Rule: "receipt", Reason: err.Error()}.check(c), ""
		if s.OnViolation != nil {
			s.OnViolation(err)
		}
	}
	v := audit.Verdict{
		ID: id, Event: c.Event, ToolUseID: c.ToolUseID, Tool: c.Tool, InputHash: hash, Decision: deny, Rule: d.Rule,
		Reason: d.Reason, Action: d.Action, Source: d.Source, By: d.By, Modified: updated != "", UpdatedHash: updated,
		Context: cut(d.Context, maxReason), PID: c.Peer.PID, UID: c.Peer.UID,
	}
	if d.Allow {
		v.Decision = allow
	}
	v.Duration = s.now().Sub(start)
	s.Recorder.Record(v)
	if err := s.Recorder.Err(); err != nil {
		d = Decision{Rule: "record", Reason: "the verdict could not be recorded, so nothing is allowed"}.check(c)
		if s.Receipts != nil && c.Event == EventPreToolUse {
			s.Receipts.deny(c.ToolUseID)
		}
	}
	return id, d
}

// note tells the receipts of a tool call's verdict, and of the input it ran
// with.
func (s *Server) note(c Call, d Decision) error {
	switch {
	case s.Receipts == nil || !isObject(c.Input):
		return nil
	case c.Event == EventPreToolUse:
		return s.Receipts.add(c, d)
	case c.Event == EventPostToolUse, c.Event == EventPostToolUseFailure:
		return s.Receipts.ran(c)
	}
	return nil
}

func hashOf(input json.RawMessage) (string, error) {
	if len(input) == 0 {
		return "", nil
	}
	return Hash(input)
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
