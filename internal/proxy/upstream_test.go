package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/scripted"
)

// corporate is the proxy of a network: it resolves names itself, and wants to
// be asked with a name and a password.
type corporate struct {
	hosts map[string]string // name:port to the address of a test server
	user  string
	roots *scripted.Authority

	mu    sync.Mutex
	asked []string // "CONNECT host:port", "GET url", "SOCKS host:port"
}

const (
	corpUser     = "ada"
	corpPassword = "correct:horse@battery"
)

func (c *corporate) note(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, what)
}

func (c *corporate) all() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.asked, ", ")
}

// start listens and gives the URL by which a person names the proxy.
func (c *corporate) start(tb testing.TB, scheme string) string {
	tb.Helper()
	l := listen(tb)
	serve := c.http
	switch scheme {
	case "https":
		cert, err := c.roots.Certificate("proxy.corp")
		if err != nil {
			tb.Fatal(err)
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	case "socks5":
		serve = c.socks
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
				defer func() { _ = conn.Close() }()
				serve(conn)
			})
		}
	})
	tb.Cleanup(func() { cancel(); _ = l.Close(); wg.Wait() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	return fmt.Sprintf("%s://%s:correct%%3Ahorse%%40battery@proxy.corp:%s", scheme, c.user, port)
}

func (c *corporate) http(conn net.Conn) {
	br := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		want := "Basic " + base64.StdEncoding.EncodeToString([]byte(corpUser+":"+corpPassword))
		if req.Header.Get("Proxy-Authorization") != want {
			_, _ = io.WriteString(conn, "HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm=corp\r\nContent-Length: 0\r\n\r\n")
			continue
		}
		if req.Method == http.MethodConnect {
			c.note("CONNECT " + req.Host)
			c.tunnel(conn, br, req.Host, "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
			return
		}
		c.note(req.Method + " " + req.URL.String())
		req.RequestURI = ""
		req.Header.Del("Proxy-Authorization")
		req.URL.Host = c.hosts[req.URL.Hostname()+":80"]
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			return
		}
		_ = res.Write(conn)
		_ = res.Body.Close()
	}
}

func (c *corporate) tunnel(conn net.Conn, br *bufio.Reader, host, yes, no string) {
	to, err := net.Dial("tcp", c.hosts[host]) //nolint:noctx // ends with the test's server
	if err != nil {
		_, _ = io.WriteString(conn, no)
		return
	}
	defer func() { _ = to.Close() }()
	_, _ = io.WriteString(conn, yes)
	go func() {
		_, _ = io.Copy(to, br)
		if half, ok := to.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
	}()
	_, _ = io.Copy(conn, to)
}

// socks serves RFC 1928 with the names and passwords of RFC 1929.
func (c *corporate) socks(conn net.Conn) {
	br := bufio.NewReader(conn)
	take := func(n int) string {
		b := make([]byte, n)
		if _, err := io.ReadFull(br, b); err != nil {
			return ""
		}
		return string(b)
	}
	counted := func() string {
		n, err := br.ReadByte()
		if err != nil {
			return ""
		}
		return take(int(n))
	}
	take(1)
	if !strings.Contains(counted(), "\x02") {
		_, _ = conn.Write([]byte{5, 0xff})
		return
	}
	_, _ = conn.Write([]byte{5, 2})
	take(1)
	if counted() != corpUser || counted() != corpPassword {
		_, _ = conn.Write([]byte{1, 1})
		return
	}
	_, _ = conn.Write([]byte{1, 0})
	if take(4) != "\x05\x01\x00\x03" { // connect, to a name
		_, _ = conn.Write([]byte{5, 8, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	name := counted()
	port := take(2)
	if port == "" {
		return
	}
	host := fmt.Sprintf("%s:%d", name, binary.BigEndian.Uint16([]byte(port)))
	c.note("SOCKS " + host)
	c.tunnel(conn, br, host, "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00")
}

// corpNet is a network that can only be left through its proxy.
type corpNet struct {
	*gateway
	corp          *corporate
	secure, plain *httptest.Server
}

func newCorpNet(t *testing.T, scheme, user string, edit func(*Config)) corpNet {
	t.Helper()
	n := corpNet{secure: hostAPI(t, hello), plain: httptest.NewServer(http.HandlerFunc(hello))}
	t.Cleanup(n.plain.Close)
	authority, err := scripted.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	n.corp = &corporate{user: user, roots: authority, hosts: map[string]string{
		"example.com:443": n.secure.Listener.Addr().String(), "judged.example.com:443": n.secure.Listener.Addr().String(),
		"plain.example.com:80": n.plain.Listener.Addr().String(),
	}}
	text := n.corp.start(t, scheme)
	up, err := NewUpstream(UpstreamConfig{HTTP: text, HTTPS: text, No: "direct.example.com, .intern.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	n.gateway = newGateway(t, "example.com\n*.example.com\njudged.example.com GET\nhttp://plain.example.com", func(c *Config) {
		c.Upstream, c.UpstreamRoots = up, upstreamRoots(n.secure)
		c.UpstreamRoots.AppendCertsFromPEM(authority.PEM())
		if edit != nil {
			edit(c)
		}
	})
	n.resolver.set("proxy.corp", "127.0.0.1")
	return n
}

func (h *hostResolver) set(name, address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.table[name] = []netip.Addr{netip.MustParseAddr(address)}
}

// Listed names go through the network's proxy by name, whichever way it
// speaks; nothing else does, and nobody hears what it is asked with.
func TestUpstreamProxies(t *testing.T) {
	for _, scheme := range []string{"http", "https", "socks5"} {
		t.Run(scheme, func(t *testing.T) {
			n := newCorpNet(t, scheme, corpUser, nil)
			pool := upstreamRoots(n.secure)
			pool.AppendCertsFromPEM(n.CAPEM())
			client := n.client(t, pool)
			for _, target := range []string{"https://example.com/a", "https://judged.example.com/b", "http://plain.example.com/c?d"} {
				if r, body := get(t, client, target); r.StatusCode != http.StatusOK || !strings.HasPrefix(body, "hello from") {
					t.Errorf("%s: %s %q", target, r.Status, body)
				}
			}
			want := "CONNECT example.com:443, CONNECT judged.example.com:443, GET http://plain.example.com/c?d"
			if scheme == "socks5" {
				want = "SOCKS example.com:443, SOCKS judged.example.com:443, SOCKS plain.example.com:80"
			}
			if got := n.corp.all(); got != want {
				t.Errorf("the proxy was asked for %q, want %q", got, want)
			}
			n.hostile(t, want)
			if err := n.stop(); err != nil {
				t.Error(err)
			}
			n.silent(t)
		})
	}
}

// hostile tries what must not reach the proxy.
func (n corpNet) hostile(t *testing.T, want string) {
	t.Helper()
	proxyAt := n.cfg.Upstream.other.host
	n.resolver.set("inside.example.com", "10.0.0.7")
	n.resolver.set("meta.example.com", "169.254.169.254")
	for _, authority := range []string{
		"evil.test:443", "192.0.2.7:443", "[::1]:443", "inside.example.com:443", "meta.example.com:443", proxyAt + ":443", "example.com:22",
	} {
		if _, status, body := n.connect(t, authority); status != http.StatusForbidden || !strings.Contains(body, "denied") {
			t.Errorf("CONNECT %s: %d %q, want it denied", authority, status, body)
		}
	}
	// A name that NO_PROXY exempts is dialled directly, under the guard as ever.
	n.resolver.set("direct.example.com", "10.0.0.8")
	for _, authority := range []string{"direct.example.com:443", "a.intern.example.com:443"} {
		if _, status, _ := n.connect(t, authority); status == http.StatusOK {
			t.Errorf("CONNECT %s went through", authority)
		}
	}
	if got := n.corp.all(); got != want {
		t.Errorf("the proxy was asked for %q besides", strings.TrimPrefix(got, want))
	}
}

// silent looks for the credential in what was recorded.
func (n corpNet) silent(t *testing.T) {
	t.Helper()
	for _, q := range n.records.all() {
		text := fmt.Sprintf("%+v %v %+v", q, n.cfg.Upstream.Names(), n.cfg.Upstream.other)
		for _, form := range []string{"correct", "horse", base64.StdEncoding.EncodeToString([]byte(corpUser + ":"))[:4]} {
			if strings.Contains(text, form) {
				t.Errorf("%q is said in %s", form, text)
			}
		}
	}
}

// A proxy that refuses is told as a failure of the network, not as a denial,
// and its challenge stays outside.
func TestUpstreamProxyRefuses(t *testing.T) {
	for _, scheme := range []string{"http", "https", "socks5"} {
		t.Run(scheme, func(t *testing.T) {
			n := newCorpNet(t, scheme, "mallory", nil)
			_, status, body := n.connect(t, "example.com:443")
			if status != http.StatusBadGateway || !strings.Contains(body, "proxy of the host's network") || strings.Contains(body, "denied") {
				t.Errorf("CONNECT: %d %q, want the proxy's refusal", status, body)
			}
			r, body := get(t, n.client(t, nil), "http://plain.example.com/")
			if r.StatusCode != http.StatusBadGateway || r.Header.Get("Proxy-Authenticate") != "" || !strings.Contains(body, "proxy of the host's network") {
				t.Errorf("GET: %s %v %q, want the proxy's refusal", r.Status, r.Header, body)
			}
			n.records.next(t, func(q audit.Request) bool {
				return q.Verdict == audit.Allow && q.Host == "plain.example.com" && q.Error != ""
			})
			n.silent(t)
		})
	}
}

// A proxy over TLS must be who its URL says, and one that is away is not gone
// around.
func TestUpstreamProxyIsVerified(t *testing.T) {
	other, err := scripted.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	n := newCorpNet(t, "https", corpUser, nil)
	bad := &corporate{user: corpUser, roots: other, hosts: n.corp.hosts}
	for name, text := range map[string]string{"another authority": bad.start(t, "https"), "away": "http://proxy.corp:1", "unknown": "http://nowhere.corp:3128"} {
		up, err := NewUpstream(UpstreamConfig{HTTP: text, HTTPS: text})
		if err != nil {
			t.Fatal(err)
		}
		g := newGateway(t, "example.com", func(c *Config) { c.Upstream, c.UpstreamRoots = up, upstreamRoots(n.secure) })
		g.resolver.set("proxy.corp", "127.0.0.1")
		g.resolver.set("example.com", "93.184.216.34")
		if _, status, body := g.connect(t, "example.com:443"); status != http.StatusBadGateway || !strings.Contains(body, "proxy of the host's network") {
			t.Errorf("%s: %d %q, want a failure of the proxy", name, status, body)
		}
		if bad.all() != "" {
			t.Errorf("%s: it was asked %q", name, bad.all())
		}
	}
}

func FuzzNewUpstream(f *testing.F) {
	for _, seed := range []string{"", "proxy:3128", "http://u:p@h:1", "socks5h://[::1]:1080", "https://%zz", "ftp://x", "http://u@h/path?q#f", "://", "http://a:b:c@d@e:5"} {
		f.Add(seed, "localhost,10.0.0.0/8,.corp,*")
	}
	f.Fuzz(func(t *testing.T, text, no string) {
		up, err := NewUpstream(UpstreamConfig{HTTPS: text, No: no})
		if err != nil {
			if !errors.Is(err, ErrUpstream) || err.Error() != "the proxy for TLS and the rest: "+ErrUpstream.Error() {
				t.Errorf("NewUpstream(%q) = %v, which may say the text", text, err)
			}
			return
		}
		for _, name := range up.Names() {
			again, err := NewUpstream(UpstreamConfig{HTTPS: name})
			if err != nil || again.Names()[0] != name {
				t.Errorf("NewUpstream(%q) = %v, %v: it does not read its own name", name, again.Names(), err)
			}
		}
	})
}
