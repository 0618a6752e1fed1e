package pidone

import (
	"errors"
	"fmt"
	"net"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"agentprocess/internal/sandbox"
)

// The ports of the gateway inside.
const (
	portProxy    = 3128
	portRedirect = 3129
	portDNS      = 53
)

// backlog is how many connections wait to be accepted.
const backlog = 1024

// Network is what the set-up of the network gave.
type Network struct {
	Names    []string // what each descriptor is
	Files    []int    // descriptors of listening sockets
	Redirect bool     // other TCP is turned to us
	Notes    []string // weaknesses a person should know of
	Err      error
}

// Add adds a socket; name says what it is.
func (r *Network) Add(name string, fd int) {
	r.Names, r.Files = append(r.Names, name), append(r.Files, fd)
}

// SetUpNetwork makes lo usable and, for a gateway, listens on it and turns
// every other TCP connection to it.
func SetUpNetwork(kind sandbox.Network) Network {
	var r Network
	if r.Err = linkUp(); r.Err != nil || kind != sandbox.NetworkGateway {
		return r
	}
	v6 := hasIPv6()
	if r.Err = r.listen(v6); r.Err != nil {
		return r
	}
	if err := redirect(nftables.TableFamilyIPv4); err != nil {
		r.Notes = append(r.Notes, "no redirect: TCP that ignores the proxy is unreachable instead of being judged: "+err.Error())
		return r
	}
	if r.Err = anyIP("0.0.0.0/0"); r.Err != nil {
		return r
	}
	r.Redirect = true
	if !v6 {
		return r
	}
	if err := redirect(nftables.TableFamilyIPv6); err != nil {
		r.Notes = append(r.Notes, "no redirect of IPv6, which is unreachable instead: "+err.Error())
		return r
	}
	r.Err = anyIP("::/0")
	return r
}

func linkUp() error {
	// An ioctl: the netlink library takes ten times as long.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	defer CloseAll(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// anyIP makes every address of a family one of lo's, so that a connection to
// it stays here. No device beyond lo is needed for that.
func anyIP(prefix string) error {
	_, dst, err := net.ParseCIDR(prefix)
	if err != nil {
		return err
	}
	route := netlink.Route{LinkIndex: 1, Dst: dst, Scope: unix.RT_SCOPE_HOST, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL}
	if err := netlink.RouteAdd(&route); err != nil {
		return fmt.Errorf("route %s to lo: %w", prefix, err)
	}
	return nil
}

// TryRedirect tries a part of SetUpNetwork, for a probe, as do TryAnyIP,
// TryLink and TryListen.
func TryRedirect() error { return redirect(nftables.TableFamilyIPv4) }

// TryAnyIP is one of them.
func TryAnyIP() error { return anyIP("0.0.0.0/0") }

// TryLink is one of them.
func TryLink() error { return linkUp() }

// TryListen is one of them.
func TryListen() error {
	var r Network
	defer func() { CloseAll(r.Files...) }()
	return r.listen(hasIPv6())
}

// redirect turns TCP that leaves for anything but loopback to the redirect
// listener, and DNS for any server to the resolver.
func redirect(family nftables.TableFamily) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	table := c.AddTable(&nftables.Table{Family: family, Name: "agent-process"})
	chain := c.AddChain(&nftables.Chain{
		Name: "output", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityNATDest,
	})
	for _, rule := range []struct {
		proto     byte
		dns       bool
		recipient uint16
	}{{unix.IPPROTO_UDP, true, portDNS}, {unix.IPPROTO_TCP, true, portDNS}, {unix.IPPROTO_TCP, false, portRedirect}} {
		exprs := append(matchProtocol(rule.proto), notLoopback(family)...)
		if rule.dns {
			exprs = append(exprs, matchPort(portDNS)...)
		}
		exprs = append(exprs,
			&expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(rule.recipient)},
			&expr.Redir{RegisterProtoMin: 1})
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: exprs})
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	return nil
}

func matchProtocol(proto byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{proto}},
	}
}

func matchPort(port uint16) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
	}
}

// notLoopback matches destinations outside 127.0.0.0/8 or ::1.
func notLoopback(family nftables.TableFamily) []expr.Any {
	offset, data := uint32(16), []byte{127}
	if family == nftables.TableFamilyIPv6 {
		offset, data = 24, net.IPv6loopback
	}
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(len(data))}, // 1 or 16
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: data},
	}
}

// listen opens the gateway's sockets.
func (r *Network) listen(v6 bool) error {
	type socket struct {
		name string
		kind int
		port int
		v6   bool
	}
	all := []socket{
		{"proxy", unix.SOCK_STREAM, portProxy, false},
		{"redirect", unix.SOCK_STREAM, portRedirect, false},
		{"redirect", unix.SOCK_STREAM, portRedirect, true},
		{"dns", unix.SOCK_DGRAM, portDNS, false},
		{"dns", unix.SOCK_DGRAM, portDNS, true},
		{"dnstcp", unix.SOCK_STREAM, portDNS, false},
		{"dnstcp", unix.SOCK_STREAM, portDNS, true},
	}
	for _, s := range all {
		if s.v6 && !v6 {
			continue
		}
		var addr unix.Sockaddr = &unix.SockaddrInet4{Port: s.port, Addr: [4]byte{127, 0, 0, 1}}
		family := unix.AF_INET
		if s.v6 {
			addr, family = &unix.SockaddrInet6{Port: s.port, Addr: [16]byte(net.IPv6loopback)}, unix.AF_INET6
		}
		fd, err := listenOn(family, s.kind, addr)
		if err != nil {
			return fmt.Errorf("listen for %s on port %d: %w", s.name, s.port, err)
		}
		r.Add(s.name, fd)
	}
	return nil
}

// hasIPv6 reports whether lo has its IPv6 address.
func hasIPv6() bool {
	fd, err := listenOn(unix.AF_INET6, unix.SOCK_STREAM, &unix.SockaddrInet6{Addr: [16]byte(net.IPv6loopback)})
	CloseAll(fd)
	return err == nil
}

// ListenUnix binds the hook socket. The agent's own id owns it, so that it can
// connect; its directory turns read-only, so that it cannot be replaced.
func ListenUnix(name string) (int, error) {
	return listenOn(unix.AF_UNIX, unix.SOCK_STREAM, &unix.SockaddrUnix{Name: name})
}

func listenOn(family, kind int, addr unix.Sockaddr) (int, error) {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, addr); err != nil {
		CloseAll(fd)
		return -1, err
	}
	if kind == unix.SOCK_STREAM {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		CloseAll(fd)
		return -1, errors.Join(errors.New("listen"), err)
	}
	return fd, nil
}
