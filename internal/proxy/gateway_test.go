package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/policy"
	"agentprocess/internal/sandbox"
)

// patience bounds waits that end early when all is well.
const patience = 20 * time.Second

// gateway is a server under test with its sockets on loopback.
type gateway struct {
	*Server
	proxy    string
	redirect string
	dns      string
	dnsTCP   string
	goingTo  chan netip.AddrPort // what OriginalDst answers next
	records  *recordings
	resolver *hostResolver
	stop     func() error
}

// recordings keeps what was recorded.
type recordings struct {
	mu   sync.Mutex
	list []audit.Request
	more chan struct{}
}

func (r *recordings) add(q audit.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, q)
	select {
	case r.more <- struct{}{}:
	default:
	}
}

func (r *recordings) all() []audit.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]audit.Request(nil), r.list...)
}

// next waits for a record that fits.
func (r *recordings) next(tb testing.TB, fits func(audit.Request) bool) audit.Request {
	tb.Helper()
	deadline := time.After(patience)
	for {
		for _, q := range r.all() {
			if fits(q) {
				return q
			}
		}
		select {
		case <-r.more:
		case <-deadline:
			tb.Fatalf("no such record in %+v", r.all())
		}
	}
}

func denials(q audit.Request) bool { return q.Verdict == audit.Deny }

// hostResolver is the host's resolver: a table, and what it was asked.
type hostResolver struct {
	mu    sync.Mutex
	table map[string][]netip.Addr
	asked []string
}

func (h *hostResolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, host)
	addrs, ok := h.table[strings.TrimSuffix(host, ".")]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return addrs, nil
}

func (h *hostResolver) questions() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.asked...)
}

func rulesOf(tb testing.TB, text string) *policy.Set {
	tb.Helper()
	rules, err := policy.ParseRules("test", text)
	if err != nil {
		tb.Fatal(err)
	}
	return policy.NewSet(rules)
}

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	return l
}

// newGateway starts a server for rules. edit changes its configuration.
func newGateway(tb testing.TB, rules string, edit func(*Config)) *gateway {
	tb.Helper()
	g := &gateway{
		goingTo:  make(chan netip.AddrPort, 64),
		records:  &recordings{more: make(chan struct{}, 1)},
		resolver: &hostResolver{table: map[string][]netip.Addr{}},
	}
	cfg := Config{Policy: rulesOf(tb, rules), Resolver: g.resolver, Resolve: map[string]Target{}, Record: g.records.add}
	if edit != nil {
		edit(&cfg)
	}
	srv, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	g.Server = srv
	udp, err := (&net.ListenConfig{}).ListenPacket(tb.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p, r, d := listen(tb), listen(tb), listen(tb)
	g.proxy, g.redirect, g.dns, g.dnsTCP = p.Addr().String(), r.Addr().String(), udp.LocalAddr().String(), d.Addr().String()
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	served := make(chan error, 1)
	go func() {
		served <- srv.Serve(ctx, sandbox.Sockets{
			Proxy: p, Redirect: []net.Listener{r}, DNS: []net.PacketConn{udp}, DNSTCP: []net.Listener{d},
			OriginalDst: func(net.Conn) (netip.AddrPort, error) { return <-g.goingTo, nil },
		})
	}()
	g.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-served:
			return err
		case <-time.After(patience):
			return errors.New("serve does not end")
		}
	})
	tb.Cleanup(func() {
		if err := g.stop(); err != nil {
			tb.Errorf("serve: %v", err)
		}
	})
	return g
}

// to makes the gateway dial host at the address of a test server.
func to(tb testing.TB, cfg *Config, host, address string) {
	tb.Helper()
	_, target, err := ParseResolve(host + "=" + address)
	if err != nil {
		tb.Fatal(err)
	}
	cfg.Resolve[host] = target
}

func dial(tb testing.TB, address string) *net.TCPConn {
	tb.Helper()
	c, err := (&net.Dialer{}).DialContext(tb.Context(), "tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		tb.Fatal(err)
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		tb.Fatalf("dialled a %T", c)
	}
	return tcp
}

// redirected opens a connection that the client thinks goes to dst.
func (g *gateway) redirected(tb testing.TB, dst string) *net.TCPConn {
	tb.Helper()
	g.goingTo <- netip.MustParseAddrPort(dst)
	return dial(tb, g.redirect)
}

// address is the synthetic address of a listed name.
func (g *gateway) address(tb testing.TB, host string) netip.Addr {
	tb.Helper()
	n, ok := g.names.number(host)
	if !ok {
		tb.Fatalf("no address for %q", host)
	}
	return netip.AddrFrom4(v4Of(n))
}

// send writes text and gives everything that comes back.
func send(tb testing.TB, c net.Conn, text string) string {
	tb.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		tb.Fatal(err)
	}
	data, err := io.ReadAll(c)
	if err != nil && len(data) == 0 {
		return "error: " + err.Error()
	}
	return string(data)
}

// ask sends a raw request to the proxy and gives the raw answer; the
// connection's own end is made with "Connection: close" or by a refusal.
func (g *gateway) ask(tb testing.TB, text string) string {
	tb.Helper()
	return send(tb, dial(tb, g.proxy), text)
}

// connect opens a tunnel and gives it with the answer's status.
func (g *gateway) connect(tb testing.TB, authority string) (net.Conn, int, string) {
	tb.Helper()
	c := dial(tb, g.proxy)
	if _, err := fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority); err != nil {
		tb.Fatal(err)
	}
	answer := make([]byte, len(established)) // no more: the rest is the tunnel's
	if _, err := io.ReadFull(c, answer); err != nil {
		tb.Fatal(err)
	}
	if string(answer) == established {
		return c, http.StatusOK, ""
	}
	res, err := http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(answer), c)), nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return c, res.StatusCode, string(body)
}

// client is an HTTP client inside the sandbox, trusting roots.
func (g *gateway) client(tb testing.TB, roots *x509.CertPool) *http.Client {
	tb.Helper()
	proxyURL := &url.URL{Scheme: "http", Host: g.proxy}
	tr := &http.Transport{
		Proxy:              http.ProxyURL(proxyURL),
		TLSClientConfig:    &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:  true,
		DisableCompression: true,
	}
	tb.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

func (g *gateway) roots(tb testing.TB) *x509.CertPool {
	tb.Helper()
	return poolOf(tb, g.CAPEM())
}

func poolOf(tb testing.TB, pem []byte) *x509.CertPool {
	tb.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		tb.Fatal("no CA")
	}
	return pool
}

func upstreamRoots(servers ...*httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, s := range servers {
		pool.AddCert(s.Certificate())
	}
	return pool
}

// hostAPI is a host on the outside; it speaks HTTP/2 as well.
func hostAPI(tb testing.TB, handler http.HandlerFunc) *httptest.Server {
	tb.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	tb.Cleanup(s.Close)
	return s
}

func hello(w http.ResponseWriter, r *http.Request) {
	_, _ = fmt.Fprintf(w, "hello from %s %s", r.Host, r.URL)
}

// reply is a response whose body has been read.
type reply struct {
	Proto, Status string
	ProtoMajor    int
	StatusCode    int
	Header        http.Header
	Trailer       http.Header
}

func get(tb testing.TB, c *http.Client, target string) (reply, string) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, target, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return do(tb, c, req)
}

func do(tb testing.TB, c *http.Client, req *http.Request) (reply, string) {
	tb.Helper()
	res, err := c.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return reply{res.Proto, res.Status, res.ProtoMajor, res.StatusCode, res.Header, res.Trailer}, string(body)
}

// clientHello is what a real client sends first for a server name.
func clientHello(tb testing.TB, name string) []byte {
	tb.Helper()
	ours, theirs := net.Pipe()
	got := make(chan []byte, 1)
	go func() {
		var buf bytes.Buffer
		tmp := make([]byte, 16<<10)
		n, _ := theirs.Read(tmp)
		buf.Write(tmp[:n])
		_ = theirs.Close()
		got <- buf.Bytes()
	}()
	cfg := &tls.Config{ServerName: name, InsecureSkipVerify: name == "", MinVersion: tls.VersionTLS12}
	_ = tls.Client(ours, cfg).HandshakeContext(tb.Context()) // it cannot succeed: only the hello is wanted
	_ = ours.Close()
	return <-got
}
