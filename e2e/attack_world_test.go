package e2e

import (
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
