package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"agentprocess/internal/policy"
)

const (
	maxCandidates = 8
	// fallback is how long one address has before the next is tried beside
	// it (RFC 8305 5).
	fallback = 250 * time.Millisecond
	// keepAlive is after how long a silent peer is asked whether it is there.
	keepAlive = 15 * time.Second
)

var errNoAddress = errors.New("it has no address")

// dial connects to a listed name. Names that cannot be dialled for policy give
// a *denied.
func (s *Server) dial(ctx context.Context, host string, port uint16) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Limits.Dial)
	defer cancel()
	if _, fixed := s.cfg.Resolve[host]; !fixed {
		if p := s.cfg.Upstream.connection(host, port); p != nil {
			return s.dialVia(ctx, p, host, port)
		}
	}
	candidates, err := s.candidates(ctx, host, port)
	if err != nil {
		return nil, err
	}
	conn, err := s.race(ctx, candidates)
	if err != nil {
		return nil, fmt.Errorf("connect to %s:%d: %w", host, port, err)
	}
	return conn, nil
}

// candidates are the addresses of a name that may be dialled, the families
// taking turns.
func (s *Server) candidates(ctx context.Context, host string, port uint16) ([]netip.AddrPort, error) {
	if t, ok := s.cfg.Resolve[host]; ok {
		if t.Port != 0 {
			port = t.Port
		}
		return []netip.AddrPort{netip.AddrPortFrom(t.Addr, port)}, nil
	}
	query := host
	if strings.Contains(host, ".") {
		query += "." // no search domains: the name that is listed, no other
	}
	addrs, err := s.cfg.Resolver.LookupNetIP(ctx, "ip", query)
	if err != nil {
		return nil, fmt.Errorf("resolve %q: %w", host, err)
	}
	var bad error
	addrs = slices.DeleteFunc(slices.Clone(addrs), func(addr netip.Addr) bool {
		err := policy.CheckAddress(addr.Unmap())
		if err != nil {
			bad = err
		}
		return err != nil
	})
	v4, v6 := families(addrs, port)
	out := interleave(v6, v4)
	switch {
	case len(out) > 0:
		return out[:min(len(out), maxCandidates)], nil
	case bad != nil:
		return nil, guarded(host, bad)
	}
	return nil, fmt.Errorf("resolve %q: %w", host, errNoAddress)
}

// families sorts addresses by their family.
func families(addrs []netip.Addr, port uint16) (v4, v6 []netip.AddrPort) {
	for _, addr := range addrs {
		addr = addr.Unmap() // an A record may come as ::ffff:a.b.c.d
		if at := netip.AddrPortFrom(addr, port); addr.Is4() {
			v4 = append(v4, at)
		} else {
			v6 = append(v6, at)
		}
	}
	return v4, v6
}

// guarded is the denial of a name all of whose addresses are refused. The
// agent is told the kind only: the address may be the host network's secret.
func guarded(host string, err error) *denied {
	d := &denied{reason: fmt.Sprintf("%q resolves to an address that is not on the public internet", host), fix: "--resolve " + host + "=ADDRESS"}
	if e, ok := errors.AsType[*policy.AddressError](err); ok {
		d.reason += " (" + e.Kind + ")"
		d.addr = e.Addr
	}
	return d
}

func interleave(a, b []netip.AddrPort) []netip.AddrPort {
	out := make([]netip.AddrPort, 0, len(a)+len(b))
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			out = append(out, a[i])
		}
		if i < len(b) {
			out = append(out, b[i])
		}
	}
	return out
}

type attempt struct {
	conn net.Conn
	err  error
}

// hostDialer connects from the host. It is asked for nothing but addresses.
type hostDialer struct{}

// DialContext implements Dialer.
func (hostDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	// A peer that is gone is found out; how often it is asked is the system's.
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: -1, Count: -1}}
	d.Control = func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { connectEarly(fd, at) })
	}
	return d.DialContext(ctx, network, address)
}

// connectEarly begins to connect before package net does. When net does the
// same a moment later, whoever answers at once, as everything on this machine
// does, has answered: nobody need be woken then. Otherwise net waits as ever,
// and an error is found again there.
func connectEarly(fd uintptr, at netip.AddrPort) {
	addr := at.Addr()
	switch {
	case addr.Is4():
		discard(syscall.Connect(int(fd), &syscall.SockaddrInet4{Port: int(at.Port()), Addr: addr.As4()}))
	case addr.Zone() == "":
		discard(syscall.Connect(int(fd), &syscall.SockaddrInet6{Port: int(at.Port()), Addr: addr.As16()}))
	}
}

// race connects to the first address that answers, starting them one after
// another, and waits for all that it started.
func (s *Server) race(ctx context.Context, candidates []netip.AddrPort) (net.Conn, error) {
	if len(candidates) == 1 {
		return s.cfg.Dialer.DialContext(ctx, "tcp", candidates[0].String())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan attempt, len(candidates))
	timer := time.NewTimer(0)
	defer timer.Stop()
	started, ended := 0, 0
	var won net.Conn
	var errs []error
	for ended < started || won == nil && started < len(candidates) {
		var next <-chan time.Time
		if won == nil && started < len(candidates) {
			next = timer.C
		}
		select {
		case <-next:
			at := candidates[started].String()
			started++
			go func() {
				conn, err := s.cfg.Dialer.DialContext(ctx, "tcp", at)
				results <- attempt{conn, err}
			}()
			timer.Reset(fallback)
		case r := <-results:
			ended++
			won = keepFirst(won, r)
			if r.err != nil {
				errs = append(errs, r.err)
				timer.Reset(0)
				continue
			}
			cancel()
		}
	}
	if won == nil {
		return nil, errors.Join(errs...)
	}
	return won, nil
}

func keepFirst(won net.Conn, r attempt) net.Conn {
	switch {
	case r.conn == nil:
		return won
	case won != nil:
		discard(r.conn.Close())
		return won
	}
	return r.conn
}
