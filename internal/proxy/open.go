package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
)

var errHandshake = errors.New("the client ended the TLS handshake: it does not trust the gateway's certificate, which NODE_EXTRA_CA_CERTS, SSL_CERT_FILE and the like must name, or it insists on the host's own")

// open ends the client's TLS here and serves the requests inside.
func (v *visit) open(ctx context.Context) {
	s := v.server
	leaf, err := s.authority.leaf(v.host)
	if err != nil {
		v.flow.fail(ctx, err)
		discard(v.client.Close())
		return
	}
	conn := tls.Server(v.client, &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{*leaf},
		NextProtos:   []string{"h2", "http/1.1"},
	})
	handshake, cancel := context.WithTimeout(ctx, s.cfg.Limits.Header)
	defer cancel()
	if err := conn.HandshakeContext(handshake); err != nil {
		v.flow.fail(ctx, fmt.Errorf("%w: %w", errHandshake, err))
		discard(v.client.Close())
		return
	}
	at := &site{host: v.host, port: v.port, scheme: "https", path: v.path}
	if conn.ConnectionState().NegotiatedProtocol == "h2" {
		v.flow.fail(ctx, s.serveH2(ctx, conn, at))
	} else {
		s.newH1(conn, at).serve(ctx)
	}
	v.flow.done = at.served()
	discard(conn.Close())
}

// serveH2 serves the requests of an HTTP/2 connection and waits for them. Each
// connection has a server of its own, which ends with it.
func (s *Server) serveH2(ctx context.Context, conn *tls.Conn, at *site) error {
	var work sync.WaitGroup
	only := &single{conn: conn, over: make(chan struct{})}
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	server := &http.Server{
		Protocols:         &protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 250},
		ReadHeaderTimeout: s.cfg.Limits.Header,
		IdleTimeout:       s.cfg.Limits.KeepAlive,
		MaxHeaderBytes:    maxHead,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // what the client breaks is its own
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState:         only.state,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			work.Add(1)
			defer work.Done()
			f := s.begin(at.path)
			defer f.end()
			req.Body = &countedBody{ReadCloser: req.Body, flow: f}
			s.handle(&countedResponse{ResponseWriter: w, flow: f}, req, f, request{site: at, hostHeader: req.Header.Get("Host")})
		}),
	}
	err := server.Serve(only)
	work.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// single is a listener that has one connection to accept and then waits for
// its end.
type single struct {
	conn  net.Conn
	taken bool
	over  chan struct{}
	once  sync.Once
}

// Accept implements net.Listener.
func (l *single) Accept() (net.Conn, error) {
	if !l.taken {
		l.taken = true
		return l.conn, nil
	}
	<-l.over
	return nil, net.ErrClosed
}

// Close implements net.Listener.
func (l *single) Close() error {
	l.once.Do(func() { close(l.over) })
	return nil
}

// Addr implements net.Listener.
func (l *single) Addr() net.Addr { return l.conn.LocalAddr() }

// state ends the wait when the connection has.
func (l *single) state(_ net.Conn, state http.ConnState) {
	if state == http.StateClosed {
		discard(l.Close())
	}
}
