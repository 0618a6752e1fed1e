package hook

import (
	"container/list"
	"context"
	"net"
	"sync"
	"time"
)

// What the endpoint bears. All of one sandbox may call it as often as it likes,
// so what one caller uses must not be missing to the others.
const (
	// maxGuests is how many connections there are at once.
	maxGuests = 512
	// maxPerPeer is how many of them one process has; a client needs one.
	maxPerPeer = 4
	// maxDeciding is how many questions are decided at once.
	maxDeciding = 32
	// maxHeld is how many questions wait for a person.
	maxHeld = 64
	// maxInFlight bounds the bytes of all big questions that are served, and
	// again of those that wait for a person.
	maxInFlight = 4 * MaxMessage
	// small is a question that needs no share of that.
	small = 64 << 10
	// patience is how long a big question may keep others out of memory while
	// it is read.
	patience = 500 * time.Millisecond
)

// gate admits callers. Those that have not asked yet give way when there are
// too many; those that have asked take turns, by the process that started
// them, so that a flood from one place is one place in the row.
type gate struct {
	mu     sync.Mutex
	open   int
	perPID map[int]int
	silent *list.List // of *guest, the oldest first
	bytes  int        // of big questions
	freed  chan struct{}
	held   int
	hbytes int // of held questions
	turns  turns
}

// guest is one connection.
type guest struct {
	gate   *gate
	conn   net.Conn
	peer   Peer
	place  *list.Element // in silent
	since  time.Time     // when it got bytes
	bytes  int
	turn   bool
	held   bool
	hbytes int
	left   bool
}

func newGate() *gate {
	return &gate{perPID: map[int]int{}, silent: list.New(), freed: make(chan struct{}), turns: turns{free: maxDeciding, waiting: map[int][]chan struct{}{}}}
}

// admit gives conn a place, or nil.
func (g *gate) admit(conn net.Conn, from Peer) *guest {
	g.mu.Lock()
	defer g.mu.Unlock()
	if from.PID > 0 && g.perPID[from.PID] >= maxPerPeer {
		return nil
	}
	if g.open >= maxGuests {
		oldest := g.silent.Front()
		if oldest == nil {
			return nil
		}
		g.evict(oldest)
	}
	c := &guest{gate: g, conn: conn, peer: from}
	c.place = g.silent.PushBack(c)
	g.open++
	g.perPID[from.PID]++
	return c
}

// evict ends a connection that has not asked yet.
func (g *gate) evict(e *list.Element) {
	c, ok := g.silent.Remove(e).(*guest)
	if !ok {
		return
	}
	_ = c.conn.Close() // its reader ends by it, and its client denies
	g.remove(c)
}

// remove gives back everything that c has, once.
func (g *gate) remove(c *guest) {
	if c.left {
		return
	}
	c.left = true
	g.open--
	if g.perPID[c.peer.PID]--; g.perPID[c.peer.PID] <= 0 {
		delete(g.perPID, c.peer.PID)
	}
	if c.place != nil {
		g.silent.Remove(c.place)
		c.place = nil
	}
	g.release(c)
	if c.held {
		g.held--
		g.hbytes -= c.hbytes
	}
}

// release gives back what c holds of what is decided at once.
func (g *gate) release(c *guest) {
	if c.bytes > 0 {
		g.bytes -= c.bytes
		c.bytes = 0
		close(g.freed)
		g.freed = make(chan struct{})
	}
	if c.turn {
		c.turn = false
		g.turns.give()
	}
}

// leave ends c's stay.
func (c *guest) leave() {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	c.gate.remove(c)
}

// rest gives back what others need while c only waits.
func (c *guest) rest() {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	c.gate.release(c)
}

// hold is rest for a question of n bytes that a person is asked about.
func (c *guest) hold(n int) error {
	g := c.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held >= maxHeld || g.hbytes+n > maxInFlight {
		return errBusy
	}
	g.held++
	g.hbytes += n
	c.held, c.hbytes = true, n
	g.release(c)
	return nil
}

// question reads c's question.
func (c *guest) question(ctx context.Context) ([]byte, error) {
	n, err := readLength(c.conn, MaxMessage)
	if err != nil {
		return nil, err
	}
	if n > small {
		if err := c.reserve(ctx, n); err != nil {
			return nil, err
		}
	}
	data, err := readBody(c.conn, n)
	if err != nil {
		return nil, err
	}
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	if c.left {
		return nil, net.ErrClosed
	}
	c.gate.silent.Remove(c.place)
	c.place = nil
	return data, nil
}

// reserve takes n bytes for a big question: what is free, or what somebody has
// who does not use it.
func (c *guest) reserve(ctx context.Context, n int) error {
	tick := time.NewTicker(patience)
	defer tick.Stop()
	for {
		freed, err := c.tryReserve(n, time.Now())
		if freed == nil {
			return err
		}
		select {
		case <-freed:
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tryReserve says what to wait for when there is no room.
func (c *guest) tryReserve(n int, now time.Time) (freed <-chan struct{}, err error) {
	g := c.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	for e := g.silent.Front(); e != nil && g.bytes+n > maxInFlight; {
		next := e.Next()
		if o, is := e.Value.(*guest); is && o != c && o.bytes > 0 && now.Sub(o.since) > patience {
			g.evict(e)
		}
		e = next
	}
	switch {
	case c.left:
		return nil, net.ErrClosed
	case g.bytes+n > maxInFlight:
		return g.freed, nil
	}
	g.bytes += n
	c.bytes, c.since = n, now
	return nil, nil
}

// take waits for c's turn to be decided.
func (c *guest) take(ctx context.Context) error {
	if err := c.gate.turns.take(ctx, c.peer.Parent); err != nil {
		return err
	}
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	c.turn = true
	return nil
}

// turns hands out places, in a row of rows: one for each key.
type turns struct {
	mu      sync.Mutex
	free    int
	order   []int                   // the keys that have somebody waiting, the next first
	waiting map[int][]chan struct{} // closed when its turn has come
}

func (t *turns) take(ctx context.Context, key int) error {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return nil
	}
	mine := make(chan struct{})
	if len(t.waiting[key]) == 0 {
		t.order = append(t.order, key)
	}
	t.waiting[key] = append(t.waiting[key], mine)
	t.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
		t.cancel(key, mine)
		return context.Cause(ctx)
	}
}

// cancel takes mine out of the row; a turn that has come meanwhile goes on.
func (t *turns) cancel(key int, mine chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	row := t.waiting[key]
	for i, w := range row {
		if w == mine {
			t.keep(key, append(row[:i:i], row[i+1:]...))
			return
		}
	}
	t.next()
}

// keep makes row the row of key, which is somewhere in order.
func (t *turns) keep(key int, row []chan struct{}) {
	if len(row) > 0 {
		t.waiting[key] = row
		return
	}
	delete(t.waiting, key)
	for i, k := range t.order {
		if k == key {
			t.order = append(t.order[:i:i], t.order[i+1:]...)
			return
		}
	}
}

// give hands a place on.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next()
}

// next gives the place to the first of the first row, which goes to the end.
func (t *turns) next() {
	if len(t.order) == 0 {
		t.free++
		return
	}
	key := t.order[0]
	row := t.waiting[key]
	t.order = append(t.order[1:len(t.order):len(t.order)], key)
	t.keep(key, row[1:])
	close(row[0])
}
