package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/proxy"
)

// proxyError is what went wrong between us and the host's own proxy. The agent
// is shown it: it names neither the proxy nor what it is asked with.
type proxyError struct {
	what string
	err  error
}

// Error implements error.
func (e *proxyError) Error() string {
	if e.err == nil {
		return "the proxy of the host's network " + e.what
	}
	return "the proxy of the host's network " + e.what + ": " + e.err.Error()
}

// Unwrap gives the cause.
func (e *proxyError) Unwrap() error { return e.err }

var (
	errProxyAddress = errors.New("no address of it answers")
	errUnanswered   = errors.New("it does not speak the protocol that its URL says")
)

// dialVia connects to a listed name through a proxy, to which the name goes as
// it is: what it resolves to there is the proxy's to say.
func (s *Server) dialVia(ctx context.Context, p *proxyURL, host string, port uint16) (net.Conn, error) {
	if err := s.glance(ctx, host, port); err != nil {
		return nil, err
	}
	conn, err := s.dialProxy(ctx, p)
	if err != nil {
		return nil, err
	}
	// Whoever waits for an answer of the proxy is woken when ctx ends.
	stop := context.AfterFunc(ctx, func() { discard(conn.SetDeadline(time.Unix(1, 0))) })
	through, err := s.ask(ctx, p, conn, net.JoinHostPort(host, strconv.Itoa(int(port))))
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		discard(conn.Close())
		return nil, err
	}
	return through, nil
}

// ask has a proxy connect to an authority.
func (s *Server) ask(ctx context.Context, p *proxyURL, conn net.Conn, authority string) (net.Conn, error) {
	switch p.scheme {
	case schemeSOCKS:
		return askSOCKS(ctx, p, conn, authority)
	case schemeHTTPS:
		secure := tls.Client(conn, &tls.Config{
			ServerName: p.host, RootCAs: s.cfg.UpstreamRoots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		})
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, &proxyError{"is not who it must be", err}
		}
		conn = secure
	}
	return askHTTP(p, conn, authority)
}

func askSOCKS(ctx context.Context, p *proxyURL, conn net.Conn, authority string) (net.Conn, error) {
	var auth *proxy.Auth
	if p.user != "" {
		auth = &proxy.Auth{User: p.user, Password: p.password.Reveal()}
	}
	d, err := proxy.SOCKS5("tcp", "", auth, nil)
	if err != nil {
		return nil, &proxyError{"cannot be asked", err}
	}
	// The connection stays the one it is, so that it can be spliced.
	on, ok := d.(interface {
		DialWithConn(ctx context.Context, c net.Conn, network, address string) (net.Addr, error)
	})
	if !ok {
		return nil, &proxyError{"cannot be asked", errUnanswered}
	}
	if _, err := on.DialWithConn(ctx, conn, "tcp", authority); err != nil {
		return nil, &proxyError{"did not connect", err}
	}
	return conn, nil
}

// maxAnswer bounds the head of a proxy's answer to CONNECT.
const maxAnswer = 64 << 10

func askHTTP(p *proxyURL, conn net.Conn, authority string) (net.Conn, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", authority, authority)
	if p.user != "" {
		fmt.Fprintf(&b, "Proxy-Authorization: Basic %s\r\n", base64.StdEncoding.EncodeToString([]byte(p.user+":"+p.password.Reveal())))
	}
	b.WriteString("\r\n")
	if _, err := io.WriteString(conn, b.String()); err != nil {
		return nil, &proxyError{"cannot be asked", err}
	}
	br := bufio.NewReader(io.LimitReader(conn, maxAnswer))
	res, err := http.ReadResponse(br, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, &proxyError{"did not answer", err}
	}
	defer func() { discard(res.Body.Close()) }() // which is empty, and not the connection
	if res.StatusCode != http.StatusOK {
		return nil, refusedBy(res.StatusCode)
	}
	if n := br.Buffered(); n > 0 { // a host that speaks first
		ahead, err := br.Peek(n)
		return &peeked{Conn: conn, head: ahead}, err
	}
	return conn, nil
}

// refusedBy tells what a proxy answered instead of connecting: its number only,
// whose meaning is known.
func refusedBy(status int) error {
	return &proxyError{what: fmt.Sprintf("answered %d %s", status, http.StatusText(status))}
}

// dialProxy connects to a proxy. Its address is the person's choice, and is
// dialled whatever it is.
func (s *Server) dialProxy(ctx context.Context, p *proxyURL) (net.Conn, error) {
	addrs, err := s.cfg.Resolver.LookupNetIP(ctx, "ip", p.host)
	if err != nil {
		return nil, &proxyError{what: "cannot be resolved"} // the cause names it
	}
	v4, v6 := families(addrs, p.port)
	candidates := interleave(v6, v4)
	if len(candidates) == 0 {
		return nil, &proxyError{what: "has no address"}
	}
	conn, err := s.race(ctx, candidates[:min(len(candidates), maxCandidates)])
	if err != nil {
		return nil, &proxyError{"cannot be reached", errProxyAddress}
	}
	return conn, nil
}

// forwarding is the way for plain HTTP through a proxy that speaks it: many
// take CONNECT for TLS only. Its requests are for the proxy, one after another.
type forwarding struct {
	*http.Transport
	server *Server
}

func (s *Server) newForwarding() forwarding {
	t := s.newTransport(false)
	t.Proxy = func(req *http.Request) (*url.URL, error) { return s.cfg.Upstream.For(req.URL) }
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, s.cfg.Limits.Dial)
		defer cancel()
		defer context.AfterFunc(s.serving, cancel)()
		return s.dialProxy(ctx, s.cfg.Upstream.plain)
	}
	return forwarding{t, s}
}

// takes reports whether a request goes this way.
func (f forwarding) takes(req *http.Request) bool {
	if req.URL.Scheme != schemeHTTP {
		return false
	}
	if _, fixed := f.server.cfg.Resolve[req.URL.Hostname()]; fixed {
		return false
	}
	p := f.server.cfg.Upstream.through(req.URL)
	return p != nil && p.web()
}

// RoundTrip implements http.RoundTripper.
func (f forwarding) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := f.server.glance(req.Context(), req.URL.Hostname(), 80); err != nil {
		return nil, err
	}
	res, err := f.Transport.RoundTrip(req)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" {
		return nil, &proxyError{"cannot be reached", op.Err}
	}
	if err == nil && res.StatusCode == http.StatusProxyAuthRequired {
		discard(res.Body.Close())
		return nil, refusedBy(res.StatusCode)
	}
	return res, err
}

// glanceTime bounds what glance waits.
const glanceTime = time.Second

// glance refuses a name that resolves here, and to nothing but addresses that
// are guarded. Behind a proxy that is all that can be known: it looks the name
// up itself, and later. What does not resolve here is the proxy's to resolve.
func (s *Server) glance(ctx context.Context, host string, port uint16) error {
	if s.glances.fresh(host, s.now()) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, glanceTime)
	defer cancel()
	if _, err := s.candidates(ctx, host, port); err != nil {
		if d, ok := errors.AsType[*denied](err); ok {
			return d
		}
	}
	s.glances.note(host, s.now())
	return nil
}

// glances are the names that were looked at a moment ago, so that a resolver
// that never answers is not waited for again and again.
type glances struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

const (
	glanceLife = time.Minute
	maxGlances = 1024
)

func (g *glances) fresh(host string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, ok := g.seen[host]
	return ok && now.Sub(at) < glanceLife
}

func (g *glances) note(host string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.seen == nil || len(g.seen) >= maxGlances {
		g.seen = map[string]time.Time{}
	}
	g.seen[host] = now
}
