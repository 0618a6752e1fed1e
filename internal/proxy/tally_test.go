package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"agentprocess/internal/audit"
)

const (
	mostBytes = 64_000
	manyBytes = 4 << 20
)

// A tunnel passes no byte more than its rule says, and the next is refused.
func TestBytesOfTunnelsAreBounded(t *testing.T) {
	for _, way := range []string{"max-up", "max-down"} {
		t.Run(way, func(t *testing.T) {
			l := listen(t)
			got := make(chan int64, 1)
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer func() { _ = c.Close() }()
				if way == "max-down" {
					_, _ = io.CopyN(c, zeros{}, manyBytes)
				}
				n, _ := io.Copy(io.Discard, c)
				got <- n
			}()
			g := newGateway(t, fmt.Sprintf("example.com:8443 tcp %s=%d", way, mostBytes), func(c *Config) { to(t, c, "example.com", l.Addr().String()) })
			c, status, body := g.connect(t, "example.com:8443")
			if status != http.StatusOK {
				t.Fatal(status, body)
			}
			var passed int64
			if way == "max-up" {
				_, _ = io.CopyN(c, zeros{}, manyBytes) // it is cut
				passed = <-got
			} else {
				_, _ = c.Write([]byte("\x00\x01"))
				passed, _ = io.Copy(io.Discard, c) // it is cut
			}
			if passed > mostBytes || passed == 0 {
				t.Errorf("%d bytes passed, want some and at most %d", passed, mostBytes)
			}
			r := g.records.next(t, denials)
			if !strings.Contains(r.Reason, "budget is spent of the rule") || !strings.Contains(r.Reason, way) || r.ID == "" {
				t.Errorf("recorded %+v", r)
			}
			if _, status, body := g.connect(t, "example.com:8443"); status != http.StatusForbidden || !strings.Contains(body, "budget is spent") {
				t.Errorf("another tunnel: %d %s", status, body)
			}
		})
	}
}

// The same holds for requests, in both versions of HTTP, all connections of a
// rule together.
func TestBytesOfRequestsAreBounded(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			var arrived atomic.Int64
			up := hostAPI(t, func(w http.ResponseWriter, r *http.Request) {
				n, _ := io.Copy(io.Discard, r.Body)
				arrived.Add(n)
				if r.URL.Path == "/down" {
					_, _ = io.CopyN(w, zeros{}, manyBytes)
				}
			})
			rules := fmt.Sprintf("example.com/up POST max-up=%d\nexample.com/down GET max-down=%d", mostBytes, mostBytes)
			g := newGateway(t, rules, func(c *Config) {
				to(t, c, "example.com", up.Listener.Addr().String())
				c.UpstreamRoots = upstreamRoots(up)
			})
			client := httpClients(t, g)[proto]
			if client == nil {
				t.Fatal("no such client")
			}
			for i := range 2 {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://example.com/up", io.LimitReader(zeros{}, manyBytes))
				if err != nil {
					t.Fatal(err)
				}
				if res, err := client.Do(req); err == nil {
					if res.StatusCode != http.StatusForbidden || res.Header.Get(DeniedHeader) == "" {
						t.Errorf("upload %d: %s", i, res.Status)
					}
					_ = res.Body.Close()
				}
			}
			if n := arrived.Load(); n > mostBytes {
				t.Errorf("%d bytes arrived, want at most %d", n, mostBytes)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com/down", nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if err == nil || n > mostBytes {
				t.Errorf("%d bytes came back, %v, want it cut at %d", n, err, mostBytes)
			}
			g.records.next(t, func(q audit.Request) bool {
				return denials(q) && q.URLPath == "/down" && strings.Contains(q.Reason, "max-down")
			})
			// Where a connection has to be made for it, that is refused already.
			if res, err = client.Do(req.Clone(t.Context())); err == nil {
				defer func() { _ = res.Body.Close() }()
				if res.StatusCode != http.StatusForbidden || res.Header.Get(DeniedHeader) == "" {
					t.Errorf("another download: %s", res.Status)
				}
			} else if !strings.Contains(err.Error(), "Denied by agent-process") {
				t.Errorf("another download: %v", err)
			}
		})
	}
}

// What was HTTP and is a websocket is bounded as before.
func TestBytesOfWebsocketsAreBounded(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(websocketEcho))
	t.Cleanup(up.Close)
	g := newGateway(t, fmt.Sprintf("http://plain.example max-up=%d", mostBytes), func(c *Config) { to(t, c, "plain.example", up.Listener.Addr().String()) })
	c := dial(t, g.proxy)
	if _, err := io.WriteString(c, "GET http://plain.example/ws HTTP/1.1\r\nHost: plain.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_, err := io.CopyN(c, zeros{}, manyBytes) // no line ever ends, so nothing is echoed; it is cut
	discard(err)
	r := g.records.next(t, denials)
	if r.Up > mostBytes || !strings.Contains(r.Reason, "max-up") {
		t.Errorf("recorded %+v", r)
	}
	if got := g.ask(t, "GET http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\nConnection: close\r\n\r\n"); !strings.Contains(got, "budget is spent") {
		t.Errorf("a request after it: %q", got)
	}
}
