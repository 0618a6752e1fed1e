package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"agentprocess/internal/scripted"
)

// site is a server out there; what it was asked for is noted.
type site struct {
	name string
	addr string

	mu   sync.Mutex
	seen []visitor
}

// visitor is one request, as the server saw it.
type visitor struct{ host, sni, path string }

// newSite serves a name on an address, behind TLS if secure.
func newSite(t *testing.T, authority *scripted.Authority, name, address string, secure bool) *site {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{name: name, addr: l.Addr().String()}
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute, ErrorLog: quiet()}
	serve := func() error { return server.Serve(l) }
	if secure {
		cert, err := authority.Certificate(name)
		if err != nil {
			t.Fatal(err)
		}
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			s.note(visitor{sni: hello.ServerName})
			return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}, nil
		}}
		serve = func() error { return server.ServeTLS(l, "", "") }
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = serve() }) // it always ends with an error: closed
	t.Cleanup(func() {
		server.Close()
		wg.Wait()
	})
	return s
}

func (s *site) note(v visitor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, v)
}

// ServeHTTP implements http.Handler.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.note(visitor{host: r.Host, path: r.URL.Path})
	fmt.Fprintf(w, "hello from %s\n", s.name)
}

// visitors are all requests and handshakes so far.
func (s *site) visitors() []visitor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]visitor(nil), s.seen...)
}

// arrivals counts connections that came to a listener outside.
func (w *world) arrivals() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.hits...)
}

// trap makes a world of addresses that no gateway may dial.
func trap(t *testing.T, hosts []string, ports ...string) *world {
	t.Helper()
	w := &world{}
	for _, host := range hosts {
		for _, port := range ports {
			w.listen(t, "tcp", net.JoinHostPort(host, port))
		}
	}
	return w
}
