package e2e

import (
	"context"
	"net"
	"sync"
	"testing"
)

// listen adds a place where nobody may arrive. It ends with the test.
func (w *world) listen(t *testing.T, network, address string) net.Addr {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { w.accept(l) })
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr()
}

// listenPacket is listen for datagrams.
func (w *world) listenPacket(t *testing.T, address string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", address)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { w.receive(p, address) })
	t.Cleanup(func() {
		p.Close()
		wg.Wait()
	})
}
