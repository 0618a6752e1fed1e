package proxy

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/policy"
)

const (
	realToken   = "sk-real-5f2c"
	placeholder = "ap-placeholder-1"
)

// openedGateway opens TLS to example.com for up.
func openedGateway(tb testing.TB, up *httptest.Server) *gateway {
	tb.Helper()
	return newGateway(tb, "example.com\nother.example.com", func(c *Config) {
		to(tb, c, "example.com", up.Listener.Addr().String())
		to(tb, c, "other.example.com", up.Listener.Addr().String())
		c.UpstreamRoots = upstreamRoots(up)
		c.Credentials = []Credential{
			{Host: "Example.com.", Header: "authorization", Prefix: "Bearer ", Placeholder: placeholder, Secret: policy.NewSecret(realToken)},
			{Host: "example.com", Header: "x-api-key", Placeholder: placeholder, Secret: policy.NewSecret(realToken)},
		}
	})
}

// mirror answers with what it was sent and leaks the token in its headers.
func mirror(w http.ResponseWriter, r *http.Request) {
	n, _ := io.Copy(io.Discard, r.Body)
	w.Header().Set("X-Reflected", "seen "+r.Header.Get("Authorization")+r.Header.Get("X-Api-Key"))
	w.Header().Set("Trailer", "X-Trailer")
	w.Header().Set("Set-Cookie", "a=b")
	w.Header().Set(DeniedHeader, "net-0")
	_, _ = fmt.Fprintf(w, "%s host=%s auth=%t key=%t n=%d", r.Proto, r.Host, r.Header.Get("Authorization") == "Bearer "+realToken, r.Header.Get("X-Api-Key") == realToken, n)
	w.Header().Set("X-Trailer", "t "+r.Header.Get("Authorization"))
}

// httpClients are clients of both versions of HTTP.
func httpClients(tb testing.TB, g *gateway) map[string]*http.Client {
	tb.Helper()
	one := g.client(tb, g.roots(tb))
	tr, ok := one.Transport.(*http.Transport)
	if !ok {
		tb.Fatal("no transport")
	}
	tr.ForceAttemptHTTP2 = false
	return map[string]*http.Client{"HTTP/1.1": one, "HTTP/2.0": g.client(tb, g.roots(tb))}
}

func TestCredentialIsSwapped(t *testing.T) {
	g := openedGateway(t, hostAPI(t, mirror))
	for proto, c := range httpClients(t, g) {
		for _, tt := range []struct{ header, value, want string }{
			{"Authorization", "Bearer " + placeholder, "auth=true key=false"},
			{"X-Api-Key", placeholder, "auth=false key=true"},
			{"Accept", "text/plain", "auth=false key=false"},
		} {
			t.Run(proto+" "+tt.header, func(t *testing.T) {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://example.com/v1/messages?beta=true", strings.NewReader("hello"))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set(tt.header, tt.value)
				res, body := do(t, c, req)
				if res.Proto != proto || body != proto+" host=example.com "+tt.want+" n=5" {
					t.Errorf("%s %s: %s", res.Proto, res.Status, body)
				}
				if all := fmt.Sprint(res.Header, res.Trailer); strings.Contains(all, realToken) || (tt.header != "Accept" && !strings.Contains(all, placeholder)) {
					t.Errorf("headers %v", all)
				}
				if res.Header.Get("Set-Cookie")+res.Header.Get(DeniedHeader) != "" {
					t.Errorf("headers %v", res.Header)
				}
				if tt.header == "Authorization" && res.Trailer.Get("X-Trailer") != "t Bearer "+placeholder {
					t.Errorf("trailer %v", res.Trailer)
				}
			})
		}
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	for _, r := range g.records.all() {
		if r.Method != http.MethodPost || r.URLPath != "/v1/messages" || r.Status != 200 || r.Up <= 5 || r.Up > 1000 || r.Down == 0 || r.Verdict != audit.Allow {
			t.Errorf("recorded %+v", r)
		}
	}
	if n := len(g.records.all()); n != 6 {
		t.Errorf("%d records", n)
	}
}

func TestOtherCredentialsAreRefused(t *testing.T) {
	g := openedGateway(t, hostAPI(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the host got %v", r.Header) }))
	for proto, c := range httpClients(t, g) {
		for _, tt := range []struct{ name, header, value, query string }{
			{"another token", "Authorization", "Bearer sk-attacker", ""},
			{"another scheme", "Authorization", "Basic " + placeholder, ""},
			{"placeholder and more", "Authorization", "Bearer " + placeholder + "x", ""},
			{"lower-case scheme", "Authorization", "bearer " + placeholder, ""},
			{"another key", "X-Api-Key", "sk-attacker", ""},
			{"bearer in the key", "X-Api-Key", "Bearer " + placeholder, ""},
			{"empty token", "Authorization", "", ""},
			{"cookie", "Cookie", "session=attacker", ""},
			{"proxy's own", "Proxy-Authorization", "Basic eDp5", ""},
			{"other header", "Api-Key", "x", ""},
			{"CGI spelling", "X_Api_Key", "x", ""},
			{"cloud key", "X-Goog-Api-Key", "x", ""},
			{"websocket key", "Sec-WebSocket-Protocol", "realtime, insecure-api-key.sk-attacker", ""},
			{"query", "Accept", "*/*", "?key=sk-attacker"},
			{"query, escaped", "Accept", "*/*", "?a=b&%61pi_key=sk-attacker"},
			{"query, upper case", "Accept", "*/*", "?ACCESS_TOKEN=sk-attacker"},
			{"query, semicolon", "Accept", "*/*", "?a=b;api_key=sk-attacker"},
			{"query, broken", "Accept", "*/*", "?%zz=1"},
		} {
			t.Run(proto+" "+tt.name, func(t *testing.T) {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://example.com/"+tt.query, strings.NewReader("stolen"))
				if err != nil {
					t.Fatal(err)
				}
				req.Header[tt.header] = []string{tt.value}
				if tt.header != "Sec-WebSocket-Protocol" {
					req.Header.Set(tt.header, tt.value)
				}
				if tt.name == "websocket key" {
					req.Header = http.Header{"Sec-Websocket-Protocol": {tt.value}}
				}
				res, body := do(t, c, req)
				id := res.Header.Get(DeniedHeader)
				if res.StatusCode != http.StatusForbidden || id == "" || !strings.Contains(body, id) || strings.Contains(body, "attacker") {
					t.Errorf("%s %s: %s", res.Proto, res.Status, body)
				}
				if r := g.records.next(t, func(q audit.Request) bool { return q.ID == id }); r.Verdict != audit.Deny || r.Reason == "" || strings.Contains(fmt.Sprint(r), "attacker") {
					t.Errorf("recorded %+v", r)
				}
			})
		}
	}
}

// Inside opened TLS every request must be for the host.
func TestOtherHostInOpenedTLS(t *testing.T) {
	t.Parallel()
	g := openedGateway(t, hostAPI(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the host got %s", r.Host) }))
	for proto, c := range httpClients(t, g) {
		for _, host := range []string{"other.example.com", "evil.example", "example.com:8443", "127.0.0.1"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com/", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			if res, body := do(t, c, req); res.StatusCode != http.StatusForbidden {
				t.Errorf("%s %s: %s %s", proto, host, res.Status, body)
			}
		}
	}
	tunnel, _, _ := g.connect(t, "example.com:443")
	c := tls.Client(tunnel, &tls.Config{ServerName: "example.com", RootCAs: g.roots(t), MinVersion: tls.VersionTLS12})
	if got := send(t, c, "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 405 Denied") {
		t.Errorf("%q", got)
	}
}

// The host behind opened TLS is really verified, and it is never spoken to in
// clear.
func TestOpenedHostIsVerified(t *testing.T) {
	t.Parallel()
	up := hostAPI(t, func(http.ResponseWriter, *http.Request) { t.Error("the host was reached") })
	g := newGateway(t, "example.com\nhttp://example.com\nexample.com:8443", func(c *Config) {
		to(t, c, "example.com", up.Listener.Addr().String())
		c.UpstreamRoots = x509.NewCertPool()
		c.Credentials = []Credential{{Host: "example.com", Header: "Authorization", Prefix: "Bearer ", Placeholder: placeholder, Secret: policy.NewSecret(realToken)}}
	})
	res, body := get(t, g.client(t, g.roots(t)), "https://example.com/")
	if res.StatusCode != http.StatusBadGateway || !strings.Contains(body, "certificate") || res.Header.Get(DeniedHeader) != "" {
		t.Errorf("%s %s", res.Status, body)
	}
	if r := g.records.next(t, func(q audit.Request) bool { return q.Error != "" }); r.Verdict != audit.Allow {
		t.Errorf("recorded %+v", r)
	}
	if res, body := get(t, g.client(t, nil), "http://example.com/"); res.StatusCode != http.StatusForbidden || !strings.Contains(body, "TLS only") {
		t.Errorf("%s %s", res.Status, body)
	}
	for _, authority := range []string{"example.com:80", "example.com:8443"} {
		c, _, _ := g.connect(t, authority)
		if got := send(t, c, "GET / HTTP/1.1\r\nHost: "+authority+"\r\nX-Api-Key: attacker\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403") {
			t.Errorf("%s: %q", authority, got)
		}
	}
}

func TestUntrustingClient(t *testing.T) {
	t.Parallel()
	g := openedGateway(t, hostAPI(t, mirror))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := g.client(t, x509.NewCertPool()).Do(req); err == nil {
		_ = res.Body.Close()
		t.Fatal("an unknown CA is trusted")
	}
	if r := g.records.next(t, func(audit.Request) bool { return true }); !strings.Contains(r.Error, "NODE_EXTRA_CA_CERTS") {
		t.Errorf("recorded %+v", r)
	}
}

// Other hosts keep their own certificates, and the CA could not sign for them.
func TestAuthorityIsConstrained(t *testing.T) {
	t.Parallel()
	up := hostAPI(t, mirror)
	g := openedGateway(t, up)
	if _, body := get(t, g.client(t, upstreamRoots(up)), "https://other.example.com/"); !strings.Contains(body, "auth=false") {
		t.Errorf("%s", body)
	}
	if got := newGateway(t, "example.com", nil).CAPEM(); got != nil {
		t.Errorf("a CA without anything to open: %s", got)
	}
	block, rest := pem.Decode(g.CAPEM())
	if block == nil || len(rest) > 0 {
		t.Fatal("not one certificate")
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !ca.PermittedDNSDomainsCritical || len(ca.PermittedDNSDomains) != 1 || len(ca.ExcludedIPRanges) != 2 || !ca.MaxPathLenZero {
		t.Errorf("constraints of %+v", ca)
	}
	both, err := newAuthority([]policy.Rule{{Name: "example.com"}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(both.leaves["example.com"].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: g.roots(t), DNSName: "example.com"}); err == nil {
		t.Error("one run's CA vouches for another's leaf")
	}
}

// Events go through as they come: the second is sent only after the first has
// been seen.
func TestEventStream(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	g := openedGateway(t, hostAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	}))
	for proto, c := range httpClients(t, g) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		br := bufio.NewReader(res.Body)
		for i := range 3 {
			line, err := br.ReadString('\n')
			if err != nil || line != fmt.Sprintf("data: %d\n", i) {
				t.Fatalf("%s: %q, %v", proto, line, err)
			}
			if _, err := br.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			next <- struct{}{}
		}
		_ = res.Body.Close()
	}
}

func TestWebsocketInOpenedTLS(t *testing.T) {
	t.Parallel()
	g := openedGateway(t, hostAPI(t, websocketEcho))
	tunnel, _, _ := g.connect(t, "example.com:443")
	c := tls.Client(tunnel, &tls.Config{ServerName: "example.com", RootCAs: g.roots(t), MinVersion: tls.VersionTLS12})
	upgradeOver(t, c, "/ws", "example.com")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestCredentialConfig(t *testing.T) {
	t.Parallel()
	good := Credential{Host: "example.com", Header: "Authorization", Prefix: "Bearer ", Placeholder: "p", Secret: policy.NewSecret("s")}
	for name, edit := range map[string]func(*Credential){
		"host":        func(c *Credential) { c.Host = "192.0.2.1" },
		"header":      func(c *Credential) { c.Header = "Host" },
		"placeholder": func(c *Credential) { c.Placeholder = "" },
		"secret":      func(c *Credential) { c.Secret = policy.Secret{} },
		"same":        func(c *Credential) { c.Placeholder = "s" },
		"line break":  func(c *Credential) { c.Secret = policy.NewSecret("s\r\nX: y") },
	} {
		c := good
		edit(&c)
		if _, err := New(Config{Credentials: []Credential{c}}); err == nil {
			t.Errorf("a credential with a bad %s is accepted", name)
		} else if strings.Contains(err.Error(), "X: y") {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
}

func TestParseResolve(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in, host string
		want     Target
	}{
		{"a.example=127.0.0.1", "a.example", Target{netip.MustParseAddr("127.0.0.1"), 0}},
		{"A.example.=10.0.0.1:8443", "a.example", Target{netip.MustParseAddr("10.0.0.1"), 8443}},
		{"a=::1", "a", Target{netip.IPv6Loopback(), 0}},
		{"a=[::1]", "a", Target{netip.IPv6Loopback(), 0}},
		{"a=[fd00::1]:80", "a", Target{netip.MustParseAddr("fd00::1"), 80}},
	} {
		host, got, err := ParseResolve(tt.in)
		if err != nil || host != tt.host || got != tt.want {
			t.Errorf("ParseResolve(%q) = %q, %v, %v", tt.in, host, got, err)
		}
	}
	for _, in := range []string{
		"", "a", "a=", "=127.0.0.1", "a=b", "a=127.0.0.1:", "a=127.0.0.1:0", "a=127.0.0.1:65536", "a=127.0.0.1:x", "a=[127.0.0.1]", "a=[::1]x",
		"a=[::1]:", "a=0.0.0.0", "a=224.0.0.1", "a=fe80::1%eth0", "127.0.0.1=127.0.0.1", "localhost=127.0.0.1", "a=127.1", "a b=127.0.0.1",
	} {
		if host, got, err := ParseResolve(in); err == nil {
			t.Errorf("ParseResolve(%q) = %q, %v", in, host, got)
		}
	}
	if _, _, err := ParseResolve("a=b"); !errors.Is(err, ErrResolve) {
		t.Errorf("error %v", err)
	}
}

func FuzzParseResolve(f *testing.F) {
	for _, s := range []string{"a.example=127.0.0.1", "a=[::1]:80", "a=::1", "a=1.2.3.4:5", "=", "a=[", "a=:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		host, target, err := ParseResolve(in)
		if err != nil {
			return
		}
		text := host + "=" + target.Addr.String()
		if target.Port != 0 {
			text = host + "=" + netip.AddrPortFrom(target.Addr, target.Port).String()
		}
		h, again, err := ParseResolve(text)
		if err != nil || h != host || again != target {
			t.Errorf("%q gives %q, which gives %q %v %v", in, text, h, again, err)
		}
	})
}
