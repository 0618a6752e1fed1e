package proxy

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/scripted"
)

// withExtension puts an extension in front of the others of a ClientHello that
// is one record.
func withExtension(hello []byte, kind uint16, body []byte) []byte {
	extension := binary.BigEndian.AppendUint16(nil, kind)
	extension = binary.BigEndian.AppendUint16(extension, uint16(len(body)))
	extension = append(extension, body...)
	at := 5 + 4 + 2 + 32
	at += 1 + int(hello[at])
	at += 2 + int(binary.BigEndian.Uint16(hello[at:]))
	at += 1 + int(hello[at])
	out := append([]byte{}, hello[:at+2]...)
	out = append(append(out, extension...), hello[at+2:]...)
	for _, field := range []int{3, at} {
		binary.BigEndian.PutUint16(out[field:], binary.BigEndian.Uint16(out[field:])+uint16(len(extension)))
	}
	binary.BigEndian.PutUint16(out[7:], binary.BigEndian.Uint16(out[7:])+uint16(len(extension)))
	return out
}

// echConfigs is what a host publishes for Encrypted Client Hello (RFC 9849),
// with the name that stands outside.
func echConfigs(tb testing.TB, public string) []byte {
	tb.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	body := append([]byte{7, 0, 0x20, 0, 32}, key.PublicKey().Bytes()...) // id, DHKEM(X25519)
	body = append(body, 0, 4, 0, 1, 0, 1)                                 // HKDF-SHA256, AES-128-GCM
	body = append(body, 64, byte(len(public)))
	body = append(append(body, public...), 0, 0)
	config := append([]byte{0xfe, 0x0d, 0, byte(len(body))}, body...)
	return append([]byte{0, byte(len(config))}, config...)
}

// What clients send today beside the name: values that mean nothing (GREASE,
// RFC 8701), and an encrypted hello, of which the outer name counts.
func TestHellosOfToday(t *testing.T) {
	t.Parallel()
	up := hostAPI(t, hello)
	g := newGateway(t, "example.com\npublic.example", func(c *Config) {
		to(t, c, "example.com", up.Listener.Addr().String())
		to(t, c, "public.example", up.Listener.Addr().String())
	})
	plain := clientHello(t, "example.com")
	for _, tt := range []struct {
		name  string
		hello []byte
	}{
		{"GREASE, empty", withExtension(plain, 0x2a2a, nil)},
		{"GREASE twice", withExtension(withExtension(plain, 0xfafa, []byte{0}), 0x0a0a, []byte("x"))},
		{"GREASE of ECH", withExtension(plain, 0xfe0d, []byte(strings.Repeat("\x5a", 200)))},
		{"padding", withExtension(plain, 21, make([]byte, 400))},
		{"large, in the hello's own record", withExtension(plain, 0xfe0d, make([]byte, 12<<10))},
	} {
		c, status, _ := g.connect(t, "example.com:443")
		if status != http.StatusOK {
			t.Fatal(status)
		}
		// The gateway lets it through; whether the host likes it is its own
		// business. An alert of ours is access_denied.
		if _, err := c.Write(tt.hello); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, len(alertAccessDenied()))
		if _, err := io.ReadFull(c, answer); err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(answer, alertAccessDenied()) {
			t.Errorf("%s: it is refused", tt.name)
		}
	}
	for _, tt := range []struct{ outer, authority, denied string }{
		{"evil.example", "example.com:443", `(SNI) is "evil.example"`},
		{"public.example", "example.com:443", `(SNI) is "public.example"`},
		{"public.example", "public.example:443", ""},
	} {
		c, status, _ := g.connect(t, tt.authority)
		if status != http.StatusOK {
			t.Fatal(status)
		}
		err := tls.Client(c, &tls.Config{
			ServerName: "example.com", EncryptedClientHelloConfigList: echConfigs(t, tt.outer), RootCAs: upstreamRoots(up), MinVersion: tls.VersionTLS13,
		}).HandshakeContext(t.Context())
		_ = c.Close()
		if err == nil {
			t.Errorf("%s in %s: a host without a key for it took an encrypted hello", tt.outer, tt.authority)
		}
		if tt.denied != "" {
			g.records.next(t, func(q audit.Request) bool { return denials(q) && strings.Contains(q.Reason, tt.denied) })
			continue
		}
		g.records.next(t, func(q audit.Request) bool {
			return q.Host == "public.example" && q.Verdict == audit.Allow && q.Down > 0
		})
	}
}

// The host behind opened TLS must be who it says, now, by an authority that is
// trusted.
func TestForgedHostsAreRefused(t *testing.T) {
	t.Parallel()
	now := time.Now()
	good, err := scripted.NewAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	old, err := scripted.NewAuthority(now.AddDate(-10, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := scripted.NewAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		by     *scripted.Authority
		host   string
		status int
	}{
		{"good", good, "example.com", http.StatusOK},
		{"another name", good, "other.example", http.StatusBadGateway},
		{"expired", old, "example.com", http.StatusBadGateway},
		{"signed by a stranger", stranger, "example.com", http.StatusBadGateway},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cert, err := tt.by.Certificate(tt.host)
			if err != nil {
				t.Fatal(err)
			}
			l := tls.NewListener(listen(t), &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
			asked := false
			server := &http.Server{ReadHeaderTimeout: patience, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true })}
			served := make(chan error, 1)
			go func() { served <- server.Serve(l) }()
			t.Cleanup(func() { _ = server.Close(); discard(<-served) })
			g := newGateway(t, "example.com GET", func(c *Config) {
				to(t, c, "example.com", l.Addr().String())
				c.UpstreamRoots = x509.NewCertPool()
				c.UpstreamRoots.AppendCertsFromPEM(good.PEM())
				c.UpstreamRoots.AppendCertsFromPEM(old.PEM())
			})
			r, body := get(t, g.client(t, g.roots(t)), "https://example.com/")
			if r.StatusCode != tt.status || asked != (tt.status == http.StatusOK) {
				t.Errorf("%s, asked %t: %s", r.Status, asked, body)
			}
			if tt.status != http.StatusOK && (!strings.Contains(body, "certificate") || r.Header.Get(DeniedHeader) != "") {
				t.Errorf("it is told as %q", body)
			}
		})
	}
}
