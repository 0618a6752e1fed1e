package native

import (
	"context"
	"errors"
	"fmt"
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
	group   *cgroup
	ctx     context.Context // of the start, without its end

	mu        sync.Mutex
	usage     sandbox.Usage // as it was when the sandbox ended
	closed    bool
	closeOnce sync.Once
	closeErr  error
}

var _ sandbox.Sandbox = (*box)(nil)

func newBox(ctx context.Context, b *builder, one *initProcess, report *pidone.Report, sockets sandbox.Sockets) *box {
	x := &box{id: b.spec.ID, runtime: b.runtime, one: one, group: b.group, ctx: context.WithoutCancel(ctx)}
	x.Link = pidone.NewLink(pidone.LinkConfig{
		ID: b.spec.ID, Logger: b.runtime.config.logger(), Wire: one.wire, Init: one, OOMKills: b.group.usage().OOMKills, Open: sockets,
		Owner: b.spec.Identity,
		Has:   report.Complete(sandbox.Facts{Runtime: Name, Rootless: !b.root, LimitedBy: b.by, ToolPath: b.plan.toolPath, Notes: b.notes}),
	})
	x.LimitDisk(b.limits.DiskBytes, b.spec.Mounts, one.kill)
	return x
}

// Usage implements sandbox.Sandbox.
func (x *box) Usage() sandbox.Usage {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.closed {
		x.usage = x.measure()
	}
	u := x.usage
	u.DiskExceeded = x.DiskExceeded()
	return u
}

// measure reads the cgroup; x.mu is held.
func (x *box) measure() sandbox.Usage {
	return sandbox.Usage{OOMKills: x.Kills(), MemoryPeak: x.group.usage().Peak()}
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
	errs := pidone.CloseSockets(x.Open)
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
