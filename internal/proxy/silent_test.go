package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// short is how long the gateways below wait for anything.
const short = 100 * time.Millisecond

// silentGateway opens example.com and tunnels to the rest, all of which is at
// one address.
func silentGateway(t *testing.T, address string, tunnel time.Duration) *gateway {
	t.Helper()
	return newGateway(t, "example.com GET\ntunnel.example\ntunnel.example:7\nhttp://plain.example", func(c *Config) {
		for _, host := range []string{"example.com", "tunnel.example", "plain.example"} {
			to(t, c, host, address)
		}
		c.Limits.Header, c.Limits.KeepAlive, c.Limits.Tunnel = short, short, tunnel
	})
}

// A client that begins and then says no more, wherever it stops, is not waited
// for.
func TestSilentClients(t *testing.T) {
	t.Parallel()
	l := listen(t) // the host says nothing either
	g := silentGateway(t, l.Addr().String(), patience)
	hello := clientHello(t, "example.com")
	for name, says := range map[string][]string{
		"nothing":                         {""},
		"half a method":                   {"CONN"},
		"half a head":                     {"GET http://plain.example/ HTTP/1.1\r\nHost: pl"},
		"a tunnel and nothing":            {"CONNECT tunnel.example:443 HTTP/1.1\r\n\r\n", ""},
		"a tunnel and half a hello":       {"CONNECT tunnel.example:443 HTTP/1.1\r\n\r\n", string(hello[:50])},
		"an opened tunnel and nothing":    {"CONNECT example.com:443 HTTP/1.1\r\n\r\n", ""},
		"an opened tunnel and a hello":    {"CONNECT example.com:443 HTTP/1.1\r\n\r\n", string(hello)},
		"a request and half of its body":  {"POST http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\nContent-Length: 9\r\n\r\nhalf", ""},
		"a request to who says nothing":   {"GET http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\n\r\n", ""},
		"a switch to who says nothing":    {"GET http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", ""},
		"an endless chunk":                {"POST http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("f", 64), ""},
		"bytes after a request that ends": {"GET http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\n\r\n\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, g.proxy)
			for i, text := range says {
				if _, err := io.WriteString(c, text); err != nil {
					t.Fatal(err)
				}
				if i == 0 && strings.HasPrefix(text, "CONNECT") {
					if _, err := io.ReadFull(c, make([]byte, len(established))); err != nil {
						t.Fatal(err)
					}
				}
			}
			// The host's turn is the host's: a client that waits for it may wait,
			// and takes its request with it when it goes.
			if strings.Contains(name, "request") || strings.Contains(name, "switch") || strings.Contains(name, "chunk") {
				_ = c.Close()
				return
			}
			if _, err := io.Copy(io.Discard, c); err != nil {
				if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
					t.Error("it is waited for")
				}
			}
		})
	}
	t.Cleanup(func() { until(t, func() bool { return len(g.slots) == 0 }) })
}

// A host that takes connections and says nothing fails what is asked of it, in
// time, and is no denial.
func TestSilentHosts(t *testing.T) {
	t.Parallel()
	l := listen(t)
	g := silentGateway(t, l.Addr().String(), short)
	res, body := get(t, g.client(t, g.roots(t)), "https://example.com/")
	if res.StatusCode != http.StatusGatewayTimeout || res.Header.Get(DeniedHeader) != "" || !strings.Contains(body, "could not reach it") {
		t.Errorf("%s %s", res.Status, body)
	}
	if got := g.ask(t, "GET http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 504") {
		t.Errorf("%q", got)
	}
	c, status, _ := g.connect(t, "tunnel.example:7")
	if status != http.StatusOK {
		t.Fatal(status)
	}
	if n, err := io.Copy(io.Discard, c); n > 0 {
		t.Errorf("%d bytes of a host that says nothing, %v", n, err)
	}
}

// A host that stops sending goes on being heard when only the client has said
// all, and the other way round.
func TestHalfClosed(t *testing.T) {
	t.Parallel()
	l := listen(t)
	heard := make(chan string, 4)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.WriteString(c, "bye")
				discard(closeWrite(c))
				all, _ := io.ReadAll(c)
				heard <- string(all)
				_ = c.Close()
			}()
		}
	}()
	g := newGateway(t, "tunnel.example:7", func(c *Config) { to(t, c, "tunnel.example", l.Addr().String()) })
	addr := g.address(t, "tunnel.example")
	for name, open := range map[string]func() net.Conn{
		"connect":  func() net.Conn { c, _, _ := g.connect(t, "tunnel.example:7"); return c },
		"redirect": func() net.Conn { return g.redirected(t, addr.String()+":7") },
	} {
		c := open()
		if got, err := io.ReadAll(c); string(got) != "bye" || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		// It has ended its half; ours is still open.
		for range 3 {
			if _, err := io.WriteString(c, "more "); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		discard(closeWrite(c))
		if got := <-heard; got != "more more more " {
			t.Errorf("%s: the host heard %q", name, got)
		}
	}
}

// Hundreds of heads that never end hold up nobody else.
func TestSlowHeadsHoldNobodyUp(t *testing.T) {
	t.Parallel()
	g := plainGateway(t, hello)
	for i := range 500 {
		c := dial(t, g.proxy)
		if _, err := fmt.Fprintf(c, "GET http://plain.example/ HTTP/1.1\r\nX-%d: %s", i, strings.Repeat("x", 100)); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	if got := g.ask(t, "GET http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\nConnection: close\r\n\r\n"); !strings.Contains(got, "200 OK") {
		t.Errorf("%q", got)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// Who holds all connections to the resolver, saying nothing, holds up neither
// datagrams nor, when they are let go, the next one.
func TestSilentResolverClients(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "example.com", nil)
	var held []net.Conn
	for range maxTCPDNS {
		c := dial(t, g.dnsTCP)
		if _, err := c.Write([]byte{0}); err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	question := query(t, "example.com.", dnsmessage.TypeA)
	if h, answer := answerOf(t, g.lookup(t, "udp", question)); h.RCode != dnsmessage.RCodeSuccess || answer == "" {
		t.Errorf("%+v %q", h, answer)
	}
	if n, err := dial(t, g.dnsTCP).Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("one too many is served")
	}
	for _, c := range held {
		_ = c.Close()
	}
	until(t, func() bool {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", g.dnsTCP)
		if err != nil {
			return false
		}
		defer func() { _ = c.Close() }()
		framed := append([]byte{0, byte(len(question))}, question...)
		if _, err := c.Write(framed); err != nil || c.SetReadDeadline(time.Now().Add(time.Second)) != nil {
			return false
		}
		_, err = io.ReadFull(c, make([]byte, 20))
		return err == nil
	})
}
