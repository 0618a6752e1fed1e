package proxy

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

const (
	// defaultConnections is how many connections a gateway serves at once.
	defaultConnections = 8192
	// perConnection is how many descriptors one takes: the client's and the
	// host's.
	perConnection = 2
	// maxPipes is how many directions of tunnels splice at the same time.
	maxPipes = 32
	// reserve is how many descriptors are left to everything else in the
	// process at least: the hook endpoint, the record, the pipes.
	reserve = 4 * maxPipes
	// maxIdle is how many connections to hosts are kept for the next request.
	maxIdle = 128
	// maxRefusals is how many connections too many are told so at once; more
	// are just closed.
	maxRefusals = 16
	// wait is how long a connection too many waits for another to end, unless
	// the one before it waited in vain.
	wait = time.Second
)

// Budget bounds the connections of all gateways that share it, as those of one
// process should: descriptors are the process's.
type Budget struct{ free chan struct{} }

// NewBudget makes a budget of so many connections; 0 is as many as the limit
// of open files (RLIMIT_NOFILE) leaves room for.
func NewBudget(connections int) *Budget {
	if connections <= 0 {
		connections = affordable()
	}
	return &Budget{free: make(chan struct{}, connections)}
}

// affordable is how many connections the limit of open files allows.
func affordable() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return defaultConnections
	}
	const unlimited = 1 << 20
	files := int(min(limit.Cur, unlimited))
	return max(1, (files-max(reserve, files/8))/perConnection)
}

// gate lets in as many connections as there is room for, here and in the
// budget.
type gate struct {
	own    chan struct{}
	budget *Budget
	what   string // for the reason of a refusal
	// full is set when the last one to come found no room.
	full bool
}

// enter waits for room, but not when the one before waited in vain: nobody
// waits longer than that.
func (g *gate) enter(ctx context.Context) *denied {
	if d := g.try(nil); d == nil {
		g.full = false
		return nil
	} else if g.full {
		return d
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	d := g.try(ctx.Done())
	g.full = d != nil
	return d
}

// try takes a slot here and in the budget, waiting for expired if it is set.
func (g *gate) try(expired <-chan struct{}) *denied {
	if !take(g.own, expired) {
		return g.refusal("this sandbox", cap(g.own))
	}
	if g.budget != nil && !take(g.budget.free, expired) {
		<-g.own
		return g.refusal("all sandboxes of this process", cap(g.budget.free))
	}
	return nil
}

func (g *gate) refusal(whose string, most int) *denied {
	return &denied{
		reason: "too many " + g.what + " at once: " + strconv.Itoa(most) + " of " + whose + " are open, which is the limit; close some",
		status: http.StatusServiceUnavailable,
	}
}

func (g *gate) leave() {
	if g.budget != nil {
		<-g.budget.free
	}
	<-g.own
}

// take takes a slot: at once, or before expired.
func take(slots chan struct{}, expired <-chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	default:
	}
	if expired == nil {
		return false
	}
	select {
	case slots <- struct{}{}:
		return true
	case <-expired:
		return false
	}
}

// turnAway ends a connection for which there is no room. One to the proxy is
// told why, as long as there are not too many to tell.
func (s *Server) turnAway(conn net.Conn, path string, d *denied) {
	f := s.begin(path)
	f.deny(d)
	if path != "http" {
		f.end()
		reset(conn)
		return
	}
	select {
	case s.refusals <- struct{}{}:
	default:
		f.end()
		reset(conn)
		return
	}
	s.work.Go(func() {
		defer func() { <-s.refusals }()
		if conn.SetDeadline(time.Now().Add(wait)) == nil {
			w := s.newH1(conn, nil).closing(f)
			w.refuse(d)
			discard(w.finish())
		}
		f.end()
		lingerClose(conn)
	})
}
