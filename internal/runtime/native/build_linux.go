package native

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"agentprocess/internal/runtime/idmap"
	"agentprocess/internal/runtime/pidone"
	"agentprocess/internal/sandbox"
)

// builder makes one sandbox.
type builder struct {
	runtime *Runtime
	spec    sandbox.Spec
	limits  sandbox.Limits
	root    bool // we are root: mounts are opened here
	plan    plan
	group   *cgroup
	inner   pidone.Limits
	by      map[string]string // limit to mechanism
	notes   []string
}

// build starts PID 1 and does, while that comes up, what does not need it.
func (b *builder) build(ctx context.Context) (*box, error) {
	b.root = os.Geteuid() == 0
	network := b.spec.Network
	if network == "" {
		network = sandbox.NetworkNone
	}
	b.spec.Network = network
	prepared := make(chan error, 1)
	go func() { prepared <- b.prepare() }()
	var one *initProcess
	err := b.limit()
	if err == nil {
		one, err = b.runtime.startInit(ctx, verbInit, b.spec.Identity, network, b.group)
	}
	if perr := <-prepared; err != nil || perr != nil {
		if one != nil {
			one.End()
			one.wire.Close()
		}
		return nil, errors.Join(cmp.Or(perr, err), b.undo(ctx))
	}
	// Until it stands, the end of ctx is the end of it.
	stop := context.AfterFunc(ctx, one.kill)
	box, err := b.complete(ctx, one)
	stop()
	if err == nil && ctx.Err() != nil {
		err = errors.Join(ctx.Err(), box.Close())
	}
	if err != nil {
		one.End()
		one.wire.Close()
		return nil, errors.Join(err, b.undo(ctx))
	}
	return box, nil
}

// undo removes what a failed start left on the host.
func (b *builder) undo(ctx context.Context) error {
	if b.group == nil {
		return nil
	}
	return errors.Join(removeCgroups(context.WithoutCancel(ctx), b.group.unique()), b.runtime.forget(b.spec.ID))
}

// complete configures PID 1. Its cgroup is joined while it builds the root:
// the kernel may take its time for that.
func (b *builder) complete(ctx context.Context, one *initProcess) (*box, error) {
	joined := make(chan error, 1)
	go func() { joined <- b.join(one.pid) }()
	err := b.configure(ctx, one)
	if err := cmp.Or(err, <-joined); err != nil {
		return nil, err
	}
	if err := one.wire.SendPayload(pidone.Message{Op: pidone.OpLimits}, b.inner); err != nil && !pidone.HungUp(err) {
		return nil, fmt.Errorf("configure sandbox: %w", err)
	}
	m, fds, err := one.wire.Recv()
	if err != nil || m.Op != pidone.OpReady {
		pidone.CloseAll(fds...)
		return nil, b.setUpError(ctx, one, m, err)
	}
	if m.Report == nil {
		pidone.CloseAll(fds...)
		return nil, errors.New("configure sandbox: it is ready, and does not say how")
	}
	sockets, err := pidone.NewSockets(m.Report.Sockets, fds)
	if err != nil {
		return nil, err
	}
	return newBox(ctx, b, one, m.Report, sockets), nil
}

// configure tells PID 1 what the root is made of.
func (b *builder) configure(ctx context.Context, one *initProcess) error {
	mounts, err := b.openTrees(ctx)
	defer pidone.CloseAll(mounts...)
	if err != nil {
		return err
	}
	cfg := initConfig{
		Identity: b.spec.Identity, Hostname: b.spec.Hostname, Home: b.spec.Home, Network: b.spec.Network,
		Trees: b.plan.trees, Links: b.plan.links, Covers: b.plan.covers, Files: slices.Concat(b.plan.files, b.spec.Files),
	}
	if err := one.wire.SendPayload(pidone.Message{Op: pidone.OpConfig}, cfg, mounts...); err != nil && !pidone.HungUp(err) {
		return fmt.Errorf("configure sandbox: %w", err)
	}
	return nil
}

// setUpError says why PID 1 did not get ready.
func (b *builder) setUpError(ctx context.Context, one *initProcess, m pidone.Message, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if m.Op == pidone.OpFailed {
		cause := errors.New(m.Error)
		if m.Errno != 0 {
			cause = fmt.Errorf("%s (%w)", m.Error, unix.Errno(m.Errno))
		}
		if m.Step == stepOverlay {
			cause = errors.Join(ErrOverlay, cause)
		}
		return sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("set up sandbox: %w", cause), hintFor(m.Step, unix.Errno(m.Errno)))
	}
	one.End()
	return sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("set up sandbox: init ended: %w", errors.Join(err, one.err)), "run doctor")
}

// prepare works out what the root is made of.
func (b *builder) prepare() error {
	var err error
	tools := findToolchains(b.spec.ToolPath, hostHomes())
	if b.plan, err = newPlan(b.spec, tools, b.runtime.binary()); err != nil {
		return err
	}
	b.notes = append(b.notes, b.plan.notes...)
	return nil
}

// openTrees makes, as root, the mounts that the agent's id could not make.
func (b *builder) openTrees(ctx context.Context) ([]int, error) {
	if !b.root {
		return nil, nil
	}
	var mounts []int
	kept := b.plan.trees[:0]
	for _, t := range b.plan.trees {
		if t.Kind != treeBind && t.Kind != treeOverlay {
			kept = append(kept, t)
			continue
		}
		fd, err := t.open(false)
		if errors.Is(err, errAbsent) {
			continue
		}
		if err != nil {
			return mounts, sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("mount %q: %w", t.Target, err), "")
		}
		mounts = append(mounts, fd)
		if t.IDMap {
			if err := b.idmap(ctx, fd, t); err != nil {
				return mounts, err
			}
		}
		t.Passed = true
		kept = append(kept, t)
	}
	b.plan.trees = kept
	return mounts, nil
}

// idmap shows a tree of root's as the agent's. Where the file system cannot do
// that the tree stays as it is if everybody may read it.
func (b *builder) idmap(ctx context.Context, fd int, t tree) error {
	ns, err := b.runtime.idmaps.Namespace(ctx, b.spec.Identity)
	if err == nil {
		err = idmap.Tree(fd, ns)
	}
	if err == nil {
		return nil
	}
	if !idmap.Closed(t.Source) {
		return nil
	}
	return sandbox.Fail(sandbox.CodeRuntime,
		fmt.Errorf("mount %q: only root may read %q, and it cannot be shown as the agent's: %w", t.Target, t.Source, err),
		"make it readable for others, or run as its owner")
}

// limit puts PID 1 in a cgroup, or works out what it has to do without one.
func (b *builder) limit() error {
	b.limits = withDefaults(b.spec.Limits)
	b.by = map[string]string{}
	h := currentHierarchy()
	if err := b.runtime.record(b.spec.ID, slices.Collect(maps.Values(h.dirs(b.spec.ID)))); err != nil {
		return err
	}
	if len(h.parents) > 0 {
		g, err := newCgroup(h, b.spec.ID, b.limits)
		if errors.Is(err, fs.ErrExist) {
			return sandbox.Fail(sandbox.CodeBusy, err, "stop it, or run cleanup")
		}
		b.group = g
		if err != nil {
			return sandbox.Fail(sandbox.CodeRuntime, err, "")
		}
		for limit := range g.limited {
			b.by[limit] = g.name()
		}
	}
	b.fallBack()
	return nil
}

// join moves PID 1 into its cgroup, unless it was born there.
func (b *builder) join(pid int) error {
	if b.group == nil || b.group.birthplace() {
		return nil
	}
	err := b.group.join(pid)
	if errors.Is(err, unix.ESRCH) {
		return nil // it ended already, and says why
	}
	if err != nil {
		return sandbox.Fail(sandbox.CodeRuntime, err, "")
	}
	return nil
}

// fallBack limits by other means what no cgroup limits.
func (b *builder) fallBack() {
	if b.by["memory"] == "" {
		b.inner.WatchMemory = b.limits.MemoryBytes
		b.inner.Data = uint64(max(2*b.limits.MemoryBytes, 0)) + pidone.DataHeadroom // positive
		b.by["memory"] = "rlimit per process, watched in all every " + pidone.WatchInterval.String()
	}
	if b.by["pids"] == "" {
		b.inner.Processes = uint64(max(b.limits.PIDs, 1)) // positive
		b.by["pids"] = "rlimit"
	}
	if b.limits.CPUs > 0 && b.by["cpus"] == "" {
		b.inner.CPUs = int(math.Ceil(b.limits.CPUs))
		b.by["cpus"] = "affinity"
	}
	if b.limits.DiskBytes > 0 {
		b.inner.FileSize = uint64(b.limits.DiskBytes) // positive
		b.by["disk"] = "rlimit per file, measured in all"
	}
	if b.inner.WatchMemory > 0 || b.inner.Processes > 0 {
		b.notes = append(b.notes, "no cgroup can be made here, so limits are kept by rlimits and by watching; a login started by `systemd-run --user --scope --property=Delegate=yes` has one")
	}
}
