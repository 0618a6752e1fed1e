package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/sandbox"
)

// Whatever stands in the place of a host, it is that host or nothing is
// dialled.
func TestHostileAuthorities(t *testing.T) {
	t.Parallel()
	var dialled atomic.Int64
	g := newGateway(t, "example.com\nhttp://example.com", func(c *Config) {
		c.Dialer = dialerFunc(func(address string) (net.Conn, error) {
			dialled.Add(1)
			return nil, fmt.Errorf("dialled %s: %w", address, syscall.ECONNREFUSED)
		})
	})
	for name, authority := range map[string]string{
		"user": "user@example.com:443", "user and password": "user:pass@example.com:443",
		"port as password": "example.com:443@192.0.2.1:443", "name as user": "example.com@evil.example:443",
		"fragment": "example.com#@evil.example:443", "query": "example.com?@evil.example:443",
		"slash": "example.com/@evil.example:443", "backslash": `example.com\@evil.example:443`, "backslash alone": `example.com\.evil.example:443`,
		"encoded CR LF": "example.com%0d%0aX:%20y:443", "encoded NUL": "example.com%00.evil.example:443", "encoded dot": "example%2ecom:443",
		"NUL": "example.com\x00.evil.example:443", "NUL at the end": "example.com\x00:443", "tab": "example.com\t:443",
		"CR": "example.com\r:443", "LF": "example.com\n:443", "CR LF": "example.com:443\r\nX: y", "blank": "example.com :443", "delete": "example.com\x7f:443",
		"two ports": "example.com:443:443", "signed port": "example.com:+443", "empty port": "example.com:", "port 0": "example.com:0",
		"large port": "example.com:65979", "port in hexadecimal": "example.com:0x1bb", "port with a blank": "example.com:443 ",
		"full stop of another script": "example。com:443", "letter of another script": "exаmple.com:443", "full width": "ｅxample.com:443",
		"soft hyphen": "exam\u00adple.com:443", "zero width": "example\u200b.com:443", "two dots": "example..com:443", "dot first": ".example.com:443",
		"long label": strings.Repeat("a", 64) + ".example.com:443", "long name": strings.Repeat("a.", 130) + "example.com:443",
		"zone": "[fe80::1%25eth0]:443", "brackets": "[example.com]:443", "half a bracket": "[example.com:443", "empty": ":443",
		"scheme": "https://example.com:443", "asterisk": "*.example.com:443", "asterisk alone": "*:443", "comma": "example.com,evil.example:443", "semicolon": "example.com;evil.example:443",
	} {
		for _, request := range []string{
			"CONNECT " + authority + " HTTP/1.1\r\n\r\n",
			"GET http://" + authority + "/ HTTP/1.1\r\nConnection: close\r\n\r\n",
			"GET http://evil.example/ HTTP/1.1\r\nHost: " + authority + "\r\nConnection: close\r\n\r\n",
		} {
			if strings.HasPrefix(request, "GET http://example.com/") || strings.HasPrefix(request, "GET http://example.com?") {
				continue // the path of a host that is listed
			}
			got := g.ask(t, request)
			res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
			if err != nil || res.StatusCode != http.StatusForbidden && res.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: %q was answered %.200q, %v", name, request, got, err)
				continue
			}
			if id := res.Header.Get(DeniedHeader); id == "" || len(res.Header[DeniedHeader]) != 1 || res.Header.Get("X") != "" {
				t.Errorf("%s: %q was answered %q", name, request, res.Header)
			}
			_ = res.Body.Close()
		}
	}
	if n := dialled.Load(); n > 0 || len(g.resolver.questions()) > 0 {
		t.Errorf("dialled %d times, resolved %q", n, g.resolver.questions())
	}
	for _, r := range g.records.all() {
		if strings.ContainsFunc(r.Host, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Errorf("recorded %q", r.Host)
		}
	}
}

// What a host answers is parsed and written anew: none of it makes a client
// see another response than we do.
func TestHostileResponses(t *testing.T) {
	t.Parallel()
	const second = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"
	for name, tt := range map[string]struct {
		response string
		status   string
		body     string
	}{
		"two lengths":        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 50\r\n\r\nhi" + second, "502", ""},
		"length and chunked": {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" + second, "200", "hi"},
		"disguised coding":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" + second, "502", ""},
		"negative length":    {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhi", "502", ""},
		"bad chunk":          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nhi\r\n", "200", ""},
		"two responses":      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" + second, "200", "hi"},
		"NUL in a header":    {"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\nhi", "502", ""},
		"not HTTP":           {"SSH-2.0-x\r\n\r\n", "502", ""},
		"nothing":            {"", "502", ""},
		"half a head":        {"HTTP/1.1 200 OK\r\nContent-", "502", ""},
		"giant head":         {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n", "502", ""},
		"endless headers":    {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n", 60_000) + "\r\n", "502", ""},
		"a thousand hints":   {strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 1000) + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200", "hi"},
		"speaks for us":      {"HTTP/1.1 403 Denied\r\n" + DeniedHeader + ": net-1\r\nContent-Length: 2\r\n\r\nhi", "403", "hi"},
		"switches unasked":   {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + second, "502", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listen(t)
			go answerEach(l, tt.response)
			g := newGateway(t, "http://plain.example", func(c *Config) { to(t, c, "plain.example", l.Addr().String()) })
			got := g.ask(t, "GET http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\nConnection: close\r\n\r\n")
			for strings.HasPrefix(got, "HTTP/1.1 103") {
				_, got, _ = strings.Cut(got, "\r\n\r\n")
			}
			res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
			if err != nil || !strings.HasPrefix(res.Status, tt.status) {
				t.Fatalf("answered %.300q, %v", got, err)
			}
			defer func() { _ = res.Body.Close() }()
			if body, err := io.ReadAll(res.Body); tt.body != "" && string(body) != tt.body {
				t.Errorf("body %q, %v", body, err)
			}
			if strings.Contains(got, "smuggled") || strings.Count(got, "HTTP/1.1 ") != 1 || res.Header.Get(DeniedHeader) != "" {
				t.Errorf("answered %.300q", got)
			}
		})
	}
}

// answerEach reads one head from every connection and writes response.
func answerEach(l net.Listener, response string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.WriteString(c, response)
			}
			_ = c.Close()
		}()
	}
}

// A head that comes byte by byte has as long as any other.
func TestDrippingHead(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "http://plain.example", func(c *Config) { c.Limits.Header = 100 * time.Millisecond })
	c := dial(t, g.proxy)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for _, b := range []byte("GET http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\nX: " + strings.Repeat("x", 5000)) {
			<-tick.C
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
		}
	}()
	if got, err := io.ReadAll(c); !strings.HasPrefix(string(got), "HTTP/1.1 408") {
		t.Errorf("%q, %v", got, err)
	}
}

// Each connection is resolved and checked anew, whatever was answered before
// and however long that was to hold; what is open stays with what was checked.
func TestRebinding(t *testing.T) {
	t.Parallel()
	l := listen(t)
	go echoEach(l)
	var dialled []string
	var mu sync.Mutex
	g := newGateway(t, "rebind.example:7\nhuge.example:7", func(c *Config) {
		c.Dialer = dialerFunc(func(address string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			dialled = append(dialled, address)
			if !strings.HasPrefix(address, "192.0.2.") && !strings.HasPrefix(address, "93.184.") {
				t.Errorf("dialled %q", address)
			}
			if strings.HasPrefix(address, "93.184.215.14:") {
				return (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
			}
			return nil, syscall.ECONNREFUSED
		})
	})
	answer := func(host string, addrs ...netip.Addr) {
		g.resolver.mu.Lock()
		defer g.resolver.mu.Unlock()
		g.resolver.table[host] = addrs
	}
	answer("rebind.example", netip.MustParseAddr("93.184.215.14"))
	first, status, body := g.connect(t, "rebind.example:7")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	for _, addr := range []string{"127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "0.0.0.0", "100.64.0.1", "fe80::1", "198.18.0.1"} {
		answer("rebind.example", netip.MustParseAddr(addr))
		if _, status, body := g.connect(t, "rebind.example:7"); status != http.StatusForbidden || strings.Contains(body, addr) {
			t.Errorf("%s: %d %s", addr, status, body)
		}
	}
	if _, err := io.WriteString(first, "still"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len("still"))
	if _, err := io.ReadFull(first, got); err != nil || string(got) != "still" {
		t.Errorf("the open tunnel: %q, %v", got, err)
	}
	// An answer of thousands of addresses is tried a few times, not thousands.
	var many []netip.Addr
	for i := range 10_000 {
		many = append(many, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), netip.AddrFrom4([4]byte{93, 184, byte(i >> 8), byte(i)}))
	}
	answer("huge.example", many...)
	mu.Lock()
	dialled = nil
	mu.Unlock()
	if _, status, body := g.connect(t, "huge.example:7"); status != http.StatusBadGateway {
		t.Errorf("%d %s", status, body)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(dialled) != maxCandidates {
		t.Errorf("dialled %d addresses: %q", len(dialled), dialled)
	}
}

// echoEach echoes on every connection.
func echoEach(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
	}
}

// A scan finds nothing: not which ports are open, and nothing is dialled.
func TestPortScan(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "example.com\nexample.com:22", func(c *Config) {
		c.Dialer = dialerFunc(func(address string) (net.Conn, error) {
			t.Errorf("dialled %s", address)
			return nil, syscall.ECONNREFUSED
		})
	})
	host := g.address(t, "example.com")
	for port := uint16(1); port < 1025; port++ {
		if port == 22 || port == 443 {
			continue
		}
		if _, status, body := g.connect(t, fmt.Sprintf("example.com:%d", port)); status != http.StatusForbidden || !strings.Contains(body, "listed for port 22, 443") {
			t.Fatalf("port %d: %d %s", port, status, body)
		}
		if port > 100 || port == 80 {
			continue // on 80 there may be a request to answer
		}
		g.goingTo <- netip.AddrPortFrom(host, port)
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", g.redirect)
		if err != nil {
			continue // the reset came while connecting
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Fatalf("port %d by redirect: answered", port)
		}
		_ = c.Close()
	}
}

// flood opens connections that stay, until one is refused, and gives that
// one's answer.
func flood(t *testing.T, address string, open int) (kept []net.Conn, refused string) {
	t.Helper()
	for range open + 1 {
		c := dial(t, address)
		if _, err := io.WriteString(c, "G"); err != nil { // it is accepted when it says something
			t.Fatal(err)
		}
		kept = append(kept, c)
	}
	data, err := io.ReadAll(kept[open])
	if len(data) == 0 {
		t.Fatalf("the one too many got no answer: %v", err)
	}
	return kept[:open], string(data)
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	const most = 20
	up := httptest.NewServer(http.HandlerFunc(hello))
	t.Cleanup(up.Close)
	budget := NewBudget(most)
	limited := func(connections int) *gateway {
		return newGateway(t, "http://plain.example", func(c *Config) {
			to(t, c, "plain.example", up.Listener.Addr().String())
			c.Limits.Connections, c.Budget = connections, budget
		})
	}
	a, b := limited(0), limited(most/2)
	works := func(g *gateway) bool {
		return strings.Contains(g.ask(t, "GET http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\nConnection: close\r\n\r\n"), "200 OK")
	}
	// One fills its own limit; the other has the rest.
	kept, refused := flood(t, b.proxy, most/2)
	if !strings.HasPrefix(refused, "HTTP/1.1 503") || !strings.Contains(refused, "10 of this sandbox are open") || !strings.Contains(refused, DeniedHeader) {
		t.Errorf("refused with %q", refused)
	}
	if r := b.records.next(t, denials); r.Path != "http" || !strings.Contains(r.Reason, "too many connections") || r.Status != http.StatusServiceUnavailable {
		t.Errorf("recorded %+v", r)
	}
	if !works(a) {
		t.Error("the other gateway does not work")
	}
	// Both fill what they share.
	keptA, refused := flood(t, a.proxy, most/2)
	if !strings.Contains(refused, "20 of all sandboxes of this process are open") {
		t.Errorf("refused with %q", refused)
	}
	// A redirected connection has no place either, and none is waited for now.
	c := a.redirected(t, "192.0.2.1:443")
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a redirected connection too many was answered")
	}
	<-a.goingTo // nobody asked where it was going
	for _, c := range append(kept, keptA...) {
		_ = c.Close()
	}
	until(t, func() bool { return works(a) && works(b) })
}

// until polls for a condition.
func until(t *testing.T, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it never came to hold")
		}
	}
}

// exhausted is a listener that has no descriptor for a while.
type exhausted struct {
	net.Listener
	times atomic.Int64
}

// Accept implements net.Listener.
func (e *exhausted) Accept() (net.Conn, error) {
	if e.times.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return e.Listener.Accept()
}

// When the process has no descriptors left, connections wait, what needs one
// fails with that reason, and everything goes on when there are some again.
func TestNoDescriptors(t *testing.T) {
	t.Parallel()
	up := httptest.NewServer(http.HandlerFunc(hello))
	t.Cleanup(up.Close)
	var exhaustedDials atomic.Int64
	exhaustedDials.Store(2)
	srv, err := New(Config{
		Policy:  rulesOf(t, "http://plain.example\nplain.example:7"),
		Resolve: map[string]Target{"plain.example": {Addr: netip.MustParseAddr("192.0.2.1")}},
		Dialer: dialerFunc(func(string) (net.Conn, error) {
			if exhaustedDials.Add(-1) >= 0 {
				return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}
			}
			return (&net.Dialer{}).DialContext(t.Context(), "tcp", up.Listener.Addr().String())
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	l := &exhausted{Listener: listen(t)}
	l.times.Store(5)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, sandbox.Sockets{Proxy: l}) }()
	g := &gateway{Server: srv, proxy: l.Addr().String()}
	if _, status, body := g.connect(t, "plain.example:7"); status != http.StatusBadGateway || !strings.Contains(body, "too many open files") {
		t.Errorf("CONNECT: %d %s", status, body)
	}
	for _, want := range []string{"502", "200"} {
		got := g.ask(t, "GET http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 "+want) {
			t.Errorf("want %s: %q", want, got)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// Two gateways of one process share nothing but buffers, and those are empty.
func TestGatewaysAreSeparate(t *testing.T) {
	t.Parallel()
	up := hostAPI(t, mirror)
	a := openedGateway(t, up)
	b := newGateway(t, "other.example\nhttp://plain.example", func(c *Config) {
		to(t, c, "example.com", up.Listener.Addr().String())
		to(t, c, "plain.example", up.Listener.Addr().String())
	})
	if a.CAPEM() == nil || b.CAPEM() != nil {
		t.Error("one has a CA because the other has")
	}
	again := openedGateway(t, up)
	if string(again.CAPEM()) == string(a.CAPEM()) {
		t.Error("two gateways have the same CA")
	}
	if _, status, _ := b.connect(t, "example.com:443"); status != http.StatusForbidden {
		t.Errorf("what one lists the other serves: %d", status)
	}
	addr := a.address(t, "example.com")
	if host, ok := b.names.name(addr); ok {
		t.Errorf("the address of one's name is %q to the other", host)
	}
	a.SetPolicy(nil)
	again.SetPolicy(rulesOf(t, "example.com"))
	if res, _ := get(t, again.client(t, again.roots(t)), "https://example.com/"); res.StatusCode != http.StatusOK {
		t.Errorf("narrowing one narrows the other: %s", res.Status)
	}
	// A buffer that held one's bytes shows none of them to the other.
	const secret = "only-for-the-first"
	for range 50 {
		a.ask(t, "GET http://plain.example/"+secret+" HTTP/1.1\r\nHost: plain.example\r\nX: "+strings.Repeat(secret, 100)+"\r\n\r\n")
		if got := b.ask(t, "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"); strings.Contains(got, secret) {
			t.Fatalf("answered %q", got)
		}
	}
	for _, r := range append(b.records.all(), again.records.all()...) {
		if strings.Contains(r.URLPath, secret) {
			t.Errorf("one's request is in the other's record: %+v", r)
		}
	}
}

// What a budget allows leaves descriptors to everything else in the process:
// the hook endpoint and the record, which must work when the gateway is full.
func TestBudgetLeavesDescriptors(t *testing.T) {
	t.Parallel()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	most := cap(NewBudget(0).free)
	if most < 1 || most > 1 && uint64(most*perConnection+reserve) > limit.Cur {
		t.Errorf("%d connections of %d open files", most, limit.Cur)
	}
	g := newGateway(t, "", func(c *Config) { c.Budget = NewBudget(7) })
	if got := cap(g.slots); got != 7 {
		t.Errorf("one gateway takes %d connections of a budget of 7", got)
	}
}

// idleCount is how many tunnels are kept idle; each takes three descriptors of
// this process.
const idleCount = 5000

// Thousands of idle tunnels cost little, hold nobody up, and end with Serve.
func TestIdleTunnels(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if wants := uint64(3*idleCount + 1000); limit.Cur < wants {
		text := fmt.Sprintf("wants %d open files, got %d", wants, limit.Cur)
		if os.Getenv("CI") == "true" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	hosts := []net.Listener{listen(t), listen(t)} // which accept nothing until the end: the kernel does
	g := newGateway(t, "a.example:7\nb.example:7", func(c *Config) {
		to(t, c, "a.example", hosts[0].Addr().String())
		to(t, c, "b.example", hosts[1].Addr().String())
		c.Budget = NewBudget(2 * idleCount)
	})
	before := memory()
	conns := make([]net.Conn, 0, idleCount)
	for i := range idleCount {
		c, status, body := g.connect(t, []string{"a", "b"}[i%2]+".example:7")
		if status != http.StatusOK {
			t.Fatalf("tunnel %d: %d %s", i, status, body)
		}
		conns = append(conns, c)
	}
	const most = 48 << 10 // of both ends, which are this process, under the race detector too
	if each := (memory() - before) / idleCount; each > most {
		t.Errorf("each idle tunnel takes %d bytes, more than %d", each, most)
	}
	go echoEach(hosts[0])
	if _, err := io.WriteString(conns[0], "hi"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 2)
	if _, err := io.ReadFull(conns[0], got); err != nil || string(got) != "hi" {
		t.Errorf("%q, %v", got, err)
	}
	if err := g.stop(); err != nil {
		t.Error(err)
	}
	if n := len(g.records.all()); n != idleCount {
		t.Errorf("%d records of %d tunnels", n, idleCount)
	}
	for _, r := range g.records.all() {
		if r.Verdict != audit.Allow || r.Error != "" {
			t.Fatalf("recorded %+v", r)
		}
	}
}

// memory is what the heap and the stacks take.
func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
