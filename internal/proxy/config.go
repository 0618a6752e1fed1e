package proxy

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/policy"
)

// Resolver looks names up on the host side; [net.Resolver] is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Dialer connects on the host side; [net.Dialer] is one. It is only ever given
// an IP address and a port.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Config is what one run's gateway is to be.
type Config struct {
	// Agent is the name of whom a denial tells a person how to allow it for;
	// empty leaves that out.
	Agent string
	// Policy is what may be reached at first; nil is nothing.
	Policy *policy.Set
	// Credentials name the hosts whose TLS is opened.
	Credentials []Credential
	// Resolve gives some names a fixed address, which is exempt from the
	// address guard. The names must be listed all the same.
	Resolve map[string]Target
	// Resolver and Dialer are the host's own when nil.
	Resolver Resolver
	Dialer   Dialer
	// Upstream is how the host's own network is left; nil is directly. Names
	// with a fixed address are dialled directly all the same.
	Upstream *Upstream
	// UpstreamRoots verify hosts whose TLS is opened; nil is the system's.
	UpstreamRoots *x509.CertPool
	// Record gets each connection, request or lookup when it ended. It is
	// called from many goroutines.
	Record func(audit.Request)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Limits bound what a sandbox can use; zero fields are the default.
	Limits Limits
	// Budget bounds connections together with the other gateways of the
	// process; nil is one of its own, as large as the limit of open files
	// allows.
	Budget *Budget
}

// Limits bound connections and waits.
type Limits struct {
	// Connections is how many there may be at once. More wait a second for
	// one to end, then they are refused.
	Connections int
	Header      time.Duration // for a request head, a ClientHello, a handshake
	Dial        time.Duration // to resolve and connect
	KeepAlive   time.Duration // between requests of a connection
	Tunnel      time.Duration // without a byte in either direction
}

func (l Limits) withDefaults(budget int) Limits {
	if l.Connections <= 0 {
		l.Connections = defaultConnections
	}
	l.Connections = min(l.Connections, budget)
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&l.Header, 10 * time.Second},
		{&l.Dial, 10 * time.Second},
		{&l.KeepAlive, 5 * time.Minute},
		{&l.Tunnel, 2 * time.Hour},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return l
}

// Target is where a name is dialled instead of where it resolves to.
type Target struct {
	Addr netip.Addr
	Port uint16 // 0: the port that was asked for
}

// ErrResolve is wrapped by the errors of ParseResolve.
var ErrResolve = errors.New("want HOST=ADDRESS or HOST=ADDRESS:PORT")

// ParseResolve reads "HOST=ADDR[:PORT]", with IPv6 addresses in brackets when
// a port follows.
func ParseResolve(text string) (host string, target Target, err error) {
	name, where, ok := strings.Cut(text, "=")
	if !ok {
		return "", Target{}, fmt.Errorf("resolve %q: %w", text, ErrResolve)
	}
	if host, err = policy.NormalizeHost(name); err != nil {
		return "", Target{}, fmt.Errorf("resolve %q: %w", text, err)
	}
	if policy.Local(host) {
		return "", Target{}, fmt.Errorf("resolve %q: localhost is the sandbox itself, use another name: %w", text, ErrResolve)
	}
	if target, err = parseTarget(where); err != nil {
		return "", Target{}, fmt.Errorf("resolve %q: %w", text, err)
	}
	return host, target, nil
}

func parseTarget(where string) (Target, error) {
	address, port := where, ""
	if bracketed, rest, ok := strings.Cut(strings.TrimPrefix(where, "["), "]"); ok && strings.HasPrefix(where, "[") {
		address, port = bracketed, rest
		if port != "" && port[0] != ':' || !strings.Contains(address, ":") {
			return Target{}, ErrResolve
		}
	} else if strings.Count(where, ":") == 1 {
		address, port, _ = strings.Cut(where, ":")
		port = ":" + port
	}
	addr, err := netip.ParseAddr(address)
	if err != nil || addr.IsUnspecified() || addr.IsMulticast() || addr.Zone() != "" {
		return Target{}, fmt.Errorf("address %q: %w", address, ErrResolve)
	}
	target := Target{Addr: addr.Unmap()}
	if port == "" {
		return target, nil
	}
	n, err := strconv.ParseUint(port[1:], 10, 16)
	if err != nil || n == 0 {
		return Target{}, fmt.Errorf("port %q: %w", port[1:], ErrResolve)
	}
	target.Port = uint16(n)
	return target, nil
}
