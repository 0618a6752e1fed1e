package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/policy"
	"agentprocess/internal/sandbox"
)

// Server is the gateway of one sandbox. Make it with New, serve once.
type Server struct {
	cfg       Config
	policy    atomic.Pointer[policy.Set]
	uses      uses
	ids       atomic.Int64
	names     *names
	opened    atomic.Pointer[map[string][]Credential] // by host
	authority *authority                              // nil when nothing is opened
	transport versions
	reverse   *httputil.ReverseProxy
	slots     chan struct{} // one per connection
	glances   glances
	pipes     *pipes
	refusals  chan struct{} // one per connection that is told there is no room
	work      sync.WaitGroup
	workers   workers
	// redirectV6 and serving are set by Serve before anything is answered.
	redirectV6 bool
	serving    context.Context // bounds what the transport dials on its own

	mu   sync.Mutex
	live map[*lease]struct{}
}

// New makes a server; it does nothing until Serve.
func New(cfg Config) (*Server, error) {
	if cfg.Budget == nil {
		cfg.Budget = NewBudget(0)
	}
	cfg.Limits = cfg.Limits.withDefaults(cap(cfg.Budget.free))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Resolver == nil {
		cfg.Resolver = &net.Resolver{PreferGo: true}
	}
	if cfg.Dialer == nil {
		cfg.Dialer = hostDialer{}
	}
	s := &Server{
		cfg:      cfg,
		names:    newNames(),
		slots:    make(chan struct{}, cfg.Limits.Connections),
		pipes:    newPipes(maxPipes),
		refusals: make(chan struct{}, maxRefusals),
		live:     map[*lease]struct{}{},
		workers:  workers{jobs: make(chan func())},
	}
	s.policy.Store(cfg.Policy)
	if err := s.openHosts(); err != nil {
		return nil, err
	}
	s.transport = versions{h1: s.newTransport(false), h2: s.newTransport(true), plain: s.newForwarding()}
	s.reverse = s.newReverse()
	return s, nil
}

// openHosts checks the credentials and makes the authority for their hosts
// and those whose rules judge requests.
func (s *Server) openHosts() error {
	var open []policy.Rule
	opened := map[string][]Credential{}
	s.opened.Store(&opened)
	for _, c := range s.cfg.Credentials {
		c, err := c.validate()
		if err != nil {
			return err
		}
		if opened[c.Host] == nil {
			open = append(open, policy.Rule{Name: c.Host})
		}
		opened[c.Host] = append(opened[c.Host], c)
	}
	for _, r := range s.cfg.Policy.Opened() {
		if r.Wildcard || opened[r.Name] == nil {
			open = append(open, r)
		}
	}
	if len(open) == 0 {
		return nil
	}
	slices.SortFunc(open, func(a, b policy.Rule) int { return strings.Compare(a.Pattern(), b.Pattern()) })
	var err error
	s.authority, err = newAuthority(open, s.cfg.Now())
	return err
}

// versions speaks to a host the version of HTTP that the client speaks to us:
// what works directly works through us, and nothing is translated.
type versions struct {
	h1, h2 *http.Transport
	plain  forwarding
}

// RoundTrip implements http.RoundTripper.
func (v versions) RoundTrip(req *http.Request) (*http.Response, error) {
	if v.plain.takes(req) {
		return v.plain.RoundTrip(req)
	}
	if req.ProtoMajor == 2 {
		return v.h2.RoundTrip(req)
	}
	return v.h1.RoundTrip(req)
}

func (v versions) closeIdle() {
	v.h1.CloseIdleConnections()
	v.h2.CloseIdleConnections()
	v.plain.CloseIdleConnections()
}

// newTransport is the way to hosts, in HTTP/2 where they offer it if h2 is set.
func (s *Server) newTransport(h2 bool) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			host, port, err := policy.SplitAuthority(address, 0)
			if err != nil {
				return nil, err
			}
			// The transport dials under no request's context: another may use
			// the connection.
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(s.serving, cancel)()
			return s.dial(ctx, host, port)
		},
		TLSClientConfig:        &tls.Config{RootCAs: s.cfg.UpstreamRoots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    s.cfg.Limits.Header,
		ForceAttemptHTTP2:      h2,
		DisableCompression:     true,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		ExpectContinueTimeout:  time.Second,
		ResponseHeaderTimeout:  s.cfg.Limits.Tunnel,
		MaxResponseHeaderBytes: 1 << 20,
		WriteBufferSize:        16 << 10,
		ReadBufferSize:         16 << 10,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 30 * time.Second},
	}
}

// CAPEM is the certificate that a sandbox must trust, nil when no host's TLS
// is opened. It is there before Serve.
func (s *Server) CAPEM() []byte {
	if s.authority == nil {
		return nil
	}
	return slices.Clone(s.authority.pem)
}

// SetPolicy changes what may be reached, for everything new at once; what is
// under way and no longer allowed is cut; it says how much that was.
func (s *Server) SetPolicy(set *policy.Set) int {
	s.policy.Store(set)
	s.mu.Lock()
	defer s.mu.Unlock()
	cut := 0
	for l := range s.live {
		if !l.allowed(set) {
			l.cancel(errNarrowed)
			cut++
		}
	}
	return cut
}

// Opens reports whether the TLS of every name of a rule can be opened, which is
// settled when the server is made.
func (s *Server) Opens(r policy.Rule) bool {
	return s.authority != nil && slices.ContainsFunc(s.authority.open, func(o policy.Rule) bool {
		return o.Pattern() == r.Pattern() || o.Names(r.Name) && (o.Wildcard || !r.Wildcard)
	})
}

var (
	errNarrowed = errors.New("cut: the policy no longer allows it")
	errSockets  = errors.New("sockets to redirect without a way to tell where they were going")
)

// Serve serves all sockets of a sandbox until ctx ends, closes them, and
// returns when every connection has ended.
func (s *Server) Serve(ctx context.Context, sockets sandbox.Sockets) error {
	if len(sockets.Redirect) > 0 && sockets.OriginalDst == nil {
		return errSockets
	}
	s.redirectV6 = slices.ContainsFunc(sockets.Redirect, onV6)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.serving = ctx
	failed := make(chan error, 1)
	accept := func(l net.Listener, d door) {
		s.listen(ctx, l, failed, func() { s.accept(ctx, l, d, failed) })
	}
	connections := gate{own: s.slots, budget: s.cfg.Budget, what: "connections"}
	if sockets.Proxy != nil {
		deferAccept(sockets.Proxy)
		accept(sockets.Proxy, door{"http", connections, s.serveProxy})
	}
	for _, l := range sockets.Redirect {
		accept(l, door{"redirect", connections, func(ctx context.Context, c net.Conn) { s.serveRedirect(ctx, c, sockets.OriginalDst) }})
	}
	lookups := gate{own: make(chan struct{}, maxTCPDNS), what: "DNS connections"}
	for _, l := range sockets.DNSTCP {
		accept(l, door{"dns", lookups, s.serveTCPDNS})
	}
	for _, c := range sockets.DNS {
		s.listen(ctx, c, failed, func() { s.serveUDP(ctx, c) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		cancel()
	}
	s.work.Wait()
	s.transport.closeIdle()
	s.pipes.close()
	return err
}

// listen runs fn, which ends when socket is closed, which ctx does.
func (s *Server) listen(ctx context.Context, socket interface{ Close() error }, failed chan<- error, fn func()) {
	stop := context.AfterFunc(ctx, func() {
		if err := socket.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			fail(failed, fmt.Errorf("close a gateway socket: %w", err))
		}
	})
	s.work.Go(func() {
		defer stop()
		fn()
	})
}

func fail(failed chan<- error, err error) {
	select {
	case failed <- err:
	default: // the first one ends it
	}
}

// door is what one listener leads to.
type door struct {
	path  string // of records
	gate  gate
	serve func(context.Context, net.Conn)
}

// accept takes connections, as many at once as there is room for.
func (s *Server) accept(ctx context.Context, l net.Listener, d door, failed chan<- error) {
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return
		case errors.Is(err, net.ErrClosed):
			fail(failed, fmt.Errorf("accept for the gateway: %w", err))
			return
		case s.pause(ctx):
			continue
		default:
			return
		}
		if full := d.gate.enter(ctx); full != nil {
			s.turnAway(conn, d.path, full)
			continue
		}
		s.workers.run(ctx, &s.work, func() {
			defer d.gate.leave()
			stop := context.AfterFunc(ctx, func() { discard(conn.Close()) })
			defer stop()
			defer func() { discard(conn.Close()) }()
			d.serve(ctx, conn)
		})
	}
}

// pause waits a little after an error that may pass, such as no descriptors
// being left; it reports whether to go on.
func (s *Server) pause(ctx context.Context) bool {
	t := time.NewTimer(20 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// ending reports whether Serve was told to end. Connections may be closed then
// before their own contexts have ended.
func (s *Server) ending() bool { return s != nil && s.serving != nil && s.serving.Err() != nil }

// discard is for the error of closing a connection there is no more use for.
func discard(error) {}

func (s *Server) now() time.Time { return s.cfg.Now() }

// nextID gives the short id that agent and person see.
func (s *Server) nextID() string { return "net-" + strconv.FormatInt(s.ids.Add(1), 10) }

func (s *Server) record(r audit.Request) {
	if s.cfg.Record != nil {
		s.cfg.Record(r)
	}
}

func onV6(l net.Listener) bool {
	addr, err := netip.ParseAddrPort(l.Addr().String())
	return err == nil && addr.Addr().Is6()
}

// lease is something under way that a narrower policy cuts.
type lease struct {
	request policy.Request
	blind   bool // a tunnel: what is in it is not seen
	cancel  context.CancelCauseFunc
}

func (l *lease) allowed(set *policy.Set) bool {
	return set.Decide(l.request).Allowed() && (!l.blind || !set.Inspects(l.request.Host, l.request.Port))
}

// hold registers what was allowed; the context ends when it no longer is.
func (s *Server) hold(ctx context.Context, l *lease) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	l.cancel = cancel
	s.mu.Lock()
	s.live[l] = struct{}{}
	s.mu.Unlock()
	// The policy may have changed between the decision and here.
	if !l.allowed(s.policy.Load()) {
		cancel(errNarrowed)
	}
	return ctx, func() {
		s.mu.Lock()
		delete(s.live, l)
		s.mu.Unlock()
		cancel(nil)
	}
}
