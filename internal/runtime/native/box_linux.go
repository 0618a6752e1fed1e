package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"sync"
	"syscall"

	"agentprocess/internal/sandbox"
)

// box is a running sandbox.
type box struct {
	id      string
	log     *slog.Logger
	runtime *Runtime
	one     *initProcess
	sockets sandbox.Sockets
	facts   sandbox.Facts
	group   *cgroup
	ctx     context.Context // of the start, without its end
	tasks   sync.WaitGroup  // our goroutines

	mu           sync.Mutex
	running      map[int]*process
	last         int // the last id of a process
	watchedKills int
	diskExceeded bool
	usage        sandbox.Usage // as it was when the sandbox ended
	closing      bool
	closed       bool
	closeOnce    sync.Once
	closeErr     error
}

var _ sandbox.Sandbox = (*box)(nil)

func newBox(ctx context.Context, b *builder, one *initProcess, report *initReport, sockets sandbox.Sockets) *box {
	x := &box{
		id: b.spec.ID, log: b.runtime.config.logger(), runtime: b.runtime, one: one,
		sockets: sockets, group: b.group, running: map[int]*process{}, ctx: context.WithoutCancel(ctx),
		facts: sandbox.Facts{
			Runtime: Name, Rootless: !b.root, LandlockABI: report.LandlockABI, Seccomp: true,
			Redirect: report.Redirect, LimitedBy: b.by, ToolPath: b.plan.toolPath,
			Notes: append(b.notes, report.Notes...),
		},
	}
	if report.LandlockABI == 0 {
		x.facts.Notes = append(x.facts.Notes, "the kernel has no Landlock of ABI 2 or later: the mounts are the only wall around files")
	}
	x.tasks.Go(x.listen)
	if limit := b.limits.DiskBytes; limit > 0 {
		d := newDiskWatch(limit, b.spec.Mounts)
		x.tasks.Go(func() { d.watch(one.done, x.exceedDisk) })
	}
	return x
}

// Sockets implements sandbox.Sandbox.
func (x *box) Sockets() sandbox.Sockets { return x.sockets }

// Facts implements sandbox.Sandbox.
func (x *box) Facts() sandbox.Facts {
	f := x.facts
	f.LimitedBy = maps.Clone(f.LimitedBy)
	return f
}

// Usage implements sandbox.Sandbox.
func (x *box) Usage() sandbox.Usage {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.closed {
		x.usage = x.measure()
	}
	u := x.usage
	u.DiskExceeded = x.diskExceeded
	return u
}

// measure reads the cgroup; x.mu is held.
func (x *box) measure() sandbox.Usage {
	u := sandbox.Usage{OOMKills: x.watchedKills}
	if x.group != nil {
		u.MemoryPeak = x.group.peak()
		u.OOMKills += x.group.oomKills()
	}
	return u
}

// exceedDisk ends the sandbox for its disk limit.
func (x *box) exceedDisk() {
	x.mu.Lock()
	x.diskExceeded = true
	x.mu.Unlock()
	x.one.kill()
}

// listen takes what PID 1 says until it ends; then every program has ended.
func (x *box) listen() {
	for {
		m, fds, err := x.one.wire.recv()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				x.log.Warn("sandbox control channel", "run", x.id, "error", err)
			}
			break
		}
		x.handle(m, fds)
	}
	x.one.end()
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, p := range x.running {
		delete(x.running, id)
		p.ended(sandbox.Exit{Code: 128 + int(syscall.SIGKILL), Signal: syscall.SIGKILL}, x.measure().OOMKills)
	}
}

func (x *box) handle(m message, fds []int) {
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
		p.reply <- started{m, fds}
		return
	case m.Op == opExited:
		delete(x.running, m.ID)
		p.ended(sandbox.Exit{Code: m.Code, Signal: syscall.Signal(m.Signal)}, x.measure().OOMKills)
	}
	closeAll(fds...)
}

// Close implements sandbox.Sandbox.
func (x *box) Close() error {
	x.closeOnce.Do(func() { x.closeErr = x.close() })
	return x.closeErr
}

func (x *box) close() error {
	x.mu.Lock()
	x.closing = true // no task is added from here on
	x.mu.Unlock()
	x.one.end()
	x.one.wire.shut()
	x.tasks.Wait()
	x.one.wire.close()
	x.mu.Lock()
	x.usage, x.closed = x.measure(), true
	x.mu.Unlock()
	errs := closeSockets(x.sockets)
	if x.group != nil {
		// No end of a context keeps it: the group is to go whatever happens.
		errs = errors.Join(errs, removeCgroups(x.ctx, x.group.unique()))
	}
	if errs == nil {
		errs = x.runtime.forget(x.id)
	}
	if errs != nil {
		return fmt.Errorf("close sandbox %q: %w", x.id, errs)
	}
	return nil
}
