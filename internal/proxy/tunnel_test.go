package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"agentprocess/internal/audit"
)

func TestTunnel(t *testing.T) {
	t.Parallel()
	up := hostAPI(t, hello)
	g := newGateway(t, "example.com", func(c *Config) { to(t, c, "example.com", up.Listener.Addr().String()) })
	res, body := get(t, g.client(t, upstreamRoots(up)), "https://example.com/x?y=1")
	if res.StatusCode != http.StatusOK || res.ProtoMajor != 2 || body != "hello from example.com /x?y=1" {
		t.Errorf("%s %s: %q", res.Proto, res.Status, body)
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	r := g.records.next(t, func(q audit.Request) bool { return q.Path == "connect" })
	if r.Verdict != audit.Allow || r.Host != "example.com" || r.Port != 443 || r.Address != up.Listener.Addr().String() ||
		r.Rule != "example.com (test)" || r.Up == 0 || r.Down == 0 || r.ID == "" {
		t.Errorf("recorded %+v", r)
	}
	if asked := g.resolver.questions(); len(asked) != 0 {
		t.Errorf("resolved %q", asked)
	}
}

// forbidden is a host that the attacks below must not reach.
func forbidden(t *testing.T) *httptest.Server {
	t.Helper()
	return hostAPI(t, func(http.ResponseWriter, *http.Request) { t.Error("the host was reached") })
}

func TestConnectIsRefused(t *testing.T) {
	up := forbidden(t)
	address := up.Listener.Addr().String()
	g := newGateway(t, "example.com\n*.example.org\nssh.example.com:22\nprivate.example\nmixed.example", func(c *Config) {
		to(t, c, "unlisted.example", address)
	})
	for host, addrs := range map[string]string{
		"private.example": "127.0.0.1", "example.com": "169.254.169.254", "a.example.org": "::ffff:10.0.0.1", "mixed.example": "fd00::1",
	} {
		g.resolver.table[host] = []netip.Addr{netip.MustParseAddr(addrs)}
	}
	for _, tt := range []struct{ name, authority, reason string }{
		{"unlisted name", "unlisted.example:443", `no rule lists "unlisted.example"`},
		{"apex of a wildcard", "example.org:443", `no rule lists`},
		{"other port", "example.com:22", "listed for port 443"},
		{"name that ends like a listed one", "evilexample.com:443", "no rule lists"},
		{"IPv4", "127.0.0.1:443", "IP address"},
		{"IPv4 decimal", "2130706433:443", "IP address"},
		{"IPv4 hexadecimal", "0x7f.1:443", "IP address"},
		{"IPv4 octal", "0177.0.0.1:443", "IP address"},
		{"IPv6", "[::1]:443", "IP address"},
		{"IPv4-mapped", "[::ffff:127.0.0.1]:443", "IP address"},
		{"localhost", "localhost:443", "localhost"},
		{"userinfo", "example.com@unlisted.example:443", "user name"},
		{"no port", "example.com", "port"},
		{"resolves to loopback", "private.example:443", "loopback"},
		{"resolves to metadata", "example.com:443", "metadata"},
		{"resolves to mapped private", "a.example.org:443", "private"},
		{"resolves to unique local", "mixed.example:443", "unique local"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			c := dial(t, g.proxy)
			got := send(t, c, "CONNECT "+tt.authority+" HTTP/1.1\r\nHost: "+tt.authority+"\r\n\r\n")
			res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
			if err != nil {
				t.Fatalf("%q: %v", got, err)
			}
			body, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			id := res.Header.Get(DeniedHeader)
			if (res.StatusCode != http.StatusForbidden && res.StatusCode != http.StatusBadRequest) || id == "" || !strings.Contains(string(body), id) || !strings.Contains(string(body), tt.reason) {
				t.Errorf("%d %q: %s", res.StatusCode, id, body)
			}
			r := g.records.next(t, func(q audit.Request) bool { return q.ID == id })
			if r.Verdict != audit.Deny || !strings.Contains(r.Reason, tt.reason) || r.Path != "connect" {
				t.Errorf("recorded %+v", r)
			}
			if r.Duration > time.Since(start) {
				t.Errorf("took %v", r.Duration)
			}
		})
	}
	for _, asked := range g.resolver.questions() {
		if !strings.HasSuffix(asked, ".") || strings.Contains(asked, "unlisted") || strings.Contains(asked, "evil") || asked == "example.org." {
			t.Errorf("the host's resolver was asked for %q", asked)
		}
	}
}

func TestDenialNamesTheLine(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "example.com", nil)
	_, status, body := g.connect(t, "api.example.net:8443")
	want := `agent-process denied api.example.net:8443 (net-1)
reason: no rule lists "api.example.net"
fix: a person can add "api.example.net:8443" to .agent-process/allowlist or start the agent with --allow api.example.net:8443
`
	if status != http.StatusForbidden || body != want {
		t.Errorf("%d\n%s", status, body)
	}
	if r := g.records.next(t, denials); r.Fix != "api.example.net:8443" || r.ID != "net-1" {
		t.Errorf("recorded %+v", r)
	}
}

// What a client says inside a tunnel must be what it asked for.
func TestTunnelContentIsRefused(t *testing.T) {
	t.Parallel()
	up := forbidden(t)
	g := newGateway(t, "example.com\nexample.com:8443", func(c *Config) {
		to(t, c, "example.com", up.Listener.Addr().String())
		c.Limits.KeepAlive = 2 * time.Second
	})
	good := clientHello(t, "example.com")
	for _, tt := range []struct {
		name, authority string
		send            []byte
		reason, reply   string
	}{
		{"other SNI", "example.com:443", clientHello(t, "evil.example"), `(SNI) is "evil.example"`, "\x15\x03\x01"},
		{"subdomain as SNI", "example.com:443", clientHello(t, "www.example.com"), "(SNI)", "\x15\x03\x01"},
		{"other SNI on another port", "example.com:8443", clientHello(t, "evil.example"), "(SNI)", "\x15\x03\x01"},
		{"no SNI", "example.com:443", clientHello(t, ""), "names no server", "\x15\x03\x01"},
		{"plain HTTP", "example.com:443", []byte("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"), "not TLS", "HTTP/1.1 403"},
		{"SSH", "example.com:443", []byte("SSH-2.0-x\r\n"), "not TLS", ""},
		{"SSLv2 hello", "example.com:443", []byte("\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10"), "not TLS", ""},
		{"alert first", "example.com:443", []byte("\x15\x03\x01\x00\x02\x01\x00"), "not TLS", ""},
		{"truncated hello", "example.com:443", good[:40], "nothing that could be judged", "\x15\x03\x01"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := g
			if tt.name == "truncated hello" {
				g = newGateway(t, "example.com", func(c *Config) {
					to(t, c, "example.com", up.Listener.Addr().String())
					c.Limits.Header = 50 * time.Millisecond
				})
			}
			c, status, body := g.connect(t, tt.authority)
			if status != http.StatusOK {
				t.Fatalf("%d %s", status, body)
			}
			got := send(t, c, string(tt.send))
			if !strings.HasPrefix(got, tt.reply) {
				t.Errorf("answered %q", got)
			}
			r := g.records.next(t, func(q audit.Request) bool { return denials(q) && strings.Contains(q.Reason, tt.reason) })
			if r.Host != "example.com" || r.Up != 0 {
				t.Errorf("recorded %+v", r)
			}
		})
	}
}

// A hello may come in any pieces.
func TestHelloInPieces(t *testing.T) {
	t.Parallel()
	whole := clientHello(t, "example.com")
	body := whole[5:]
	var split []byte
	for len(body) > 0 {
		n := min(len(body), 7)
		split = append(split, recordHandshake, 3, 1, 0, byte(n))
		split = append(split, body[:n]...)
		body = body[n:]
	}
	for name, data := range map[string][]byte{"one record": whole, "many records": split} {
		for i := range data {
			if _, err := serverName(data[:i]); !errors.Is(err, errMoreHello) {
				t.Fatalf("%s, %d bytes: %v", name, i, err)
			}
		}
		if got, err := serverName(data); err != nil || got != "example.com" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// A port that a rule names may carry a protocol in which the server speaks
// first, or which half-closes.
func TestRawPort(t *testing.T) {
	t.Parallel()
	l := listen(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.WriteString(c, "220 ready\r\n")
				data, _ := io.ReadAll(c) // until the client closes its half
				_, _ = fmt.Fprintf(c, "got %d", len(data))
				_ = c.Close()
			}()
		}
	}()
	g := newGateway(t, "mail.example:25", func(c *Config) { to(t, c, "mail.example", l.Addr().String()) })
	addr := g.address(t, "mail.example")
	for name, open := range map[string]func() net.Conn{
		"connect":  func() net.Conn { c, _, _ := g.connect(t, "mail.example:25"); return c },
		"redirect": func() net.Conn { return g.redirected(t, addr.String()+":25") },
	} {
		c := open()
		banner := make([]byte, len("220 ready\r\n"))
		if _, err := io.ReadFull(c, banner); err != nil || string(banner) != "220 ready\r\n" {
			t.Fatalf("%s: banner %q, %v", name, banner, err)
		}
		payload := bytes.Repeat([]byte("x"), 9<<20)
		go func() {
			_, _ = c.Write(payload)
			_ = closeWrite(c)
		}()
		rest, err := io.ReadAll(c)
		if err != nil || string(rest) != fmt.Sprintf("got %d", len(payload)) {
			t.Errorf("%s: %q, %v", name, rest, err)
		}
		r := g.records.next(t, func(q audit.Request) bool { return q.Path == name })
		if r.Up != int64(len(payload)) || r.Down != int64(len(banner)+len(rest)) || r.Error != "" {
			t.Errorf("%s: recorded %+v", name, r)
		}
	}
}

func TestRedirect(t *testing.T) {
	up := hostAPI(t, hello)
	plain := httptest.NewServer(http.HandlerFunc(hello))
	t.Cleanup(plain.Close)
	g := newGateway(t, "example.com\nhttp://plain.example\nplain.example:8080", func(c *Config) {
		to(t, c, "example.com", up.Listener.Addr().String())
		to(t, c, "plain.example", plain.Listener.Addr().String())
	})
	secure := g.address(t, "example.com").String()
	web := g.address(t, "plain.example").String()

	t.Run("TLS", func(t *testing.T) {
		c := tls.Client(g.redirected(t, secure+":443"), &tls.Config{ServerName: "example.com", RootCAs: upstreamRoots(up), MinVersion: tls.VersionTLS12})
		if got := send(t, c, "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"); !strings.Contains(got, "hello from example.com /") {
			t.Errorf("%q", got)
		}
	})
	for _, port := range []string{"80", "8080"} {
		t.Run("HTTP on "+port, func(t *testing.T) {
			got := send(t, g.redirected(t, web+":"+port), "GET /a HTTP/1.1\r\nHost: plain.example\r\n\r\nGET /b HTTP/1.1\r\nHost: plain.example\r\nConnection: close\r\n\r\n")
			if strings.Count(got, "200 OK") != 2 || !strings.Contains(got, " /b") {
				t.Errorf("%q", got)
			}
		})
		t.Run("second request for another host on "+port, func(t *testing.T) {
			got := send(t, g.redirected(t, web+":"+port), "GET /a HTTP/1.1\r\nHost: plain.example\r\n\r\nGET /b HTTP/1.1\r\nHost: evil.example\r\n\r\n")
			if strings.Count(got, "200 OK") != 1 || !strings.Contains(got, "403 Denied by agent-process") {
				t.Errorf("%q", got)
			}
		})
	}
	t.Run("HTTP on a port that is not listed", func(t *testing.T) {
		got := send(t, g.redirected(t, secure+":80"), "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
		if !strings.Contains(got, "403 Denied") || !strings.Contains(got, `"http://example.com"`) {
			t.Errorf("%q", got)
		}
	})
	for name, dst := range map[string]string{
		"raw IPv4": "192.0.2.1:443", "raw IPv6": "[2001:db8::1]:443", "synthetic of nobody": "198.18.255.1:443",
		"loopback": "127.0.0.1:8080", "metadata": "169.254.169.254:80", "port not listed": secure + ":22", "mapped": "[::ffff:192.0.2.7]:53",
	} {
		t.Run(name, func(t *testing.T) {
			g.goingTo <- netip.MustParseAddrPort(dst)
			c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", g.redirect)
			if err == nil { // otherwise the reset came while connecting
				_, err = c.Read(make([]byte, 1))
				_ = c.Close()
			}
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read: %v", err)
			}
			at := netip.MustParseAddrPort(dst)
			r := g.records.next(t, func(q audit.Request) bool {
				return denials(q) && q.Port == at.Port() && (q.Host == at.Addr().Unmap().String() || q.Port == 22)
			})
			if r.Path != "redirect" || r.Reason == "" || r.Address != "" {
				t.Errorf("recorded %+v", r)
			}
		})
	}
	t.Run("other SNI", func(t *testing.T) {
		c := tls.Client(g.redirected(t, secure+":443"), &tls.Config{ServerName: "plain.example", RootCAs: upstreamRoots(up), MinVersion: tls.VersionTLS12})
		err := c.HandshakeContext(t.Context())
		if alert, ok := errors.AsType[tls.AlertError](err); ok && alert != 49 || err == nil {
			t.Errorf("handshake: %v", err)
		}
	})
}

// rebinding answers a public address when it is checked and a private one
// when it would be asked again.
func TestDialledAddressIsTheCheckedOne(t *testing.T) {
	t.Parallel()
	dialled := make(chan string, 16)
	g := newGateway(t, "rebind.example\nsplit.example\nslow.example", func(c *Config) {
		c.Dialer = dialerFunc(func(address string) (net.Conn, error) {
			dialled <- address
			return nil, syscall.ECONNREFUSED
		})
	})
	g.resolver.table["rebind.example"] = []netip.Addr{netip.MustParseAddr("::ffff:93.184.215.14")}
	g.resolver.table["split.example"] = []netip.Addr{
		netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("93.184.215.14"), netip.MustParseAddr("2606:2800::1"), netip.MustParseAddr("::1"),
	}
	for host, want := range map[string][]string{
		"rebind.example": {"93.184.215.14:443"},
		"split.example":  {"[2606:2800::1]:443", "93.184.215.14:443"},
	} {
		_, status, body := g.connect(t, host+":443")
		if status != http.StatusBadGateway || strings.Contains(body, "denied") {
			t.Errorf("%d %s", status, body)
		}
		for _, address := range want {
			if got := <-dialled; got != address {
				t.Errorf("%s: dialled %q, want %q", host, got, address)
			}
		}
	}
	if len(dialled) > 0 {
		t.Errorf("dialled %q as well", <-dialled)
	}
	_, status, body := g.connect(t, "slow.example:443")
	if status != http.StatusBadGateway || !strings.Contains(body, "no such host") {
		t.Errorf("%d %s", status, body)
	}
	r := g.records.next(t, func(q audit.Request) bool { return q.Host == "slow.example" })
	if r.Verdict != audit.Allow || r.Error == "" {
		t.Errorf("recorded %+v", r)
	}
}

func TestSetPolicyCuts(t *testing.T) {
	t.Parallel()
	l := listen(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	g := newGateway(t, "a.example:7\nb.example:7", func(c *Config) {
		to(t, c, "a.example", l.Addr().String())
		to(t, c, "b.example", l.Addr().String())
	})
	a, _, _ := g.connect(t, "a.example:7")
	b, _, _ := g.connect(t, "b.example:7")
	g.SetPolicy(rulesOf(t, "b.example:7"))
	if _, err := a.Read(make([]byte, 1)); err == nil {
		t.Error("the narrowed tunnel goes on")
	}
	echo := make([]byte, 2)
	if _, err := io.WriteString(b, "hi"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(b, echo); err != nil || string(echo) != "hi" {
		t.Errorf("the other tunnel: %q, %v", echo, err)
	}
	if _, status, _ := g.connect(t, "a.example:7"); status != http.StatusForbidden {
		t.Errorf("a new tunnel: %d", status)
	}
	if r := g.records.next(t, func(q audit.Request) bool { return q.Host == "a.example" && q.Error != "" }); r.Error != errNarrowed.Error() {
		t.Errorf("recorded %+v", r)
	}
	g.SetPolicy(nil)
	if _, err := b.Read(make([]byte, 1)); err == nil {
		t.Error("a tunnel outlives the empty policy")
	}
}

func TestIdleTunnelEnds(t *testing.T) {
	t.Parallel()
	l := listen(t)
	g := newGateway(t, "a.example:7", func(c *Config) {
		to(t, c, "a.example", l.Addr().String())
		c.Limits.Tunnel = 50 * time.Millisecond
	})
	c, _, _ := g.connect(t, "a.example:7")
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the idle tunnel goes on")
	}
	if r := g.records.next(t, func(q audit.Request) bool { return q.Error != "" }); r.Error != errIdle.Error() {
		t.Errorf("recorded %+v", r)
	}
}

// More connections than there may be wait; none is lost.
func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	up := httptest.NewServer(http.HandlerFunc(hello))
	t.Cleanup(up.Close)
	g := newGateway(t, "http://plain.example", func(c *Config) {
		to(t, c, "plain.example", up.Listener.Addr().String())
		c.Limits.Connections = 3 // of which each of the two accept loops holds one
	})
	answers := make(chan string, 40)
	for range cap(answers) {
		go func() {
			answers <- send(t, dial(t, g.proxy), "GET http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\nConnection: close\r\n\r\n")
		}()
	}
	for range cap(answers) {
		if got := <-answers; !strings.Contains(got, "200 OK") {
			t.Errorf("%q", got)
		}
	}
}

type dialerFunc func(address string) (net.Conn, error)

func (d dialerFunc) DialContext(_ context.Context, _, address string) (net.Conn, error) {
	return d(address)
}

// Clients may send what goes through the tunnel together with the request for
// it, and the request may be long.
func TestConnectWithBytesAhead(t *testing.T) {
	t.Parallel()
	l := listen(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	g := newGateway(t, "a.example:7", func(c *Config) { to(t, c, "a.example", l.Addr().String()) })
	for _, size := range []int{0, 4000, 4096, 8000, maxHead - 100} {
		for _, ahead := range []int{1, 4096, 100_000} {
			c := dial(t, g.proxy)
			payload := bytes.Repeat([]byte("0123456789"), ahead/10+1)[:ahead]
			go func() {
				_, _ = fmt.Fprintf(c, "CONNECT a.example:7 HTTP/1.1\r\nX: %s\r\n\r\n%s", strings.Repeat("x", size), payload)
				_ = c.CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if want := established + string(payload); err != nil || string(got) != want {
				t.Errorf("%d and %d: %d bytes back, want %d: %v", size, ahead, len(got), len(want), err)
			}
		}
	}
}
