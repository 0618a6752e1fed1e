package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var errIdle = errors.New("closed after being idle")

// tunnel relays bytes between a client and the host it named.
type tunnel struct {
	client   *peeked
	upstream net.Conn
	flow     *flow
	idle     time.Duration
	pipes    *pipes // the server's
	// inspect, if set, judges the client's first bytes before they go on.
	inspect func() error
	last    atomic.Int64 // when a byte last moved, Unix nanoseconds
	// refused is set when inspect did not let the client's bytes through.
	refused atomic.Bool
	first   sync.Once
	cause   error // what went wrong first; the rest is its consequence
	// ended counts the directions that have ended well. The second one needs
	// no half to be closed: the whole connection is.
	ended atomic.Int32
}

// relay runs until both directions have ended, one fails, or ctx ends. The
// upstream is closed then; the client is left open only if inspect refused.
func (t *tunnel) relay(ctx context.Context) error {
	closeBoth := func() {
		discard(t.client.Close())
		discard(t.upstream.Close())
	}
	defer func() { discard(t.upstream.Close()) }()
	stop := context.AfterFunc(ctx, closeBoth)
	defer stop()
	var timedOut atomic.Bool
	t.touch()
	watch := t.watchdog(func() { timedOut.Store(true); closeBoth() })
	defer watch()

	// The downward direction is the last to end as a rule, so it is the one
	// that runs here: nobody need be woken then.
	up := make(chan struct{})
	go func() {
		defer close(up)
		if err := t.upward(); err != nil {
			t.fail(err, syscall.ECONNRESET)
			discard(t.upstream.Close())
			if !t.refused.Load() {
				closeBoth()
			}
		}
	}()
	if err := t.pump(t.client.Conn, t.upstream, &t.flow.down); err != nil {
		t.fail(err, syscall.EPIPE)
		if !t.refused.Load() {
			closeBoth()
		}
	}
	<-up
	if timedOut.Load() {
		return errIdle
	}
	return t.cause
}

// fail notes what went wrong first. A client that goes away without ceremony,
// which shows as gone, is an end like any other.
func (t *tunnel) fail(err, gone error) {
	t.first.Do(func() {
		if !errors.Is(err, gone) {
			t.cause = err
		}
	})
}

// upward sends what was peeked, then the rest.
func (t *tunnel) upward() error {
	if t.inspect != nil {
		if err := t.inspect(); err != nil {
			t.refused.Store(true)
			return err
		}
	}
	if len(t.client.head) > 0 {
		if err := t.flow.up.pass(len(t.client.head)); err != nil {
			return err
		}
		_, err := t.upstream.Write(t.client.head)
		t.client.head = nil
		t.touch()
		if err != nil {
			return err
		}
	}
	return t.pump(t.upstream, t.client.Conn, &t.flow.up)
}

func (t *tunnel) touch() { t.last.Store(time.Now().UnixNano()) }

// watchdog calls expire when nothing has moved for t.idle.
func (t *tunnel) watchdog(expire func()) (stop func()) {
	var mu sync.Mutex
	var timer *time.Timer
	stopped := false
	check := func() {
		mu.Lock()
		defer mu.Unlock()
		if stopped {
			return
		}
		left := t.idle - time.Since(time.Unix(0, t.last.Load()))
		if left <= 0 {
			expire()
			return
		}
		timer.Reset(left)
	}
	mu.Lock()
	timer = time.AfterFunc(t.idle, check)
	mu.Unlock()
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		timer.Stop()
	}
}

// pump copies until src ends and then closes dst for writing.
func (t *tunnel) pump(dst, src net.Conn, count *tally) error {
	from, ok1 := src.(*net.TCPConn)
	to, ok2 := dst.(*net.TCPConn)
	var err error
	if ok1 && ok2 {
		err = t.pumpTCP(to, from, count)
	} else {
		err = t.pumpAny(dst, src, count)
	}
	if err != nil || t.ended.Add(1) == 2 {
		return err
	}
	return closeWrite(dst)
}

func closeWrite(c net.Conn) error {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok {
		return c.Close()
	}
	if err := half.CloseWrite(); err != nil && !errors.Is(err, syscall.ENOTCONN) {
		return err
	}
	return nil
}

func (t *tunnel) pumpAny(dst io.Writer, src io.Reader, count *tally) error {
	buf := getBuffer()
	defer putBuffer(buf)
	for {
		n, rerr := src.Read(*buf)
		if n > 0 {
			if err := count.pass(n); err != nil {
				return err
			}
			_, err := dst.Write((*buf)[:n])
			t.touch()
			if err != nil {
				return err
			}
		}
		if errors.Is(rerr, io.EOF) {
			return nil
		}
		if rerr != nil {
			return rerr
		}
	}
}

// pumpTCP waits without a buffer, moves small pieces through one, and splices
// while there is more. An idle tunnel holds neither buffer nor pipe.
func (t *tunnel) pumpTCP(dst, src *net.TCPConn, count *tally) error {
	raw, err := src.SyscallConn()
	if err != nil {
		return err
	}
	ready := newReadiness(raw)
	for {
		n, err := t.piece(dst, ready, count)
		if err == nil && n == pumpBuffer && !count.bounded() {
			n, err = t.flood(dst, src, count)
		}
		if n == 0 || err != nil {
			return err
		}
	}
}

// piece waits for what comes next and passes it on through a buffer.
func (t *tunnel) piece(dst *net.TCPConn, ready *readiness, count *tally) (int, error) {
	buf, n, err := ready.read()
	if err != nil {
		return 0, err
	}
	defer putBuffer(buf)
	if n == 0 {
		return 0, nil
	}
	if err := count.pass(n); err != nil {
		return 0, err
	}
	_, err = dst.Write((*buf)[:n])
	t.touch()
	return n, err
}

// flood splices until it gets less than a buffer would hold, or there is no
// pipe left. Like piece it gives 0 at the end of the stream.
func (t *tunnel) flood(dst, src *net.TCPConn, count *tally) (int, error) {
	s, err := newSplicer(t.pipes, dst, src)
	if err != nil {
		return 0, err
	}
	for {
		n, scarce, err := s.move()
		if scarce {
			return pumpBuffer, nil
		}
		count.passed.Add(int64(n)) // without a bound, see pumpTCP
		t.touch()
		if n < pumpBuffer || err != nil {
			return n, err
		}
	}
}

// readiness reads from a socket into a pooled buffer that is taken only when
// there is something to read.
type readiness struct {
	raw syscall.RawConn
	try func(fd uintptr) bool
	buf *[]byte
	n   int
	err error
}

func newReadiness(raw syscall.RawConn) *readiness {
	r := &readiness{raw: raw}
	r.try = func(fd uintptr) bool {
		r.buf = getBuffer()
		for {
			r.n, r.err = syscall.Read(int(fd), *r.buf)
			if !errors.Is(r.err, syscall.EINTR) {
				break
			}
		}
		if errors.Is(r.err, syscall.EAGAIN) {
			putBuffer(r.buf)
			return false
		}
		return true
	}
	return r
}

// read gives a buffer, which the caller puts back, and how much is in it; 0
// at the end of the stream.
func (r *readiness) read() (*[]byte, int, error) {
	if err := r.raw.Read(r.try); err != nil {
		return nil, 0, err
	}
	if r.err != nil {
		putBuffer(r.buf)
		return nil, 0, r.err
	}
	return r.buf, r.n, nil
}
