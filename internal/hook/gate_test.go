package hook

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// visitor is a connection to a gate and the other end of it.
func visitor(t *testing.T, g *gate, pid int) (*guest, net.Conn) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() {
		_ = ours.Close()
		_ = theirs.Close()
	})
	return g.admit(ours, Peer{PID: pid, Parent: pid}), theirs
}

func TestOneProcessHasFewPlaces(t *testing.T) {
	g := newGate()
	var mine []*guest
	for range maxPerPeer {
		c, _ := visitor(t, g, 7)
		mine = append(mine, c)
	}
	if c, _ := visitor(t, g, 7); slices.Contains(mine, nil) || c != nil {
		t.Errorf("%v were admitted, and then %v", mine, c)
	}
	if c, _ := visitor(t, g, 8); c == nil {
		t.Error("another process is refused")
	}
	mine[0].leave()
	mine[0].leave()
	if c, _ := visitor(t, g, 7); c == nil {
		t.Error("a place that was given back is not free")
	}
	if c, _ := visitor(t, g, 7); c != nil {
		t.Error("a place is given back twice")
	}
}

func TestSilentCallersGiveWay(t *testing.T) {
	g := newGate()
	first, end := visitor(t, g, 1)
	second, _ := visitor(t, g, 2)
	for i := range maxGuests - 2 {
		visitor(t, g, 10+i)
	}
	go func() { _ = writeFrame(end, []byte("{}")) }()
	if _, err := first.question(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c, _ := visitor(t, g, 9999); c == nil {
		t.Error("a new caller is refused")
	}
	if first.left || !second.left {
		t.Error("it is not the oldest silent one that gave way")
	}
	if _, err := second.question(t.Context()); err == nil {
		t.Error("a caller that gave way is served")
	}
}

func TestNobodyGivesWayWhoHasAsked(t *testing.T) {
	g := newGate()
	for i := range maxGuests {
		c, end := visitor(t, g, 10+i)
		go func() { _ = writeFrame(end, []byte("{}")) }()
		if _, err := c.question(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if c, _ := visitor(t, g, 1); c != nil {
		t.Error("one more is admitted")
	}
}

// Big questions that are announced and not sent make room for one that is.
func TestBigQuestionsThatDoNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		var all sync.WaitGroup
		read := func(c *guest) { all.Go(func() { _, _ = c.question(t.Context()) }) }
		for i := range 2 * maxInFlight / MaxMessage {
			c, end := visitor(t, g, 10+i)
			read(c)
			all.Go(func() { _, _ = end.Write([]byte{1, 0, 0, 0, '{'}) }) // 16 MiB
		}
		synctest.Wait()
		c, end := visitor(t, g, 1)
		all.Go(func() { _ = writeFrame(end, make([]byte, MaxMessage)) })
		start := time.Now()
		if data, err := c.question(t.Context()); err != nil || len(data) != MaxMessage {
			t.Errorf("%d bytes, %v", len(data), err)
		}
		if took := time.Since(start); took > 4*patience {
			t.Errorf("it took %v", took)
		}
		g.mu.Lock()
		for e := g.silent.Front(); e != nil; e = g.silent.Front() {
			g.evict(e)
		}
		g.mu.Unlock()
		all.Wait()
		if c.leave(); g.bytes != 0 || g.open != 0 || len(g.perPID) != 0 {
			t.Errorf("%d bytes of %d callers are left", g.bytes, g.open)
		}
	})
}

// A flood from one parent is one place in the row.
func TestTurnsAreFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := &turns{free: 1, waiting: map[int][]chan struct{}{}}
		if err := turns.take(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []int
		var all sync.WaitGroup
		line := func(ctx context.Context, key int) {
			all.Go(func() {
				if turns.take(ctx, key) == nil {
					mu.Lock()
					order = append(order, key)
					mu.Unlock()
					turns.give()
				}
			})
			synctest.Wait()
		}
		for range 50 {
			line(t.Context(), 1)
		}
		gone, cancel := context.WithCancel(t.Context())
		line(gone, 3)
		line(t.Context(), 2)
		line(t.Context(), 2)
		cancel()
		synctest.Wait()
		turns.give()
		all.Wait()
		if want := []int{1, 2, 1, 2, 1}; !slices.Equal(order[:5], want) || len(order) != 52 {
			t.Errorf("%d turns: %v", len(order), order)
		}
		if turns.free != 1 || len(turns.waiting) != 0 || len(turns.order) != 0 {
			t.Errorf("left: %+v", turns)
		}
	})
}
