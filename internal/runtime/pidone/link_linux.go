package pidone

import (
	"errors"
	"io"
	"log/slog"
	"maps"
	"sync"
	"syscall"

	"agentprocess/internal/sandbox"
)

// Init is PID 1 as its supervisor holds it.
type Init interface {
	// End kills it, and returns when nothing of the sandbox is left.
	End()
	// Ended is closed when it ended.
	Ended() <-chan struct{}
	// Err says why it ended; valid after Ended.
	Err() error
}

// LinkConfig is what a Link needs.
type LinkConfig struct {
	ID     string
	Logger *slog.Logger
	Wire   *Wire
	Init   Init
	// OOMKills is how many processes the kernel killed for memory so far.
	OOMKills func() int
	// Has and Open are what was set up.
	Has  sandbox.Facts
	Open sandbox.Sockets
	// Owner is who the programs run as.
	Owner sandbox.Identity
}

// Link is the supervisor's side of a sandbox whose PID 1 is at work: it starts
// programs and follows them to their end.
type Link struct {
	LinkConfig
	tasks sync.WaitGroup // our goroutines

	mu           sync.Mutex
	running      map[int]*process
	last         int // the last id of a process
	watchedKills int
	closing      bool
	diskExceeded bool
}

// NewLink begins to listen to PID 1. Close ends it.
func NewLink(c LinkConfig) *Link {
	x := &Link{LinkConfig: c, running: map[int]*process{}}
	x.tasks.Go(x.listen)
	return x
}

// Go runs f in a goroutine that Close waits for.
func (x *Link) Go(f func()) { x.tasks.Go(f) }

// Sockets implements sandbox.Sandbox.
func (x *Link) Sockets() sandbox.Sockets { return x.Open }

// Facts implements sandbox.Sandbox.
func (x *Link) Facts() sandbox.Facts {
	f := x.Has
	f.LimitedBy = maps.Clone(f.LimitedBy)
	return f
}

// LimitDisk calls kill when the sandbox takes more of the host's disk than limit
// bytes; 0 is no limit.
func (x *Link) LimitDisk(limit int64, mounts []sandbox.Mount, kill func()) {
	if limit <= 0 {
		return
	}
	d := newDiskWatch(limit, mounts)
	x.Go(func() {
		d.watch(x.Init.Ended(), func() {
			x.mu.Lock()
			x.diskExceeded = true
			x.mu.Unlock()
			kill()
		})
	})
}

// DiskExceeded reports whether the disk limit ended the sandbox.
func (x *Link) DiskExceeded() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.diskExceeded
}

// Kills is how many processes were killed for memory, by whoever.
func (x *Link) Kills() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.kills()
}

// kills is Kills with x.mu held.
func (x *Link) kills() int { return x.watchedKills + x.OOMKills() }

// Close kills everything inside and waits for our goroutines. It may be called
// once.
func (x *Link) Close() {
	x.mu.Lock()
	x.closing = true // no task is added from here on
	x.mu.Unlock()
	x.Init.End()
	x.Wire.Shut()
	x.tasks.Wait()
	x.Wire.Close()
}

// listen takes what PID 1 says until it ends; then every program has ended.
func (x *Link) listen() {
	for {
		m, fds, err := x.Wire.Recv()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				x.Logger.Warn("sandbox control channel", "run", x.ID, "error", err)
			}
			break
		}
		x.handle(m, fds)
	}
	x.Init.End()
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, p := range x.running {
		delete(x.running, id)
		p.ended(sandbox.Exit{Code: 128 + int(syscall.SIGKILL), Signal: syscall.SIGKILL}, x.kills())
	}
}

func (x *Link) handle(m Message, fds []int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.running[m.ID]
	switch {
	case m.Op == opOOM:
		x.watchedKills++
	case p == nil:
	case m.Op == opStarted:
		if m.Error != "" {
			delete(x.running, m.ID)
		}
		select {
		case p.reply <- started{m, fds}:
			return
		default: // it was said before: nobody waits for it again
		}
	case m.Op == opExited:
		delete(x.running, m.ID)
		p.ended(sandbox.Exit{Code: m.Code, Signal: syscall.Signal(m.Signal)}, x.kills())
	}
	CloseAll(fds...)
}

// register registers a program that is about to be started.
func (x *Link) register(p *process) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.last++
	p.id, p.oomsAt = x.last, x.kills()
	x.running[p.id] = p
}

// enter adds a task unless the sandbox is being closed.
func (x *Link) enter() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closing {
		return false
	}
	x.tasks.Add(1)
	return true
}

func (x *Link) forget(id int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.running, id)
}

// ended says why a sandbox is no longer there, nil while it is.
func (x *Link) ended() error {
	select {
	case <-x.Init.Ended():
		return x.Init.Err()
	default:
		return nil
	}
}
