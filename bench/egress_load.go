package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// opTimeout bounds every operation on a connection of the load.
const opTimeout = 60 * time.Second

// open gives a connection to authority, through the proxy when there is one.
func (p *proxied) open(ctx context.Context, authority string) (net.Conn, error) {
	address := p.proxy
	if address == "" {
		address = authority
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(opTimeout)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if p.proxy == "" {
		return conn, nil
	}
	if err := tunnel(conn, authority); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// tunnel asks for a tunnel. What follows the answer is not touched.
func tunnel(conn net.Conn, authority string) error {
	if _, err := io.WriteString(conn, "CONNECT "+authority+" HTTP/1.1\r\nHost: "+authority+"\r\n\r\n"); err != nil {
		return err
	}
	var answer []byte
	buf := make([]byte, 512)
	for !strings.HasSuffix(string(answer), "\r\n\r\n") {
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		answer = append(answer, buf[:n]...)
	}
	if !strings.HasPrefix(string(answer), "HTTP/1.1 200") && !strings.HasPrefix(string(answer), "HTTP/1.0 200") {
		return fmt.Errorf("the proxy answered %.80q", answer)
	}
	return nil
}

// fetch asks the raw origin for n bytes and reads them.
func fetch(conn net.Conn, n int64, buf []byte) error {
	var ask [8]byte
	binary.BigEndian.PutUint64(ask[:], rawMark|uint64(n))
	if _, err := conn.Write(ask[:]); err != nil {
		return err
	}
	for n > 0 {
		got, err := conn.Read(buf[:min(n, int64(len(buf)))])
		if err != nil {
			return err
		}
		n -= int64(got)
	}
	return nil
}

// connectOnce is a new tunnel, one small request in it, and its end.
func (p *proxied) connectOnce(ctx context.Context) error {
	conn, err := p.open(ctx, p.raw)
	if err != nil {
		return err
	}
	return errors.Join(fetch(conn, smallAnswer, make([]byte, smallAnswer)), conn.Close())
}

// tlsOnce is a new tunnel, a TLS handshake and one small request in it.
func (p *proxied) tlsOnce(ctx context.Context, authority, host string, roots *x509.CertPool) error {
	conn, err := p.open(ctx, authority)
	if err != nil {
		return err
	}
	secure := tls.Client(conn, &tls.Config{ServerName: host, RootCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	if err := secure.HandshakeContext(ctx); err != nil {
		return errors.Join(err, conn.Close())
	}
	named := strings.TrimSuffix(authority, ":443")
	if p.proxy == "" {
		named = host
	}
	if _, err := io.WriteString(secure, "GET / HTTP/1.1\r\nHost: "+named+"\r\n\r\n"); err != nil {
		return errors.Join(err, conn.Close())
	}
	_, err = small(bufio.NewReader(secure))
	return errors.Join(err, conn.Close())
}

// small reads the answer to a small request; last is set when the connection
// ends with it.
func small(br *bufio.Reader) (last bool, err error) {
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		return false, err
	}
	n, err := io.Copy(io.Discard, res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || n != smallAnswer) {
		err = fmt.Errorf("answered %s with %d bytes", res.Status, n)
	}
	return res.Close, errors.Join(err, res.Body.Close())
}

// pings sends small requests through one tunnel, one after another.
func (p *proxied) pings(ctx context.Context, count int) error {
	conn, err := p.open(ctx, p.raw)
	if err != nil {
		return err
	}
	buf := make([]byte, smallAnswer)
	for range count {
		if err := fetch(conn, smallAnswer, buf); err != nil {
			return errors.Join(err, conn.Close())
		}
	}
	return conn.Close()
}

// webRequests sends plain HTTP requests, over one connection as far as the
// proxy lets it live.
func (p *proxied) webRequests(ctx context.Context, count int) error {
	var conn net.Conn
	var br *bufio.Reader
	address, target := p.proxy, "http://"+p.web+"/"
	if address == "" {
		address, target = p.web, "/"
	}
	for range count {
		if conn == nil {
			var err error
			if conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", address); err != nil {
				return err
			}
			if err := conn.SetDeadline(time.Now().Add(opTimeout)); err != nil {
				return errors.Join(err, conn.Close())
			}
			br = bufio.NewReader(conn)
		}
		if _, err := io.WriteString(conn, "GET "+target+" HTTP/1.1\r\nHost: "+p.web+"\r\n\r\n"); err != nil {
			return errors.Join(err, conn.Close())
		}
		last, err := small(br)
		if last || p.closes || err != nil {
			if err := errors.Join(err, conn.Close()); err != nil {
				return err
			}
			conn = nil
		}
	}
	if conn == nil {
		return nil
	}
	return conn.Close()
}

// openedClient is an HTTP client that goes to the opened host, or straight to
// the origin.
func (p *proxied) openedClient(h2 bool) *http.Client {
	tr := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: p.opens, ServerName: openHost, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:   h2,
		MaxIdleConnsPerHost: workers,
		MaxConnsPerHost:     workers,
		DisableCompression:  true,
	}
	if p.proxy == "" {
		tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, p.tls)
		}
	} else {
		tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: p.proxy})
	}
	return &http.Client{Transport: tr, Timeout: opTimeout}
}

// openedRequest sends one request to the opened host.
func (p *proxied) openedRequest(ctx context.Context, c *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+p.opened+"/", http.NoBody)
	if err != nil {
		return err
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || n != smallAnswer) {
		err = fmt.Errorf("answered %s with %d bytes", res.Status, n)
	}
	return errors.Join(err, res.Body.Close())
}

// workers is how many do the same at once where concurrency is measured.
const workers = 8

// together lets all workers do their part and gives the first error of each.
func together(part func() error) error {
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for i := range workers {
		wg.Go(func() { errs[i] = part() })
	}
	wg.Wait()
	return errors.Join(errs...)
}
