package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"agentprocess/internal/runtime/contained"
	"agentprocess/internal/runtime/pidone"
	"agentprocess/internal/sandbox"
)

// startTime bounds the wait for PID 1 of a container that has started: it is
// there within milliseconds, or never.
const startTime = 20 * time.Second

// removeTime bounds the removal of a container.
const removeTime = 60 * time.Second

// box is a running sandbox.
type box struct {
	*pidone.Link
	cgroup *counted
	life   *life

	closeOnce sync.Once
	closeErr  error
}

var _ sandbox.Sandbox = (*box)(nil)

// start makes the container of a sandbox, on an engine that sees our files.
func (r *Runtime) start(ctx context.Context, e *engine, spec sandbox.Spec) (_ sandbox.Sandbox, err error) {
	if !e.local || !e.platform() {
		return nil, sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("%s at %s is not on this machine", e.kind, e.host), "use an engine of this machine")
	}
	img, err := e.image(ctx, r.config.Image)
	if err != nil {
		return nil, err
	}
	if img.user != "" {
		spec.Identity.Name = img.user
	}
	dir := r.boxDir(spec.ID)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
		return nil, sandbox.Fail(sandbox.CodeBusy, fmt.Errorf("container directory %q: a sandbox of that id runs or was not cleaned up", dir), "stop it, or run cleanup")
	} else if err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	l := &life{engine: e, name: namePrefix + spec.ID, dir: dir, image: img, ctx: context.WithoutCancel(ctx), done: make(chan struct{})}
	defer func() {
		if err != nil {
			l.End()
			err = errors.Join(err, l.err)
		}
	}()
	return r.startIn(ctx, l, img, spec)
}

// startIn makes it, with its directory at hand.
func (r *Runtime) startIn(ctx context.Context, l *life, img *rootImage, spec sandbox.Spec) (sandbox.Sandbox, error) {
	e := l.engine
	control, err := listen(filepath.Join(l.dir, "control"))
	if err != nil {
		return nil, err
	}
	defer control.close()
	files := filepath.Join(l.dir, "files")
	if err := os.Mkdir(files, 0o755); err != nil { //nolint:gosec // the agent, another id, reads below it
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	p, err := r.newPlan(e, img, spec, files)
	if err != nil {
		return nil, err
	}
	p.mounts = append(p.mounts, bindMount(control.dir, contained.ControlDir, true))
	options, err := r.createOptions(e, img, spec, p, l.dir)
	if err != nil {
		return nil, err
	}
	for _, v := range p.volumes {
		l.volumes = append(l.volumes, v.Name)
		if _, err := e.VolumeCreate(ctx, v); err != nil {
			return nil, e.startError(ctx, "create volume", err)
		}
	}
	if _, err := e.ContainerCreate(ctx, options); err != nil {
		return nil, e.startError(ctx, "create container", err)
	}
	if _, err := e.ContainerStart(ctx, l.name, client.ContainerStartOptions{}); err != nil {
		return nil, e.startError(ctx, "start container", err)
	}
	wire, pid, err := control.accept(ctx, l)
	if err != nil {
		return nil, err
	}
	l.wire = wire
	if err := r.show(ctx, p.shown, spec.Identity, pid); err != nil {
		return nil, err
	}
	cfg := contained.Config{Identity: spec.Identity, Network: spec.Network, Files: p.files, Writable: p.writable, Own: p.chown}
	if spec.Limits.DiskBytes > 0 {
		cfg.FileSize = uint64(spec.Limits.DiskBytes) // positive
	}
	return r.complete(ctx, l, spec, cfg, pid)
}

// complete configures PID 1 and takes what it made.
func (r *Runtime) complete(ctx context.Context, l *life, spec sandbox.Spec, cfg contained.Config, pid int) (sandbox.Sandbox, error) {
	if err := l.wire.SendPayload(pidone.Message{Op: pidone.OpConfig}, cfg); err != nil && !pidone.HungUp(err) {
		return nil, fmt.Errorf("configure sandbox: %w", err)
	}
	stop := context.AfterFunc(ctx, l.wire.Shut)
	m, fds, err := l.wire.Recv()
	stop()
	switch {
	case ctx.Err() != nil:
		pidone.CloseAll(fds...)
		return nil, ctx.Err()
	case err != nil:
		return nil, sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("set up sandbox: init ended: %w", err), "run doctor")
	case m.Op != pidone.OpReady:
		pidone.CloseAll(fds...)
		return nil, sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("set up sandbox: %s", m.Error), "run doctor")
	}
	sockets, err := pidone.NewSockets(m.Report.Sockets, fds)
	if err != nil {
		return nil, err
	}
	return r.newBox(l, spec, m.Report, sockets, pid), nil
}

func (r *Runtime) newBox(l *life, spec sandbox.Spec, report *pidone.Report, sockets sandbox.Sockets, pid int) *box {
	e := l.engine
	limits := e.withDefaults(spec.Limits)
	has := report.Complete(sandbox.Facts{
		Runtime: r.Name(), Rootless: e.rootless(), LimitedBy: e.limitedBy(limits), ToolPath: l.image.path(), Image: r.config.Image, ImageEnv: l.image.env, ImageUser: l.image.user, Prepare: l.image.commands,
	})
	for _, limit := range []string{"memory", "pids"} {
		if has.LimitedBy[limit] == "" {
			has.Notes = append(has.Notes, "the engine cannot limit "+limit)
		}
	}
	x := &box{cgroup: &counted{group: pidone.CgroupOf(pid)}, life: l}
	x.Link = pidone.NewLink(pidone.LinkConfig{
		ID: spec.ID, Logger: r.config.logger(), Wire: l.wire, Init: l, OOMKills: x.cgroup.kills, Has: has, Open: sockets, Owner: spec.Identity,
	})
	x.LimitDisk(limits.DiskBytes, spec.Mounts, l.wire.Shut) // the end of PID 1, and of all with it
	return x
}

// Usage implements sandbox.Sandbox.
func (x *box) Usage() sandbox.Usage {
	return sandbox.Usage{MemoryPeak: x.cgroup.peak(), OOMKills: x.Kills(), DiskExceeded: x.DiskExceeded()}
}

// Close implements sandbox.Sandbox.
func (x *box) Close() error {
	x.closeOnce.Do(func() {
		x.cgroup.peak() // it is gone with the container
		x.Link.Close()
		x.closeErr = errors.Join(x.life.err, pidone.CloseSockets(x.Open))
	})
	return x.closeErr
}

// counted remembers what a control group counted, beyond the group's end.
type counted struct {
	group pidone.Cgroup
	mu    sync.Mutex
	most  int
	high  int64
}

func (c *counted) kills() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.most = max(c.most, c.group.OOMKills())
	return c.most
}

func (c *counted) peak() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.high = max(c.high, c.group.Peak())
	return c.high
}
