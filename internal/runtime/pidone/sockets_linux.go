package pidone

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"agentprocess/internal/sandbox"
)

// ip6OriginalDst is IP6T_SO_ORIGINAL_DST, which has SO_ORIGINAL_DST's number.
const ip6OriginalDst = unix.SO_ORIGINAL_DST

// NewSockets turns the descriptors of PID 1's sockets into the gateway's.
func NewSockets(names []string, fds []int) (sandbox.Sockets, error) {
	var s sandbox.Sockets
	if len(names) != len(fds) {
		CloseAll(fds...)
		return s, fmt.Errorf("sockets of the sandbox: %d names for %d descriptors", len(names), len(fds))
	}
	var errs error
	for i, name := range names {
		f := os.NewFile(uintptr(fds[i]), name)
		errs = errors.Join(errs, addSocket(&s, name, f), f.Close())
	}
	if errs != nil {
		return s, errors.Join(errs, CloseSockets(s))
	}
	if len(names) > 0 {
		s.OriginalDst = originalDst
	}
	return s, nil
}

func addSocket(s *sandbox.Sockets, name string, f *os.File) error {
	if name == "dns" {
		c, err := net.FilePacketConn(f)
		if err == nil {
			s.DNS = append(s.DNS, c)
		}
		return err
	}
	l, err := net.FileListener(f)
	if err != nil {
		return err
	}
	switch name {
	case "proxy":
		s.Proxy = l
	case "redirect":
		s.Redirect = append(s.Redirect, l)
	case "dnstcp":
		s.DNSTCP = append(s.DNSTCP, l)
	case "hook":
		s.Hook = l
	default:
		return errors.Join(fmt.Errorf("unknown socket %q", name), l.Close())
	}
	return nil
}

// CloseSockets closes what is open; one that its user closed is fine.
func CloseSockets(s sandbox.Sockets) error {
	all := []interface{ Close() error }{}
	for _, l := range append(append([]net.Listener{s.Proxy, s.Hook}, s.Redirect...), s.DNSTCP...) {
		if l != nil {
			all = append(all, l)
		}
	}
	for _, c := range s.DNS {
		all = append(all, c)
	}
	var errs error
	for _, c := range all {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = errors.Join(errs, err)
		}
	}
	return errs
}

// originalDst asks the kernel where a redirected connection was going.
func originalDst(c net.Conn) (netip.AddrPort, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("original destination: %T has no descriptor", c)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("original destination: %w", err)
	}
	local, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("original destination: %w", err)
	}
	var dst netip.AddrPort
	var gerr error
	err = raw.Control(func(fd uintptr) {
		if local.Addr().Is4() {
			dst, gerr = originalDst4(int(fd))
		} else {
			dst, gerr = originalDst6(int(fd))
		}
	})
	if err := errors.Join(err, gerr); err != nil {
		return netip.AddrPort{}, fmt.Errorf("original destination: %w", err)
	}
	return dst, nil
}

// originalDst4 reads a struct sockaddr_in through a struct of its size.
func originalDst4(fd int) (netip.AddrPort, error) {
	m, err := unix.GetsockoptIPv6Mreq(fd, unix.SOL_IP, unix.SO_ORIGINAL_DST)
	if err != nil {
		return netip.AddrPort{}, err
	}
	b := m.Multiaddr
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), uint16(b[2])<<8|uint16(b[3])), nil
}

// originalDst6 reads a struct sockaddr_in6.
func originalDst6(fd int) (netip.AddrPort, error) {
	m, err := unix.GetsockoptIPv6MTUInfo(fd, unix.SOL_IPV6, ip6OriginalDst)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, m.Addr.Port))
	return netip.AddrPortFrom(netip.AddrFrom16(m.Addr.Addr), port), nil
}
