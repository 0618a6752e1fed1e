package e2e

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
)

// world is everything outside: it listens on all addresses of the outer
// namespace and notes who came. A connection or datagram that a sandbox got
// out by itself is an escape.
type world struct {
	mu   sync.Mutex
	hits []string
}

// The ports on which a broken sandbox would be noticed: what the attacks in
// testdata aim at.
func worldPorts() []string {
	return []string{"9", "22", "53", "80", "443", "853", "4433", "8080", "8443"}
}

// newWorld starts listening; the listeners end with the test.
func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{}
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	var wg sync.WaitGroup
	var lc net.ListenConfig
	for _, port := range worldPorts() {
		for _, ip := range []string{"192.0.2.1", "198.51.100.7", "2001:db8::1"} {
			addr := net.JoinHostPort(ip, port)
			l, err := lc.Listen(ctx, "tcp", addr)
			if err != nil {
				tb.Fatalf("the world cannot listen: %v", err)
			}
			wg.Go(func() { w.accept(l) })
			context.AfterFunc(ctx, func() { l.Close() })
			p, err := lc.ListenPacket(ctx, "udp", addr)
			if err != nil {
				tb.Fatalf("the world cannot listen: %v", err)
			}
			wg.Go(func() { w.receive(p, addr) })
			context.AfterFunc(ctx, func() { p.Close() })
		}
	}
	tb.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return w
}

func (w *world) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		w.hit("tcp " + conn.LocalAddr().String())
		conn.Close()
	}
}

func (w *world) receive(p net.PacketConn, addr string) {
	buf := make([]byte, 2048)
	for {
		n, _, err := p.ReadFrom(buf)
		if err != nil {
			return
		}
		w.hit(fmt.Sprintf("udp %s %q", addr, buf[:n]))
	}
}

func (w *world) hit(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hits = append(w.hits, what)
}

// check fails the test if anything arrived.
func (w *world) check(tb testing.TB) {
	tb.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.hits) > 0 {
		tb.Errorf("escaped to the world:\n%s", strings.Join(w.hits, "\n"))
	}
}
