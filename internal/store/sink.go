package store

import (
	"context"
	"sync"
	"time"

	"agentprocess/internal/audit"
)

// FlushEvery is the longest that an event waits in memory.
const FlushEvery = 50 * time.Millisecond

// batchBytes is how much of event data waits in memory before Write blocks
// until it is on disk.
const batchBytes = 1 << 20

// Sink is an audit.Sink that writes to the database from a goroutine of its
// own, many events in one transaction. Its owner must Close it.
type Sink struct {
	store *Store
	wake  chan struct{} // something waits
	hurry chan struct{} // somebody waits for it
	stop  chan struct{}
	ended chan struct{}
	fails chan struct{}

	mu      sync.Mutex
	pending *batch
	err     error // the first one, which sticks
	closed  bool
}

// batch is events that go to disk together; err is set before done is closed.
type batch struct {
	events []audit.Event
	bytes  int
	done   chan struct{}
	err    error
}

// Sink starts writing events. The end of ctx does not end it: a run that is
// cut short must still be recorded. Close does.
func (s *Store) Sink(ctx context.Context) *Sink {
	k := &Sink{
		store:   s,
		wake:    make(chan struct{}, 1),
		hurry:   make(chan struct{}, 1),
		stop:    make(chan struct{}),
		ended:   make(chan struct{}),
		fails:   make(chan struct{}),
		pending: newBatch(),
	}
	go k.run(context.WithoutCancel(ctx))
	return k
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

// Write implements audit.Sink. It returns at once, except that a verdict is on
// disk when it returns, and that it waits when too much is in memory.
func (k *Sink) Write(e audit.Event) error {
	k.mu.Lock()
	if err := k.unusable(); err != nil {
		k.mu.Unlock()
		return err
	}
	b := k.pending
	b.events = append(b.events, e)
	b.bytes += len(e.Data)
	wait := e.Kind == (audit.Verdict{}).EventKind() || b.bytes > batchBytes
	k.mu.Unlock()
	signal(k.wake)
	if !wait {
		return nil
	}
	return k.waitFor(b)
}

// Flush waits until everything written so far is on disk.
func (k *Sink) Flush() error {
	k.mu.Lock()
	b := k.pending
	if k.err != nil || k.closed {
		defer k.mu.Unlock()
		return k.err
	}
	k.mu.Unlock()
	signal(k.wake)
	return k.waitFor(b)
}

// Failed is closed when a write has failed, for those who must end the run and
// have nothing to write just now. Flush says why.
func (k *Sink) Failed() <-chan struct{} { return k.fails }

// Close writes what waits, ends the goroutine, and gives the first error there
// was. It can be called again.
func (k *Sink) Close() error {
	k.mu.Lock()
	if !k.closed {
		k.closed = true
		close(k.stop)
	}
	k.mu.Unlock()
	<-k.ended
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

func (k *Sink) unusable() error {
	if k.err == nil && k.closed {
		return errClosed
	}
	return k.err
}

func (k *Sink) waitFor(b *batch) error {
	signal(k.hurry)
	<-b.done
	return b.err
}

// signal wakes a receiver that may not be waiting yet.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it has been told already
	}
}

func (k *Sink) run(ctx context.Context) {
	defer close(k.ended)
	for {
		select {
		case <-k.wake:
		case <-k.stop:
			k.commit(ctx)
			return
		}
		timer := time.NewTimer(FlushEvery)
		select {
		case <-timer.C:
		case <-k.hurry:
		case <-k.stop:
		}
		timer.Stop()
		k.commit(ctx)
	}
}

// commit writes the batch that waits and starts the next one.
func (k *Sink) commit(ctx context.Context) {
	k.mu.Lock()
	b := k.pending
	k.pending = newBatch()
	err := k.err
	k.mu.Unlock()
	if err == nil && len(b.events) > 0 {
		err = k.store.AppendEvents(ctx, b.events...)
	}
	if err != nil {
		k.fail(err)
	}
	b.err = err
	close(b.done)
}

func (k *Sink) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.err = err
		close(k.fails)
	}
}
