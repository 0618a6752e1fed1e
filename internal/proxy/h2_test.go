package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2Attacker speaks HTTP/2 to an opened host, frame by frame.
type h2Attacker struct {
	*http2.Framer
	conn net.Conn
	buf  bytes.Buffer
	enc  *hpack.Encoder
}

func attackH2(t *testing.T, g *gateway) *h2Attacker {
	t.Helper()
	tunnel, status, body := g.connect(t, "example.com:443")
	if status != http.StatusOK {
		t.Fatal(status, body)
	}
	conn := tls.Client(tunnel, &tls.Config{ServerName: "example.com", RootCAs: g.roots(t), NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	a := &h2Attacker{Framer: http2.NewFramer(conn, conn), conn: conn}
	a.AllowIllegalWrites = true
	a.enc = hpack.NewEncoder(&a.buf)
	a.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := a.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return a
}

// block is a header block. Each line is "name value", and stands in the place of
// one that a request needs if that has the same name and comes first.
func (a *h2Attacker) block(lines ...string) []byte {
	a.buf.Reset()
	all := []string{":method GET", ":scheme https", ":path /", ":authority example.com"}
	for _, line := range lines {
		name, _, _ := strings.Cut(line, "!")
		at := slices.IndexFunc(all, func(l string) bool { return strings.HasPrefix(l, name+" ") })
		if instead := strings.Contains(line, "! "); instead && at >= 0 {
			all[at] = strings.Replace(line, "! ", " ", 1)
			continue
		}
		all = append(all, line)
	}
	for _, line := range all {
		name, value, _ := strings.Cut(line, " ")
		_ = a.enc.WriteField(hpack.HeaderField{Name: name, Value: value}) // into memory
	}
	return a.buf.Bytes()
}

// ask sends a request without a body.
func (a *h2Attacker) ask(stream uint32, block []byte) error {
	return a.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndStream: true, EndHeaders: true})
}

// answer reads until a stream is answered or ended, or the connection is.
func (a *h2Attacker) answer(stream uint32) string {
	for {
		f, err := a.ReadFrame()
		if err != nil {
			return "closed"
		}
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			return "gone: " + f.ErrCode.String()
		case *http2.RSTStreamFrame:
			if f.StreamID == stream {
				return "reset: " + f.ErrCode.String()
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID == stream {
				return f.PseudoValue("status")
			}
		case *http2.SettingsFrame:
			if !f.IsAck() && a.WriteSettingsAck() != nil {
				return "closed"
			}
		}
	}
}

// rawHost speaks HTTP/1.1 behind TLS, by hand: what arrives is what was sent.
func rawHost(t *testing.T, got chan<- string) *gateway {
	t.Helper()
	up := hostAPI(t, hello)
	l := tls.NewListener(listen(t), &tls.Config{Certificates: up.TLS.Certificates, MinVersion: tls.VersionTLS12})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(patience))
				var all []byte
				buf := make([]byte, 64<<10)
				for {
					n, err := c.Read(buf)
					all = append(all, buf[:n]...)
					if err != nil {
						return
					}
					if bytes.Contains(all, []byte("\r\n\r\n")) {
						got <- string(all)
						all = nil
						_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					}
				}
			}()
		}
	}()
	return newGateway(t, "example.com GET,POST", func(c *Config) {
		to(t, c, "example.com", l.Addr().String())
		c.UpstreamRoots = upstreamRoots(up)
	})
}

// What comes in HTTP/2 may leave in HTTP/1.1, where other bytes have a meaning:
// no request becomes two, and none another one.
func TestNoSmugglingOutOfHTTP2(t *testing.T) {
	got := make(chan string, 16)
	g := rawHost(t, got)
	for name, lines := range map[string][]string{
		"nothing":                      {"x y"},
		"line break in a value":        {"x a\r\nTransfer-Encoding: chunked"},
		"line feed in a value":         {"x a\n\nGET /smuggled HTTP/1.1"},
		"NUL in a value":               {"x a\x00b"},
		"line break in a name":         {"x:y\r\nz a"},
		"colon in a name":              {"transfer-encoding: chunked"},
		"capitals in a name":           {"Transfer-Encoding chunked"},
		"a coding":                     {"transfer-encoding chunked"},
		"a connection":                 {"connection close, x"},
		"a switch":                     {"upgrade h2c"},
		"trailers it may not have":     {"te gzip"},
		"a second authority":           {":authority evil.example"},
		"another authority":            {":authority! evil.example"},
		"another host":                 {"host evil.example"},
		"a length without a body":      {"content-length 50"},
		"two lengths":                  {"content-length 0", "content-length 50"},
		"a pseudo header of its own":   {":evil yes"},
		"a pseudo header after others": {"x y", ":path /smuggled"},
		"a path with a line break":     {":path! / HTTP/1.1\r\nHost: evil.example\r\n\r\nGET /smuggled"},
		"a path with a blank":          {":path! / HTTP/1.1"},
		"a path without a slash":       {":path! evil"},
		"a whole URL as path":          {":path! http://evil.example/"},
		"a method with a line break":   {":method! GET / HTTP/1.1\r\nX: y\r\n\r\nPOST"},
		"another scheme":               {":scheme! http://evil.example/?"},
	} {
		t.Run(name, func(t *testing.T) {
			a := attackH2(t, g)
			if err := a.ask(1, a.block(lines...)); err != nil {
				t.Fatal(err)
			}
			answer := a.answer(1)
			if name == "nothing" && answer != "200" {
				t.Errorf("a good request: %s", answer)
			}
			select {
			case request := <-got:
				h, err := parseHead([]byte(request))
				if err != nil || h.method != http.MethodGet || h.target != "/" && h.target != "/%20HTTP/1.1" || h.host != "example.com" || h.codings > 0 || strings.Trim(h.length, "0") != "" || strings.Contains(strings.ToLower(request), "upgrade") {
					t.Errorf("answered %s; %q got through: %+v, %v", answer, request, h, err)
				}
			default:
				if answer == "200" {
					t.Error("answered 200, and nothing got through")
				}
			}
		})
	}
}

// Floods of HTTP/2 end the connection they come in, or are bounded, and the
// next client is served.
func TestFloodsOfHTTP2(t *testing.T) {
	var now, most atomic.Int64
	block := make(chan struct{})
	g := openedGateway(t, hostAPI(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/wait" {
			hello(w, r)
			return
		}
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		select {
		case <-block:
		case <-r.Context().Done():
		}
	}))
	p := &peak{}
	p.look()
	before := p.most.Load()
	for _, tt := range []struct {
		name string
		// cut is set where the connection cannot outlive it.
		cut   bool
		frame func(a *h2Attacker, n uint32) error
		times uint32
	}{
		{"a head without an end", true, func(a *h2Attacker, n uint32) error {
			if n == 0 {
				return a.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.block()})
			}
			return a.WriteContinuation(1, false, a.block("x " + strings.Repeat("y", 8000))[20:])
		}, 10_000},
		{"settings", false, func(a *h2Attacker, _ uint32) error {
			return a.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
		}, 30_000},
		{"pings", false, func(a *h2Attacker, _ uint32) error { return a.WritePing(false, [8]byte{}) }, 30_000},
		{"streams given up", false, func(a *h2Attacker, n uint32) error {
			return errors.Join(a.ask(2*n+1, a.block(":path! /wait")), a.WriteRSTStream(2*n+1, http2.ErrCodeCancel))
		}, 3000},
		{"streams kept", false, func(a *h2Attacker, n uint32) error { return a.ask(2*n+1, a.block(":path! /wait")) }, 1000},
		{"bodies beyond the window", false, func(a *h2Attacker, n uint32) error {
			if n == 0 {
				return a.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.block(":path! /wait", ":method! POST"), EndHeaders: true})
			}
			return a.WriteData(1, false, make([]byte, 16<<10))
		}, 10_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := attackH2(t, g)
			read := make(chan struct{})
			go func() { // what is not read would end the flood by itself
				defer close(read)
				_, err := io.Copy(io.Discard, a.conn)
				discard(err)
			}()
			var err error
			for n := uint32(0); n < tt.times && err == nil; n++ {
				if err = tt.frame(a, n); n%1000 == 999 {
					p.look()
				}
			}
			if tt.cut && err == nil {
				t.Errorf("%d frames were taken", tt.times)
			}
			if res, body := get(t, g.client(t, g.roots(t)), "https://example.com/"); res.StatusCode != http.StatusOK || !strings.Contains(body, "hello") {
				t.Errorf("the next client: %s %s", res.Status, body)
			}
			_ = a.conn.Close()
			<-read
			until(t, func() bool { return now.Load() == 0 })
		})
	}
	// 250 of a connection, and those that are about to learn that they were given up.
	if n := most.Load(); n == 0 || n > 350 {
		t.Errorf("%d requests of one connection were at the host at once", n)
	}
	if grown := p.most.Load() - before; grown > mostHeap {
		t.Errorf("the floods took %d MiB of memory", grown>>20)
	}
	until(t, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.live) == 0
	})
}
