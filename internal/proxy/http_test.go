package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"agentprocess/internal/audit"
)

const crlf = "\r\n"

// plainGateway has one listed host that speaks plain HTTP.
func plainGateway(t *testing.T, handler http.HandlerFunc) *gateway {
	t.Helper()
	up := httptest.NewServer(handler)
	t.Cleanup(up.Close)
	return newGateway(t, "http://plain.example\nplain.example:8080\nexample.com", func(c *Config) {
		to(t, c, "plain.example", up.Listener.Addr().String())
	})
}

func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	g := plainGateway(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for _, name := range []string{"Proxy-Authorization", "Proxy-Connection", "X-Hop", "Connection", "Via", "X-Forwarded-For"} {
			if r.Header.Get(name) != "" {
				t.Errorf("%s: %s got through", name, r.Header.Get(name))
			}
		}
		w.Header().Set("X-Up", "yes")
		_, _ = fmt.Fprintf(w, "%s %s %s %d %q", r.Method, r.Host, r.RequestURI, len(body), r.Header.Get("User-Agent"))
	})
	c := g.client(t, nil)
	res, body := get(t, c, "http://plain.example/a//b?x=1;y=2&z=%zz")
	if res.StatusCode != http.StatusOK || body != `GET plain.example /a//b?x=1;y=2&z=%zz 0 "Go-http-client/1.1"` || res.Header.Get("X-Up") != "yes" {
		t.Errorf("%s %s", res.Status, body)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://plain.example/p", struct{ io.Reader }{bytes.NewReader(make([]byte, 5<<20))})
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Expect", "100-continue")
	if _, body = do(t, c, req); !strings.Contains(body, "POST plain.example /p 5242880") {
		t.Errorf("%s", body)
	}
	if _, body = get(t, c, "http://plain.example:8080/"); !strings.Contains(body, "plain.example:8080 /") {
		t.Errorf("%s", body)
	}
	got := g.ask(t, "GET http://plain.example/1 HTTP/1.1\r\nHost: plain.example\r\nConnection: X-Hop\r\nX-Hop: 1\r\nProxy-Authorization: Basic eDp5\r\n\r\n"+
		"HEAD http://plain.example/2 HTTP/1.1\r\nHost: plain.example\r\nProxy-Connection: keep-alive\r\n\r\n"+
		"GET http://plain.example/3 HTTP/1.0\r\n\r\n")
	if strings.Count(got, "200 OK") != 3 || !strings.Contains(got, "/3") || strings.Contains(got, "/2 0") {
		t.Errorf("%q", got)
	}
	r := g.records.next(t, func(q audit.Request) bool { return q.Method == http.MethodPost })
	if r.Up <= 5<<20 || r.Up > 5<<20+1000 || r.Status != 200 || r.Path != "http" || r.URLPath != "/p" || r.Rule != "http://plain.example (test)" || r.Address == "" {
		t.Errorf("recorded %+v", r)
	}
}

func TestPlainHTTPIsRefused(t *testing.T) {
	t.Parallel()
	g := plainGateway(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the host got %s %.80s", r.Method, r.URL) })
	const ok, host = "GET http://plain.example/ HTTP/1.1\r\n", "Host: plain.example\r\n"
	big := strings.Repeat("a", maxHead)
	for _, tt := range []struct{ name, head, want, reason string }{
		{"unlisted", "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", "403", "no rule lists"},
		{"other Host", ok + "Host: evil.example\r\n\r\n", "403", "evil.example"},
		{"Host with another port", ok + "Host: plain.example:8080\r\n\r\n", "403", "port"},
		{"other Host on an unlisted URL", "GET http://evil.example/ HTTP/1.1\r\n" + host + crlf, "403", ""},
		{"two Hosts", ok + host + "Host: evil.example\r\n\r\n", "400", "Host header"},
		{"two Hosts the same", ok + host + host + crlf, "400", "Host header"},
		{"no Host, origin form", "GET / HTTP/1.1\r\n\r\n", "400", "Host header"},
		{"origin form", "GET / HTTP/1.1\r\n" + host + crlf, "400", "proxy"},
		{"asterisk form", "OPTIONS * HTTP/1.1\r\n" + host + crlf, "400", "proxy"},
		{"https URL", "GET https://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", "400", "proxy"},
		{"ftp URL", "GET ftp://plain.example/ HTTP/1.1\r\n" + host + crlf, "400", "proxy"},
		{"plain on 443", "GET http://example.com:443/ HTTP/1.1\r\nHost: example.com:443\r\n\r\n", "403", "plain HTTP"},
		{"address", "GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "403", "IP address"},
		{"address as a number", "GET http://2130706433/ HTTP/1.1\r\nHost: 2130706433\r\n\r\n", "403", "IP address"},
		{"IPv6", "GET http://[::1]/ HTTP/1.1\r\nHost: [::1]\r\n\r\n", "403", "IP address"},
		{"userinfo", "GET http://plain.example@evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", "403", "user name"},
		{"encoded host", "GET http://plain%2eexample/ HTTP/1.1\r\n" + host + crlf, "40", ""},
		{"relayed CONNECT to an unlisted host", "CONNECT evil.example:443 HTTP/1.1\r\n\r\n", "403", "no rule lists"},
		{"CONNECT and another Host", "CONNECT example.com:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n", "403", "different hosts"},
		{"CONNECT with a body", "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nContent-Length: 5\r\n\r\nhello", "400", "ambiguous"},
		{"length and chunked", ok + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", "ambiguous"},
		{"two lengths", ok + host + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "400", "ambiguous"},
		{"length list", ok + host + "Content-Length: 5, 5\r\n\r\n", "400", "ambiguous"},
		{"signed length", ok + host + "Content-Length: +5\r\n\r\n", "400", "ambiguous"},
		{"negative length", ok + host + "Content-Length: -1\r\n\r\n", "400", "ambiguous"},
		{"two codings", ok + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", "400", "ambiguous"},
		{"coding list", ok + host + "Transfer-Encoding: gzip, chunked\r\n\r\n", "400", "ambiguous"},
		{"disguised coding", ok + host + "Transfer-Encoding: xchunked\r\n\r\n", "400", "ambiguous"},
		{"coding in HTTP/1.0", "POST http://plain.example/ HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n", "400", "ambiguous"},
		{"blank before the colon", ok + host + "Content-Length : 5\r\n\r\n", "400", "header line"},
		{"no colon", ok + host + "Content-Length\r\n\r\n", "400", "header line"},
		{"folded", ok + host + "X: a\r\n b\r\n\r\n", "400", "continued"},
		{"bare LF", "GET http://plain.example/ HTTP/1.1\nHost: plain.example\n\n", "400", "CR LF"},
		{"bare LF inside", ok + host + "X: a\nTransfer-Encoding: chunked\r\n\r\n", "400", "CR LF"},
		{"bare CR", ok + host + "X: a\rTransfer-Encoding: chunked\r\n\r\n", "400", "CR LF"},
		{"NUL in a value", ok + host + "X: a\x00b\r\n\r\n", "400", "header line"},
		{"NUL in the host", "GET http://plain.example\x00.evil.example/ HTTP/1.1\r\n" + host + crlf, "400", "line"},
		{"blank in the target", "GET http://plain.example/ HTTP/1.1 HTTP/1.1\r\n" + host + crlf, "400", "request line"},
		{"HTTP/2.0", "GET http://plain.example/ HTTP/2.0\r\n" + host + crlf, "400", "request line"},
		{"HTTP/1.11", "GET http://plain.example/ HTTP/1.11\r\n" + host + crlf, "400", "request line"},
		{"HTTP/0.9", "GET http://plain.example/\r\n\r\n", "400", "request line"},
		{"line before", crlf + ok + host + crlf, "400", "line"},
		{"giant header", ok + host + "X: " + big + "\r\n\r\n", "400", "too large"},
		{"giant target", "GET http://plain.example/" + big + " HTTP/1.1\r\n" + host + crlf, "400", "too large"},
		{"many headers", ok + host + strings.Repeat("X: a\r\n", 300) + crlf, "400", "too large"},
		{"TLS to the proxy", string(clientHello(t, "plain.example")), "400", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, g.proxy)
			go func() { _, _ = io.WriteString(c, tt.head+ok+host+crlf); _ = c.CloseWrite() }() // a second request, which must not be served either
			data, err := io.ReadAll(c)
			if len(data) == 0 {
				t.Fatalf("no answer: %v", err)
			}
			got := string(data)
			if !strings.HasPrefix(got, "HTTP/1.1 "+tt.want) || strings.Count(got, "HTTP/1.1 ") != 1 || !strings.Contains(got, tt.reason) {
				t.Errorf("answered %.300q", got)
			}
			if !strings.Contains(got, DeniedHeader+": net-") {
				t.Errorf("no id in %.300q", got)
			}
		})
	}
}

func TestSlowHead(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "", func(c *Config) { c.Limits.Header = 50 * time.Millisecond })
	if got := g.ask(t, "GET http://plain.example/ HTTP/1.1\r\nHo"); !strings.HasPrefix(got, "HTTP/1.1 408") {
		t.Errorf("%q", got)
	}
	g = newGateway(t, "", func(c *Config) { c.Limits.KeepAlive = 50 * time.Millisecond })
	if got := g.ask(t, ""); got != "" {
		t.Errorf("%q", got)
	}
	if all := g.records.all(); len(all) != 0 {
		t.Errorf("recorded %+v", all)
	}
}

// A body that ends early must not look whole.
func TestBrokenResponse(t *testing.T) {
	t.Parallel()
	g := plainGateway(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", "100")
		}
		_, _ = io.WriteString(w, "some")
		_ = http.NewResponseController(w).Flush()
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	})
	for _, path := range []string{"/length", "/chunked"} {
		got := g.ask(t, "GET http://plain.example"+path+" HTTP/1.1\r\nHost: plain.example\r\n\r\n")
		if !strings.Contains(got, "some") || strings.HasSuffix(got, "0\r\n\r\n") {
			t.Errorf("%s: %q", path, got)
		}
		r := g.records.next(t, func(q audit.Request) bool { return q.URLPath == path })
		if r.Error == "" || r.Status != 200 || r.Down != 4 {
			t.Errorf("recorded %+v", r)
		}
	}
}

// A client that goes away takes its request with it.
func TestClientGone(t *testing.T) {
	t.Parallel()
	arrived, cancelled := make(chan struct{}), make(chan struct{})
	g := plainGateway(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
		close(cancelled)
	})
	c := dial(t, g.proxy)
	if _, err := io.WriteString(c, "POST http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\nContent-Length: 2\r\n\r\nhi"); err != nil {
		t.Fatal(err)
	}
	<-arrived
	_ = c.Close()
	select {
	case <-cancelled:
	case <-time.After(patience):
		t.Error("the request goes on")
	}
}

// An answer before the body is read ends the connection, not the proxy.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	g := plainGateway(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusTeapot)
	})
	c := dial(t, g.proxy)
	if _, err := io.WriteString(c, "POST http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(data), "HTTP/1.1 418") || strings.Contains(string(data), "100 Continue") {
		t.Errorf("%q, %v", data, err)
	}
}

// websocketEcho answers an upgrade and echoes what follows.
func websocketEcho(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		_, _ = io.WriteString(w, "no upgrade: "+r.Header.Get("Upgrade"))
		return
	}
	conn, brw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	line, err := brw.ReadString('\n')
	if err == nil {
		_, _ = io.WriteString(conn, "echo "+line)
	}
}

func upgradeOver(t *testing.T, c net.Conn, target, host string) {
	t.Helper()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi\n", target, host); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if line, err := br.ReadString('\n'); res.StatusCode != http.StatusSwitchingProtocols || line != "echo hi\n" {
		t.Errorf("%s %q %v", res.Status, line, err)
	}
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	g := plainGateway(t, websocketEcho)
	upgradeOver(t, dial(t, g.proxy), "http://plain.example/ws", "plain.example")
	r := g.records.next(t, func(q audit.Request) bool { return q.URLPath == "/ws" })
	if r.Status != 101 || r.Up <= 3 || r.Up > 1000 || r.Down < 8 {
		t.Errorf("recorded %+v", r)
	}
	tunnel, _, _ := g.connect(t, "plain.example:80")
	upgradeOver(t, tunnel, "/ws2", "plain.example")
	got := g.ask(t, "GET http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\nGET http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\nConnection: close\r\n\r\n")
	if strings.Count(got, "no upgrade: ") != 2 || strings.Contains(got, "h2c") {
		t.Errorf("%q", got)
	}
}

func FuzzParseHead(f *testing.F) {
	for _, s := range []string{
		"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\r\n b: c\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		end, err := headEnd(data, 0)
		if err != nil || end == 0 {
			return
		}
		got, err := parseHead(data[:end])
		if err != nil {
			return
		}
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return
		}
		if req.Method != got.method || req.RequestURI != got.target || len(req.TransferEncoding) != got.codings {
			t.Errorf("%q: read as %+v and as %+v", data[:end], got, req)
		}
		if got.lengths == 1 && got.codings == 0 && fmt.Sprint(req.ContentLength) != strings.TrimLeft(got.length, "0") && strings.Trim(got.length, "0") != "" {
			t.Errorf("%q: length %q and %d", data[:end], got.length, req.ContentLength)
		}
		for at := 1; at < end; at++ {
			if n, err := headEnd(data[:at], 0); n != 0 || err != nil {
				t.Fatalf("%q: prefix %d gives %d, %v", data, at, n, err)
			}
		}
	})
}
