package proof

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// patience bounds each attempt. A denial takes at most a second by design, but
// this process may have to wait longer for a processor when twenty others
// start; an attempt without an answer counts as open and ends the run.
const patience = 5 * time.Second

// maxLine bounds the status line of the proxy, in bytes.
const maxLine = 1 << 10

// Main is the inside half: it carries out the plan in arg and prints a Report.
// The result is the exit status.
func Main(ctx context.Context, arg string, stdout io.Writer) int {
	var p Plan
	if err := json.Unmarshal([]byte(arg), &p); err != nil {
		return 2
	}
	if err := json.NewEncoder(stdout).Encode(p.probe(ctx)); err != nil {
		return 1
	}
	return 0
}

// probe makes all attempts at once.
func (p Plan) probe(ctx context.Context) Report {
	checks := []func(context.Context) Attempt{
		p.tryName,
		func(ctx context.Context) Attempt { return p.tryTCP(ctx, CheckRaw4, raw4) },
		func(ctx context.Context) Attempt { return p.tryTCP(ctx, CheckRaw6, raw6) },
		func(ctx context.Context) Attempt { return p.tryUDP(ctx, CheckUDP4, raw4) },
		func(ctx context.Context) Attempt { return p.tryUDP(ctx, CheckUDP6, raw6) },
		func(ctx context.Context) Attempt { return p.tryDNS(ctx, CheckDNS, "127.0.0.1") },
		func(ctx context.Context) Attempt { return p.tryDNS(ctx, CheckDNSRaw, raw4) },
		func(context.Context) Attempt { return interfaces() },
	}
	r := Report{Nonce: p.Nonce, Attempts: make([]Attempt, len(checks))}
	var wg sync.WaitGroup
	for i, check := range checks {
		wg.Go(func() { r.Attempts[i] = check(ctx) })
	}
	wg.Wait()
	return r
}

// tryName asks the proxy for a name that is on no list.
func (p Plan) tryName(ctx context.Context) Attempt {
	target := p.Host + ":443"
	a := Attempt{Check: CheckName, Target: target, Result: Open}
	conn, err := dial(ctx, "tcp", "127.0.0.1:3128")
	if err != nil {
		a.Detail = "no proxy: " + err.Error()
		return a
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target); err != nil {
		a.Detail = err.Error()
		return a
	}
	// The status line is enough. An HTTP client would double the program that
	// this runs in.
	line, err := bufio.NewReader(io.LimitReader(conn, maxLine)).ReadString('\n')
	if err != nil {
		a.Detail = "read the proxy's answer: " + err.Error()
		return a
	}
	version, status, _ := strings.Cut(strings.TrimSpace(line), " ")
	a.Detail = status
	if strings.HasPrefix(version, "HTTP/1.") && strings.HasPrefix(status, "403 ") {
		a.Result = Denied
	}
	return a
}

// tryTCP connects to an address that no name stands for, and says something.
func (p Plan) tryTCP(ctx context.Context, check, ip string) Attempt {
	a := Attempt{Check: check, Target: p.tcpTarget(ip), Result: Open}
	conn, err := dial(ctx, "tcp", a.Target)
	if err != nil {
		a.Detail = err.Error()
		switch {
		case unreachable(err):
			a.Result = NoRoute
		case errors.Is(err, syscall.ECONNRESET): // closed before we saw it open
			a.Result = Closed
		}
		return a
	}
	defer conn.Close()
	_, werr := io.WriteString(conn, p.Nonce+"\n")
	var buf [1]byte
	n, err := conn.Read(buf[:])
	switch {
	case n > 0:
		a.Detail = "an answer came"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(werr, syscall.EPIPE):
		a.Result = Closed
	default:
		a.Detail = fmt.Sprint(err)
	}
	return a
}

// tryUDP sends a datagram out from a socket that listens on the very port it
// sends to: with no way out it either has no route or comes straight back.
func (p Plan) tryUDP(ctx context.Context, check, ip string) Attempt {
	target := net.JoinHostPort(ip, strconv.Itoa(int(p.UDP)))
	a := Attempt{Check: check, Target: target, Result: Open}
	network, bind := "udp4", net.JoinHostPort("0.0.0.0", strconv.Itoa(int(p.UDP)))
	if strings.Contains(ip, ":") {
		network, bind = "udp6", net.JoinHostPort("::", strconv.Itoa(int(p.UDP)))
	}
	sock, err := (&net.ListenConfig{}).ListenPacket(ctx, network, bind)
	if err != nil {
		a.Detail = err.Error()
		if errors.Is(err, syscall.EAFNOSUPPORT) {
			a.Result = NoRoute
		}
		return a
	}
	defer sock.Close()
	if err := sock.SetDeadline(time.Now().Add(patience)); err != nil {
		a.Detail = err.Error()
		return a
	}
	addr, err := net.ResolveUDPAddr(network, target)
	if err != nil {
		a.Detail = err.Error()
		return a
	}
	return p.echo(a, sock, addr)
}

// echo sends the nonce to addr and waits for it on the same socket.
func (p Plan) echo(a Attempt, sock net.PacketConn, addr net.Addr) Attempt {
	if _, err := sock.WriteTo([]byte(p.Nonce), addr); err != nil {
		a.Detail = err.Error()
		if unreachable(err) {
			a.Result = NoRoute
		}
		return a
	}
	buf := make([]byte, 64)
	n, _, err := sock.ReadFrom(buf)
	switch {
	case err != nil:
		a.Detail = err.Error()
	case string(buf[:n]) == p.Nonce:
		a.Result = Local
	default:
		a.Detail = "a foreign answer came"
	}
	return a
}

// tryDNS asks a resolver for the canary name.
func (p Plan) tryDNS(ctx context.Context, check, server string) Attempt {
	target := net.JoinHostPort(server, "53")
	a := Attempt{Check: check, Target: target, Result: Open}
	conn, err := dial(ctx, "udp", target)
	if err != nil {
		a.Detail = err.Error()
		if unreachable(err) {
			a.Result = NoRoute
		}
		return a
	}
	defer conn.Close()
	msg, err := p.query()
	if err != nil {
		a.Detail = err.Error()
		return a
	}
	buf := make([]byte, 1500)
	n := 0
	if _, err = conn.Write(msg); err == nil {
		n, err = conn.Read(buf)
	}
	if err != nil {
		a.Detail = err.Error()
		if unreachable(err) {
			a.Result = NoRoute
		}
		return a
	}
	var answer dnsmessage.Message
	if err := answer.Unpack(buf[:n]); err != nil {
		a.Detail = err.Error()
		return a
	}
	a.Detail = answer.RCode.String()
	if answer.RCode == dnsmessage.RCodeNameError && len(answer.Answers) == 0 {
		a.Result = Denied
	}
	return a
}

// query is a question for the canary's address.
func (p Plan) query() ([]byte, error) {
	name, err := dnsmessage.NewName(p.Host + ".")
	if err != nil {
		return nil, fmt.Errorf("canary name: %w", err)
	}
	msg := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: p.UDP, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	return msg.Pack()
}

// interfaces says whether anything but lo exists.
func interfaces() Attempt {
	a := Attempt{Check: CheckInterfaces, Target: "lo", Result: NoRoute}
	all, err := net.Interfaces()
	if err != nil {
		return Attempt{Check: CheckInterfaces, Target: "lo", Result: Open, Detail: err.Error()}
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			a.Result, a.Detail = Open, "interface "+i.Name+" is up"
		}
	}
	return a
}

// dial connects with patience for the whole attempt.
func dial(ctx context.Context, network, target string) (net.Conn, error) {
	d := net.Dialer{Timeout: patience}
	conn, err := d.DialContext(ctx, network, target)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// unreachable reports whether the kernel had nowhere to send it.
func unreachable(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH) ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EADDRNOTAVAIL) ||
		errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EACCES)
}
