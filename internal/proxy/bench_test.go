package proxy

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Each benchmark does the same thing directly and through the gateway, so that
// the ratio is of one run on one machine.

// echoServer answers one byte for one byte, or sends zeros when asked for 'z'.
func echoServer(b *testing.B, bulk int64) net.Listener {
	b.Helper()
	l := listen(b)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				buf := make([]byte, 1)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					if buf[0] == 'z' {
						if _, err := io.CopyN(c, zeros{}, bulk); err != nil {
							return
						}
						continue
					}
					if _, err := c.Write(buf); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l
}

func roundTrip(b *testing.B, c net.Conn) {
	b.Helper()
	var buf [1]byte
	if _, err := c.Write([]byte("x")); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(c, buf[:]); err != nil {
		b.Fatal(err)
	}
}

func rawGateway(b *testing.B, l net.Listener) *gateway {
	b.Helper()
	return newGateway(b, "raw.example:7", func(c *Config) { to(b, c, "raw.example", l.Addr().String()); c.Record = nil })
}

func BenchmarkConnect(b *testing.B) {
	l := echoServer(b, 0)
	g := rawGateway(b, l)
	bench := func(open func() net.Conn) func(b *testing.B) {
		return func(b *testing.B) {
			b.Helper()
			b.ReportAllocs()
			for b.Loop() {
				c := open()
				roundTrip(b, c)
				_ = c.Close()
			}
		}
	}
	b.Run("direct", bench(func() net.Conn { return dial(b, l.Addr().String()) }))
	b.Run("gateway", bench(func() net.Conn { c, _, _ := g.connect(b, "raw.example:7"); return c }))
}

func BenchmarkTunnelRoundTrip(b *testing.B) {
	l := echoServer(b, 0)
	g := rawGateway(b, l)
	tunnel, _, _ := g.connect(b, "raw.example:7")
	for name, c := range map[string]net.Conn{"direct": dial(b, l.Addr().String()), "gateway": tunnel} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				roundTrip(b, c)
			}
		})
	}
}

func BenchmarkTunnelBulk(b *testing.B) {
	const bulk = 64 << 20
	l := echoServer(b, bulk)
	g := rawGateway(b, l)
	tunnel, _, _ := g.connect(b, "raw.example:7")
	for name, c := range map[string]net.Conn{"direct": dial(b, l.Addr().String()), "gateway": tunnel} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(bulk)
			buf := make([]byte, 256<<10)
			for b.Loop() {
				if _, err := c.Write([]byte("z")); err != nil {
					b.Fatal(err)
				}
				for left := bulk; left > 0; {
					n, err := c.Read(buf[:min(left, len(buf))])
					if err != nil {
						b.Fatal(err)
					}
					left -= n
				}
			}
		})
	}
}

func benchRequests(c *http.Client, target string) func(*testing.B) {
	return func(b *testing.B) {
		b.Helper()
		b.ReportAllocs()
		for b.Loop() {
			if res, body := get(b, c, target); res.StatusCode != http.StatusOK || len(body) == 0 {
				b.Fatal(res.Status)
			}
		}
	}
}

func BenchmarkPlainHTTP(b *testing.B) {
	up := httptest.NewServer(http.HandlerFunc(hello))
	b.Cleanup(up.Close)
	g := newGateway(b, "http://plain.example", func(c *Config) { to(b, c, "plain.example", up.Listener.Addr().String()); c.Record = nil })
	b.Run("direct", benchRequests(up.Client(), up.URL+"/"))
	b.Run("gateway", benchRequests(g.client(b, nil), "http://plain.example/"))
}

func BenchmarkOpenedTLS(b *testing.B) {
	up := hostAPI(b, hello)
	g := openedGateway(b, up)
	for proto, h2 := range map[string]bool{"HTTP1": false, "HTTP2": true} {
		direct := &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: upstreamRoots(up), ServerName: "example.com", MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: h2,
		}
		b.Cleanup(direct.CloseIdleConnections)
		b.Run(proto+"/direct", benchRequests(&http.Client{Transport: direct}, "https://"+up.Listener.Addr().String()+"/"))
		through := g.client(b, g.roots(b))
		if tr, ok := through.Transport.(*http.Transport); ok {
			tr.ForceAttemptHTTP2 = h2
		}
		b.Run(proto+"/gateway", benchRequests(through, "https://example.com/"))
	}
}
