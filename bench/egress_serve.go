package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/policy"
	"agentprocess/internal/proxy"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/store"
)

// egressVerb is the hidden verb by which the bench starts itself as one of the
// servers that it measures, each in a process of its own. A server reads its
// orders from stdin, says on stdout where it listens, and serves until stdin
// ends: it cannot outlive the bench.
const egressVerb = "__egress"

// The names that the gateway is asked for; each is pinned to the origin.
const (
	rawHost  = "raw.example"  // a protocol of no name, on port rawPort
	rawPort  = "7"            // that the rule names
	tlsHost  = "tls.example"  // TLS that is tunnelled
	openHost = "open.example" // TLS that is opened
	webHost  = "web.example"  // plain HTTP
)

// smallAnswer is how long the answer to a small request is.
const smallAnswer = 1 << 10

// orders is what a server is told.
type orders struct {
	Dir       string // scratch
	Cert, Key string // PEM: the origin's
	CA        string // PEM: who vouches for the origin
	Raw       string // where the origin listens
	TLS       string
	Web       string
}

// ready is what a server says when it listens.
type ready struct {
	Proxy, Raw, TLS, Web string
	CA                   string // PEM: of a gateway that opens TLS
}

// serveEgress is the hidden verb: kind is "origin", "plain" or "gateway".
func serveEgress(ctx context.Context, kind string) error {
	in := bufio.NewReader(os.Stdin)
	var o orders
	if err := json.NewDecoder(io.LimitReader(in, 1<<20)).Decode(&o); err != nil {
		return fmt.Errorf("read orders: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, os.Stdin) // however it ends, the bench is gone
	}()
	switch kind {
	case "origin":
		return serveOrigin(ctx, o)
	case "plain":
		return servePlain(ctx)
	case "gateway":
		return serveGateway(ctx, o)
	}
	return fmt.Errorf("no server of kind %q", kind)
}

// announce tells the bench that everything listens.
func announce(r ready) error { return json.NewEncoder(os.Stdout).Encode(r) }

func loopback(ctx context.Context) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
}

// each serves every connection of l in a goroutine, until ctx ends.
func each(ctx context.Context, l net.Listener, serve func(net.Conn)) {
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			serve(conn)
		}()
	}
}

// serveOrigin is the host outside: bytes on demand, HTTP, and HTTP over TLS.
func serveOrigin(ctx context.Context, o orders) error {
	pair, err := tls.X509KeyPair([]byte(o.Cert), []byte(o.Key))
	if err != nil {
		return err
	}
	raw, err1 := loopback(ctx)
	web, err2 := loopback(ctx)
	secure, err3 := loopback(ctx)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	body := make([]byte, smallAnswer)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == eventsPath {
				stream(w, r)
				return
			}
			w.Header()["Content-Type"] = []string{"application/octet-stream"}
			_, _ = w.Write(body) // who has gone needs no answer
		}),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}},
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	if err := announce(ready{Raw: raw.Addr().String(), Web: web.Addr().String(), TLS: secure.Addr().String()}); err != nil {
		return err
	}
	var work sync.WaitGroup
	work.Go(func() { each(ctx, raw, answerRaw) })
	work.Go(func() { _ = server.Serve(web) }) // both end with Close
	work.Go(func() { _ = server.ServeTLS(secure, "", "") })
	<-ctx.Done()
	err = server.Close()
	work.Wait()
	return err
}

// answerRaw answers every number with that many bytes. The numbers begin like
// no other protocol.
func answerRaw(conn net.Conn) {
	var head [8]byte
	zeros := make([]byte, smallAnswer)
	for {
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		left := binary.BigEndian.Uint64(head[:]) &^ rawMark
		if left > uint64(len(zeros)) {
			zeros = make([]byte, 256<<10)
		}
		for left > 0 {
			n, err := conn.Write(zeros[:min(left, uint64(len(zeros)))])
			if err != nil {
				return
			}
			left -= uint64(n)
		}
	}
}

// rawMark is in every number's first byte.
const rawMark = 0xfe << 56

// servePlain is what every Go programmer writes in an afternoon: CONNECT and a
// splice in both directions, without policy, record or limits.
func servePlain(ctx context.Context) error {
	l, err := loopback(ctx)
	if err != nil {
		return err
	}
	if err := announce(ready{Proxy: l.Addr().String()}); err != nil {
		return err
	}
	each(ctx, l, func(client net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(client))
		if err != nil || req.Method != http.MethodConnect {
			return
		}
		upstream, err := (&net.Dialer{}).DialContext(ctx, "tcp", req.Host)
		if err != nil {
			return
		}
		defer func() { _ = upstream.Close() }()
		if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
			return
		}
		down := make(chan struct{})
		go func() {
			defer close(down)
			_, _ = io.Copy(client, upstream) // its end is all there is to know
			halfClose(client)
		}()
		_, _ = io.Copy(upstream, client)
		halfClose(upstream)
		<-down
	})
	return nil
}

func halfClose(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // it may be closed already
	}
}

// serveGateway is the gateway as a run has it: rules, limits, a credential for
// one host, and the record, hash-chained and in the database.
func serveGateway(ctx context.Context, o orders) (err error) {
	rules, err := policy.ParseRules("bench", fmt.Sprintf("%s:%s\n%s\n%s\nhttp://%s\n", rawHost, rawPort, tlsHost, openHost, webHost))
	if err != nil {
		return err
	}
	resolve := map[string]proxy.Target{}
	for host, at := range map[string]string{rawHost: o.Raw, tlsHost: o.TLS, openHost: o.TLS, webHost: o.Web} {
		if _, resolve[host], err = proxy.ParseResolve(host + "=" + at); err != nil {
			return err
		}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(o.CA)) {
		return errors.New("the origin's CA does not parse")
	}
	db, err := store.Open(ctx, filepath.Join(o.Dir, "state.db"))
	if err != nil {
		return err
	}
	sink := db.Sink(ctx)
	defer func() { err = errors.Join(err, sink.Close(), db.Close()) }()
	rec := audit.NewRecorder("bench-1", time.Now, sink)
	server, err := proxy.New(proxy.Config{
		Policy: policy.NewSet(rules), Resolve: resolve, UpstreamRoots: roots, Now: time.Now,
		Record: func(r audit.Request) { rec.Record(r) },
		Credentials: []proxy.Credential{{
			Host: openHost, Header: "Authorization", Prefix: "Bearer ", Placeholder: "placeholder", Secret: policy.NewSecret("bench"),
		}},
	})
	if err != nil {
		return err
	}
	l, err := loopback(ctx)
	if err != nil {
		return err
	}
	if err := announce(ready{Proxy: l.Addr().String(), CA: string(server.CAPEM())}); err != nil {
		return err
	}
	return errors.Join(server.Serve(ctx, sandbox.Sockets{Proxy: l}), rec.Err())
}
