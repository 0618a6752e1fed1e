package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	proxyAddress = "127.0.0.1:3128"
	patience     = 5 * time.Second
)

// raw sends bytes, written as in a Go string, and prints what comes back.
func raw(ctx context.Context, args []string) error {
	data, err := strconv.Unquote(`"` + args[2] + `"`)
	if err != nil {
		return err
	}
	conn, err := dial(ctx, args[0], args[1])
	if err != nil {
		return err
	}
	defer conn.Close()
	begin := time.Now()
	if _, err := io.WriteString(conn, data); err != nil {
		return err
	}
	reply, err := readAll(conn)
	fmt.Printf("after %d ms: %s\n", time.Since(begin).Milliseconds(), reply)
	if reply == "" && err == nil {
		err = io.EOF
	}
	return err
}

// readAll reads until the end, or until nothing more comes for a while.
func readAll(conn net.Conn) (string, error) {
	var b strings.Builder
	buf := make([]byte, 4096)
	wait := patience
	for {
		if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return b.String(), err
		}
		n, err := conn.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			if b.Len() > 0 || errors.Is(err, io.EOF) {
				return b.String(), nil
			}
			return "", err
		}
		wait = 300 * time.Millisecond
	}
}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	if _, err := netip.ParseAddrPort(address); err != nil && network != "unix" {
		return nil, err
	}
	d := net.Dialer{Timeout: patience}
	return d.DialContext(ctx, network, address)
}

// overTLS asks for a page through CONNECT: TARGET SNI HOST.
func overTLS(ctx context.Context, args []string) error {
	conn, err := dial(ctx, "tcp", proxyAddress)
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", args[0], args[0])
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("%s: %s", resp.Status, body)
	}
	return page(ctx, conn, args[1], args[2])
}

// directTLS asks for a page without a proxy: ADDRESS SNI; the host is the SNI.
// An address may be a name, which is looked up.
func directTLS(ctx context.Context, args []string) error {
	d := net.Dialer{Timeout: patience}
	conn, err := d.DialContext(ctx, "tcp", args[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	return page(ctx, conn, args[1], args[1])
}

// page asks a server behind TLS for a page. A name of "-" is none at all.
func page(ctx context.Context, conn net.Conn, sni, host string) error {
	if sni == "-" {
		sni = ""
	}
	client := tls.Client(conn, &tls.Config{ServerName: sni, InsecureSkipVerify: true})
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := client.HandshakeContext(ctx); err != nil {
		return err
	}
	fmt.Fprintf(client, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
	reply, err := readAll(client)
	fmt.Println(reply)
	return err
}

// web asks a proxy-aware client of the standard library: METHOD URL.
func web(ctx context.Context, args []string) error {
	begin := time.Now()
	req, err := http.NewRequestWithContext(ctx, args[0], args[1], nil)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: proxyAddress}),
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
	fmt.Printf("after %d ms: %s\n%s\n", time.Since(begin).Milliseconds(), resp.Status, body)
	return nil
}

// dns asks a resolver: NETWORK SERVER NAME TYPE.
func dns(ctx context.Context, args []string) error {
	kinds := map[string]dnsmessage.Type{
		"A": dnsmessage.TypeA, "AAAA": dnsmessage.TypeAAAA, "TXT": dnsmessage.TypeTXT, "MX": dnsmessage.TypeMX, "NS": dnsmessage.TypeNS,
		"CNAME": dnsmessage.TypeCNAME, "SRV": dnsmessage.TypeSRV, "PTR": dnsmessage.TypePTR, "ANY": dnsmessage.TypeALL, "NULL": 10, "HTTPS": 65,
	}
	name, err := dnsmessage.NewName(args[2])
	if err != nil {
		return err
	}
	query := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 4711, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: name, Type: kinds[args[3]], Class: dnsmessage.ClassINET}},
	}
	packed, err := query.Pack()
	if err != nil {
		return err
	}
	conn, err := dial(ctx, args[0], args[1])
	if err != nil {
		return err
	}
	defer conn.Close()
	begin := time.Now()
	reply, err := exchange(conn, packed, args[0] == "tcp")
	if err != nil {
		return err
	}
	fmt.Printf("after %d ms: %s", time.Since(begin).Milliseconds(), strings.TrimPrefix(reply.RCode.String(), "RCode"))
	for _, a := range reply.Answers {
		switch body := a.Body.(type) {
		case *dnsmessage.AResource:
			fmt.Print(" ", netip.AddrFrom4(body.A))
		case *dnsmessage.AAAAResource:
			fmt.Print(" ", netip.AddrFrom16(body.AAAA))
		default:
			fmt.Print(" ", a.Body.GoString())
		}
	}
	fmt.Println()
	return nil
}

func exchange(conn net.Conn, packed []byte, stream bool) (dnsmessage.Message, error) {
	var reply dnsmessage.Message
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return reply, err
	}
	if stream {
		packed = append([]byte{byte(len(packed) >> 8), byte(len(packed))}, packed...)
	}
	if _, err := conn.Write(packed); err != nil {
		return reply, err
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		return reply, err
	}
	if stream {
		return reply, reply.Unpack(buf[2:n])
	}
	return reply, reply.Unpack(buf[:n])
}

// udp sends a datagram and says whether anybody answered: ADDRESS TEXT.
func udp(ctx context.Context, args []string) error {
	conn, err := dial(ctx, "udp", args[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	for range 3 {
		if _, err := io.WriteString(conn, args[1]); err != nil {
			return err
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		return err
	}
	buf := make([]byte, 512)
	n, err := conn.Read(buf)
	if err != nil {
		return err
	}
	fmt.Printf("answer: %q\n", buf[:n])
	return nil
}

// serve answers everybody on a network and address, and says that it is there.
func serve(ctx context.Context, args []string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, args[0], args[1])
	if err != nil {
		return err
	}
	fmt.Println("serving", args[0], l.Addr())
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		fmt.Fprintln(conn, "hello from a neighbour", os.Getpid())
		conn.Close()
	}
}
