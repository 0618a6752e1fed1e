package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"sync"

	"golang.org/x/net/http2"
)

var errHandshake = errors.New("the client ended the TLS handshake: it does not trust the gateway's certificate, which NODE_EXTRA_CA_CERTS, SSL_CERT_FILE and the like must name, or it insists on the host's own")

// open ends the client's TLS here and serves the requests inside.
func (v *visit) open(ctx context.Context) {
	s := v.server
	conn := tls.Server(v.client, &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{*s.authority.leaves[v.host]},
		NextProtos:   []string{"h2", "http/1.1"},
	})
	handshake, cancel := context.WithTimeout(ctx, s.cfg.Limits.Header)
	defer cancel()
	if err := conn.HandshakeContext(handshake); err != nil {
		v.flow.fail(ctx, errors.Join(errHandshake, err))
		discard(v.client.Close())
		return
	}
	at := &site{host: v.host, port: v.port, scheme: "https", path: v.path}
	if conn.ConnectionState().NegotiatedProtocol == "h2" {
		s.serveH2(ctx, conn, at)
	} else {
		s.newH1(conn, at).serve(ctx)
	}
	v.flow.done = at.served()
	discard(conn.Close())
}

// serveH2 serves the requests of an HTTP/2 connection and waits for them.
func (s *Server) serveH2(ctx context.Context, conn *tls.Conn, at *site) {
	var work sync.WaitGroup
	s.h2.ServeConn(conn, &http2.ServeConnOpts{
		Context:    ctx,
		BaseConfig: &http.Server{MaxHeaderBytes: maxHead},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			work.Add(1)
			defer work.Done()
			f := s.begin(at.path)
			defer f.end()
			req.Body = &countedBody{ReadCloser: req.Body, flow: f}
			s.handle(&countedResponse{ResponseWriter: w, flow: f}, req, f, request{site: at, hostHeader: req.Header.Get("Host")})
		}),
	})
	work.Wait()
}
