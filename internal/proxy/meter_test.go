package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"agentprocess/internal/audit"
)

// A budget of bytes is for all tunnels of its rule together: the host never gets
// a byte more, and a new connection is refused when it is spent.
func TestATunnelSpendsBytes(t *testing.T) {
	l := listen(t)
	var arrived atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { n, _ := io.Copy(io.Discard, c); arrived.Add(n); discard(c.Close()) }()
		}
	}()
	g := newGateway(t, "a.example:7 max-up=100KB", func(c *Config) { to(t, c, "a.example", l.Addr().String()) })
	var conns []io.Writer
	for range 4 {
		conn, status, _ := g.connect(t, "a.example:7")
		if status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
		conns = append(conns, conn)
	}
	var clients sync.WaitGroup
	for _, conn := range conns {
		clients.Go(func() {
			for range 40 {
				if _, err := conn.Write(make([]byte, 8<<10)); err != nil {
					return
				}
			}
		})
	}
	g.records.next(t, func(q audit.Request) bool {
		return q.Verdict == audit.Deny && strings.Contains(q.Reason, "budget is spent of the rule a.example:7 max-up=100KB")
	})
	clients.Wait()
	if _, status, body := g.connect(t, "a.example:7"); status != http.StatusForbidden {
		t.Errorf("a connection after it: %d %s", status, body)
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	if n := arrived.Load(); n > 100<<10 {
		t.Errorf("%d bytes arrived", n)
	}
}

func TestATunnelSpendsBytesDown(t *testing.T) {
	l := listen(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, strings.NewReader(strings.Repeat("x", 1<<20))); discard(c.Close()) }()
		}
	}()
	g := newGateway(t, "a.example:7 max-down=100KB", func(c *Config) { to(t, c, "a.example", l.Addr().String()) })
	conn, _, _ := g.connect(t, "a.example:7")
	n, err := io.Copy(io.Discard, conn)
	if n > 100<<10 || n == 0 {
		t.Errorf("%d bytes came, %v", n, err)
	}
	g.records.next(t, denials)
}

// In requests heads and bodies are spent alike, plain and in opened TLS.
func TestRequestsSpendBytes(t *testing.T) {
	for name, tt := range map[string]struct{ rule, send, path string }{
		"a body":        {"example.com POST max-up=64KB", strings.Repeat("x", 1<<20), "/"},
		"a long query":  {"example.com POST max-up=2KB", "x", "/?" + strings.Repeat("q", 4<<10)},
		"what comes":    {"example.com POST max-down=64KB", "x", "/"},
		"an empty body": {"example.com POST max-up=100", "", "/" + strings.Repeat("p", 200)},
	} {
		t.Run(name, func(t *testing.T) {
			var arrived atomic.Int64
			up := hostAPI(t, func(w http.ResponseWriter, r *http.Request) {
				n, _ := io.Copy(io.Discard, r.Body)
				arrived.Add(n)
				_, _ = io.WriteString(w, strings.Repeat("y", 1<<20))
			})
			g := newGateway(t, tt.rule, func(c *Config) {
				to(t, c, "example.com", up.Listener.Addr().String())
				c.UpstreamRoots = upstreamRoots(up)
			})
			c := g.client(t, g.roots(t))
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://example.com"+tt.path, strings.NewReader(tt.send))
			if err != nil {
				t.Fatal(err)
			}
			if res, err := c.Do(req); err == nil {
				n, err := io.Copy(io.Discard, res.Body)
				if res.StatusCode == http.StatusOK && (err == nil || n > 64<<10) {
					t.Errorf("%s, %d bytes, %v", res.Status, n, err)
				}
				discard(res.Body.Close())
			}
			g.records.next(t, func(q audit.Request) bool {
				return q.Verdict == audit.Deny || strings.Contains(q.Error, "budget is spent")
			})
			if n := arrived.Load(); n > 64<<10 {
				t.Errorf("%d bytes arrived", n)
			}
		})
	}
}

// What a request switches to is counted as well.
func TestASwitchSpendsBytes(t *testing.T) {
	near, far := net.Pipe()
	defer func() { discard(near.Close()); discard(far.Close()) }()
	m := (&uses{}).meter(rulesOf(t, "a.example max-up=10 max-down=10").Rules()[0])
	s := &meteredSwitch{ReadWriteCloser: near, meter: m}
	go func() { _, _ = io.CopyN(io.Discard, far, 10); _, _ = io.WriteString(far, "0123456789ab") }()
	if _, err := io.WriteString(s, "0123456789"); err != nil {
		t.Fatal(err)
	}
	if n, err := io.WriteString(s, "x"); err == nil || n != 0 {
		t.Errorf("an eleventh byte left: %d, %v", n, err)
	}
	if n, err := s.Read(make([]byte, 100)); err == nil || n != 0 {
		t.Errorf("twelve bytes came: %d, %v", n, err)
	}
	if !m.empty() {
		t.Error("it is not empty")
	}
}

// Many at once never spend more than there is.
func TestSpendingAtOnce(t *testing.T) {
	m := (&uses{}).meter(rulesOf(t, "a.example max-up=1000").Rules()[0])
	var spent atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 1000 {
				if n := int64(i%3 + 1); m.sent(n) == nil {
					spent.Add(n)
				}
			}
		})
	}
	wg.Wait()
	if n := spent.Load(); n > 1000 || n < 998 {
		t.Errorf("%d were spent", n)
	}
	if fmt.Sprint(m.sent(1)) == "<nil>" {
		t.Error("one more is spent")
	}
}
