package native

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"agentprocess/internal/runtime/pidone"
	"agentprocess/internal/sandbox"
)

// box is a running sandbox.
type box struct {
	*pidone.Link
	id      string
	runtime *Runtime
	one     *initProcess
	sockets sandbox.Sockets
	facts   sandbox.Facts
	group   *cgroup
	ctx     context.Context // of the start, without its end

	mu           sync.Mutex
	diskExceeded bool
	usage        sandbox.Usage // as it was when the sandbox ended
	closed       bool
	closeOnce    sync.Once
	closeErr     error
}

var _ sandbox.Sandbox = (*box)(nil)

func newBox(ctx context.Context, b *builder, one *initProcess, report *pidone.Report, sockets sandbox.Sockets) *box {
	x := &box{
		id: b.spec.ID, runtime: b.runtime, one: one,
		sockets: sockets, group: b.group, ctx: context.WithoutCancel(ctx),
		facts: sandbox.Facts{
			Runtime: Name, Rootless: !b.root, LandlockABI: report.LandlockABI, Seccomp: true,
			Redirect: report.Redirect, LimitedBy: b.by, ToolPath: b.plan.toolPath,
			Notes: append(b.notes, report.Notes...),
		},
	}
	if report.LandlockABI == 0 {
		x.facts.Notes = append(x.facts.Notes, "the kernel has no Landlock of ABI 2 or later: the mounts are the only wall around files")
	}
	x.Link = pidone.NewLink(pidone.LinkConfig{ID: b.spec.ID, Logger: b.runtime.config.logger(), Wire: one.wire, Init: one, OOMKills: b.group.usage().OOMKills})
	if limit := b.limits.DiskBytes; limit > 0 {
		d := pidone.NewDiskWatch(limit, b.spec.Mounts)
		x.Go(func() { d.Watch(one.done, x.exceedDisk) })
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
	return sandbox.Usage{OOMKills: x.Kills(), MemoryPeak: x.group.usage().Peak()}
}

// exceedDisk ends the sandbox for its disk limit.
func (x *box) exceedDisk() {
	x.mu.Lock()
	x.diskExceeded = true
	x.mu.Unlock()
	x.one.kill()
}

// Close implements sandbox.Sandbox.
func (x *box) Close() error {
	x.closeOnce.Do(func() { x.closeErr = x.close() })
	return x.closeErr
}

func (x *box) close() error {
	x.Link.Close()
	x.mu.Lock()
	x.usage, x.closed = x.measure(), true
	x.mu.Unlock()
	errs := pidone.CloseSockets(x.sockets)
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
