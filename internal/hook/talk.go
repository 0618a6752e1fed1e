package hook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// Talk is what a decision may do besides deciding, with the caller that waits
// for it. It is good until Decide returns.
type Talk interface {
	// Resolve gives the real paths inside of at most MaxPaths paths: links
	// followed, relative ones from the event's directory, what does not exist
	// below what does. The error names those that could not be resolved; the
	// others are in the map. What it says is of now: who runs inside may change
	// a link afterwards.
	Resolve(ctx context.Context, paths []string) (map[string]string, error)
	// Hold gives the decision d more time from now on, to the second, because a
	// person is asked; all holds of a call last MaxHold at most, whatever d is. The context that Decide
	// has ends when the caller goes away.
	Hold(ctx context.Context, d time.Duration) error
}

// What ends a conversation before its decision.
var (
	errGone = errors.New("the caller has gone")
	errLate = errors.New("the policy took too long")
	errOdd  = errors.New("the caller said something that nobody asked for")
	errBusy = errors.New("too many calls wait for a person")
)

const (
	// replyTimeout is how long a caller may take to look at its files.
	replyTimeout = 5 * time.Second
	// writeTimeout is how long a caller may take to read.
	writeTimeout = 10 * time.Second
)

// conversation is a caller that waits for its decision. It is a Talk.
type conversation struct {
	conn net.Conn
	// yield leaves the place that others need when a person is asked, or says
	// why that cannot be.
	yield func() error

	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer // ends ctx
	end    time.Time   // no hold gets beyond it
	heard  sync.WaitGroup

	turn    sync.Mutex // one inquiry at a time
	frames  int
	held    bool
	mu      sync.Mutex
	waiting chan []byte // for the reply to an inquiry, nil when there is none
}

// newConversation listens to conn, whose question was read, until close. ctx
// ends after life unless it is held.
func newConversation(ctx context.Context, conn net.Conn, life time.Duration, yield func() error) *conversation {
	c := &conversation{conn: conn, yield: yield, end: time.Now().Add(MaxHold + life)}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	c.timer = time.AfterFunc(life, func() { c.cancel(errLate) })
	c.heard.Go(c.listen)
	return c
}

// close ends the conversation and its connection.
func (c *conversation) close() {
	c.timer.Stop()
	c.cancel(errGone)
	_ = c.conn.Close() // the reader ends by it
	c.heard.Wait()
}

// listen notices that the caller goes away, and takes its replies.
func (c *conversation) listen() {
	for {
		data, err := readFrame(c.conn, maxReply)
		if err != nil {
			c.cancel(errGone)
			return
		}
		c.mu.Lock()
		to := c.waiting
		c.waiting = nil
		c.mu.Unlock()
		if to == nil {
			c.cancel(errOdd)
			return
		}
		to <- data // it has room for the one reply
	}
}

// inquire sends v; one at a time, and not without end.
func (c *conversation) inquire(v inquiry) error {
	if c.frames++; c.frames >= maxFrames {
		return fmt.Errorf("over %d questions to one caller", maxFrames-1)
	}
	if err := context.Cause(c.ctx); err != nil {
		return err
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	v.Version = Version
	return writeJSON(c.conn, v, maxFrame)
}

// Resolve implements Talk.
func (c *conversation) Resolve(ctx context.Context, paths []string) (map[string]string, error) {
	if len(paths) == 0 {
		return map[string]string{}, nil
	}
	paths = slices.Compact(slices.Sorted(slices.Values(paths)))
	if err := checkPaths(paths); err != nil {
		return nil, err
	}
	c.turn.Lock()
	defer c.turn.Unlock()
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	answered := make(chan []byte, 1)
	c.mu.Lock()
	c.waiting = answered
	c.mu.Unlock()
	if err := c.inquire(inquiry{Resolve: paths}); err != nil {
		return nil, fmt.Errorf("resolve paths: %w", err)
	}
	select {
	case data := <-answered:
		resolved, err := decodeReply(data, paths)
		if resolved == nil {
			c.cancel(errOdd)
		}
		return resolved, err
	case <-c.ctx.Done():
		return nil, fmt.Errorf("resolve paths: %w", context.Cause(c.ctx))
	case <-ctx.Done():
		// Whatever comes now would be taken for the reply to the next.
		c.cancel(errOdd)
		return nil, fmt.Errorf("resolve paths: %w", ctx.Err())
	}
}

// Hold implements Talk.
func (c *conversation) Hold(ctx context.Context, d time.Duration) error {
	c.turn.Lock()
	defer c.turn.Unlock()
	d = min(d, time.Until(c.end)-decideTimeout).Round(time.Second)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case d <= 0:
		return fmt.Errorf("hold a call: nothing is left of %v", MaxHold)
	}
	if !c.held {
		if err := c.yield(); err != nil {
			return err
		}
		c.held = true
	}
	if err := c.inquire(inquiry{Hold: int(d / time.Second)}); err != nil {
		return fmt.Errorf("hold a call: %w", err)
	}
	// When the timer has just ended ctx this does nothing: that is for good.
	c.timer.Reset(d + decideTimeout)
	return nil
}
