package proxy

import (
	"context"
	"io"
	"net/http"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"

	"agentprocess/internal/audit"
)

const (
	bigSize = 64 << 20
	// mostHeap is what the ends and the gateway, which are one process here, may
	// take for it, garbage included.
	mostHeap = 40 << 20
	// mostHeld is what the kernel may hold at every hop for who does not read.
	mostHeld = 64 << 20
)

// peak watches what the heap takes, garbage included.
type peak struct{ most atomic.Int64 }

func (p *peak) look() {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	if now := int64(sample[0].Value.Uint64()); now > p.most.Load() {
		p.most.Store(now)
	}
}

// watched looks at the heap as bytes go by, and counts them.
type watched struct {
	io.Reader
	peak  *peak
	count *atomic.Int64
}

// Read implements io.Reader.
func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	if before := w.count.Add(int64(n)) - int64(n); before>>23 != (before+int64(n))>>23 {
		w.peak.look()
	}
	return n, err
}

// bothWays sends a body up and another one down at the same time, in both
// versions of HTTP, and says how much the heap grew at most.
func bothWays(tb testing.TB, size int64) int64 {
	tb.Helper()
	p := &peak{}
	up := hostAPI(tb, func(w http.ResponseWriter, r *http.Request) {
		received := make(chan int64, 1)
		if r.ProtoMajor == 1 {
			discard(http.NewResponseController(w).EnableFullDuplex())
		}
		first, err := io.CopyN(io.Discard, r.Body, 1) // who wants to be asked for the body is
		discard(err)                                  // the count tells
		go func() {
			n, err := io.Copy(io.Discard, &watched{r.Body, p, new(atomic.Int64)})
			discard(err)
			received <- first + n
		}()
		w.WriteHeader(http.StatusOK)
		_, err = io.CopyN(w, zeros{}, size)
		discard(err)
		if n := <-received; n != size {
			tb.Errorf("the host got %d bytes, want %d", n, size)
		}
	})
	g := openedGateway(tb, up)
	// Garbage is not to be as much as what the tests before have left alive.
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	p.look()
	before := p.most.Load()
	for proto, c := range httpClients(tb, g) {
		c.Timeout = 0
		req, err := http.NewRequestWithContext(tb.Context(), http.MethodPut, "https://example.com/"+proto, io.LimitReader(zeros{}, size))
		if err != nil {
			tb.Fatal(err)
		}
		req.Header.Set("Expect", "100-continue")
		res, err := c.Do(req)
		if err != nil {
			tb.Fatal(err)
		}
		n, err := io.Copy(io.Discard, &watched{res.Body, p, new(atomic.Int64)})
		_ = res.Body.Close()
		if n != size || err != nil {
			tb.Errorf("%s: %d bytes came back, %v", proto, n, err)
		}
		r := g.records.next(tb, func(q audit.Request) bool { return q.URLPath == "/"+proto })
		if r.Up <= size || r.Down != size {
			tb.Errorf("recorded %+v", r)
		}
	}
	return p.most.Load() - before
}

// What is large passes as it comes, in opened TLS too.
func TestBigBodiesInFlatMemory(t *testing.T) {
	grown := bothWays(t, bigSize)
	t.Logf("%d MiB more", grown>>20)
	if grown > mostHeap {
		t.Errorf("%d MiB both ways took %d MiB of memory", bigSize>>20, grown>>20)
	}
}

// BenchmarkGigabyte is the same for a gigabyte each way, which says that it is
// no question of size.
func BenchmarkGigabyte(b *testing.B) {
	b.SetBytes(4 << 30) // two ways in two versions
	for b.Loop() {
		grown := bothWays(b, 1<<30)
		if grown > mostHeap {
			b.Errorf("it took %d MiB of memory", grown>>20)
		}
		b.ReportMetric(float64(grown>>20), "MiB-heap")
	}
}

// A host or a client that does not read is waited for: nothing is taken from
// the other one to be kept.
func TestNothingIsHeldForASlowPeer(t *testing.T) {
	const patient = 300 * time.Millisecond
	var sent atomic.Int64 // by the host
	done := make(chan struct{})
	up := hostAPI(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			<-done
			return
		}
		discard(http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patient)))
		_, err := io.Copy(w, &watched{zeros{}, &peak{}, &sent})
		discard(err) // it ends no other way
		done <- struct{}{}
	})
	opened := openedGateway(t, up)
	tunnelled := newGateway(t, "example.com", func(c *Config) { to(t, c, "example.com", up.Listener.Addr().String()) })
	for name, clients := range map[string]map[string]*http.Client{
		"opened":    httpClients(t, opened),
		"tunnelled": {"HTTP/1.1": tunnelled.client(t, upstreamRoots(up))},
	} {
		for proto, c := range clients {
			t.Run(name+" "+proto+" up", func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), patient)
				defer cancel()
				var taken atomic.Int64
				req, err := http.NewRequestWithContext(ctx, http.MethodPut, "https://example.com/", &watched{zeros{}, &peak{}, &taken})
				if err != nil {
					t.Fatal(err)
				}
				if res, err := c.Do(req); err == nil {
					_ = res.Body.Close()
					t.Errorf("it was answered %s", res.Status)
				}
				done <- struct{}{}
				if n := taken.Load(); n == 0 || n > mostHeld {
					t.Errorf("%d MiB were taken from the client", n>>20)
				}
			})
			t.Run(name+" "+proto+" down", func(t *testing.T) {
				sent.Store(0)
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com/", nil)
				if err != nil {
					t.Fatal(err)
				}
				res, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				<-done
				_ = res.Body.Close()
				if n := sent.Load(); n == 0 || n > mostHeld {
					t.Errorf("%d MiB were taken from the host", n>>20)
				}
			})
		}
	}
}
