package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"agentprocess/internal/sandbox"
)

// The steps of a probe that a sandbox can do without, in some weaker or slower
// way that Facts tell of. The name of the overlay's is one that the service
// knows.
const (
	stepOverlay  = "overlay"
	stepRedirect = "nftables redirect"
	stepLandlock = "landlock"
	stepLimits   = "limits"
)

// Probe implements sandbox.Runtime: it asks the engine, and then really starts
// a container as a sandbox is one.
func (r *Runtime) Probe(ctx context.Context) (sandbox.Capabilities, error) {
	caps := sandbox.Capabilities{Runtime: r.Name()}
	e, err := r.connect(ctx)
	if ctx.Err() != nil {
		return caps, ctx.Err()
	}
	if err != nil {
		caps.Steps = []sandbox.Step{failed("engine", err)}
		return caps, nil
	}
	caps.Steps = []sandbox.Step{
		{Name: "engine", OK: true, Required: true, Detail: fmt.Sprintf("%s %s at %s, %s", e.kind, e.info.ServerVersion, e.host, e.who())},
		e.platformStep(), e.seccompStep(), e.limitsStep(),
	}
	img, err := e.image(ctx, r.config.Image)
	if err != nil {
		caps.Steps = append(caps.Steps, failed("image", err))
		return caps, ctx.Err()
	}
	caps.Steps = append(caps.Steps, sandbox.Step{Name: "image", OK: true, Required: true, Detail: r.config.Image + ", " + img.id})
	steps, err := r.probeStart(ctx)
	caps.Steps = append(caps.Steps, steps...)
	return caps, err
}

// who says as whom an engine runs.
func (e *engine) who() string {
	if e.rootless() {
		return "rootless"
	}
	return "as root"
}

// failed is a required step that ended in an error.
func failed(name string, err error) sandbox.Step {
	return sandbox.Step{Name: name, Required: true, Detail: err.Error(), Fix: sandbox.ErrorHint(err)}
}

func (e *engine) platformStep() sandbox.Step {
	s := sandbox.Step{Name: "platform", OK: e.local && e.platform(), Required: true, Detail: e.info.OSType + "/" + e.info.Architecture}
	if !s.OK {
		s.Cause, s.Fix = "it is another machine's engine, or another kind of machine", "use an engine of this machine: unset DOCKER_HOST, or `docker context use default`"
	}
	return s
}

func (e *engine) seccompStep() sandbox.Step {
	s := sandbox.Step{Name: "seccomp", Required: true, Detail: "the engine loads our profile"}
	s.OK = slices.ContainsFunc(e.info.SecurityOptions, func(o string) bool { return strings.HasPrefix(o, "name=seccomp") })
	if !s.OK {
		s.Detail, s.Cause, s.Fix = "the engine has no seccomp", "its kernel or build lacks it", "use an engine with seccomp"
	}
	return s
}

func (e *engine) limitsStep() sandbox.Step {
	s := sandbox.Step{Name: stepLimits, OK: e.info.MemoryLimit && e.info.PidsLimit, Detail: "memory and processes, cgroup v" + e.info.CgroupVersion}
	if !s.OK {
		s.Detail = fmt.Sprintf("memory: %t, processes: %t", e.info.MemoryLimit, e.info.PidsLimit)
		s.Cause, s.Fix = "the engine has no cgroup controllers for them", "delegate them to the engine, see its documentation on cgroups"
	}
	return s
}

// probeStart starts a container with an overlay, and one without when that
// does not work.
func (r *Runtime) probeStart(ctx context.Context) ([]sandbox.Step, error) {
	spec, done, err := r.probeSpec()
	if err != nil {
		return nil, err
	}
	defer done()
	overlay := sandbox.Step{Name: stepOverlay, OK: true, Detail: "works"}
	box, err := r.Start(ctx, spec)
	if err != nil && ctx.Err() == nil {
		overlay = sandbox.Step{
			Name: stepOverlay, Detail: err.Error(), Cause: "the engine, its kernel or the file system of the state directory cannot do it",
			Fix: "nothing: agents get a plain checkout instead, which takes longer to make",
		}
		spec.Mounts = nil
		box, err = r.Start(ctx, spec)
	}
	if ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), closeBox(box))
	}
	if err != nil {
		return []sandbox.Step{failed("container", err)}, nil
	}
	facts := box.Facts()
	steps := []sandbox.Step{
		{Name: "container", OK: true, Required: true, Detail: "our init starts in it, and gives up its capabilities"},
		overlay,
		{Name: stepRedirect, OK: facts.Redirect, Detail: strings.Join(append([]string{fmt.Sprintf("works: %t", facts.Redirect)}, facts.Notes...), "; ")},
		{Name: stepLandlock, OK: facts.LandlockABI > 0, Detail: fmt.Sprintf("ABI %d", facts.LandlockABI)},
	}
	return steps, box.Close()
}

func closeBox(box sandbox.Sandbox) error {
	if box == nil {
		return nil
	}
	return box.Close()
}

// probeSpec is a throw-away sandbox with an overlay where workspaces will be.
func (r *Runtime) probeSpec() (sandbox.Spec, func(), error) {
	if err := os.MkdirAll(r.config.StateDir, 0o700); err != nil {
		return sandbox.Spec{}, nil, fmt.Errorf("make state directory: %w", err)
	}
	dir, err := os.MkdirTemp(r.config.StateDir, "probe-*")
	if err != nil {
		return sandbox.Spec{}, nil, fmt.Errorf("probe: %w", err)
	}
	done := func() { _ = os.RemoveAll(dir) } // empty directories, in our own state
	id := r.config.Identity
	m := sandbox.Mount{Kind: sandbox.MountOverlay, Target: "/probe"}
	for _, layer := range []struct {
		name string
		path *string
	}{{"lower", &m.Lower}, {"upper", &m.Upper}, {"work", &m.Work}} {
		*layer.path = filepath.Join(dir, layer.name)
		if err := errors.Join(os.Mkdir(*layer.path, 0o700), os.Lchown(*layer.path, id.UID, id.GID)); err != nil {
			done()
			return sandbox.Spec{}, nil, fmt.Errorf("probe: %w", err)
		}
	}
	return sandbox.Spec{
		ID: "probe-" + strings.ToLower(rand.Text()[:10]), Identity: id, Home: "/home/agent", Network: sandbox.NetworkGateway, Mounts: []sandbox.Mount{m},
	}, done, nil
}
