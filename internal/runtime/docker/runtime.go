package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"agentprocess/internal/sandbox"
)

// Runtime makes sandboxes in an engine. It is safe for concurrent use.
type Runtime struct {
	config Config
	idmaps namespaces
	mu     sync.Mutex
	engine *engine
	joined bool // its network is for other containers, too
}

var _ sandbox.Runtime = (*Runtime)(nil)

// New makes the runtime. The engine is not spoken to before it is needed.
func New(c Config) (*Runtime, error) {
	c.Kind = cmp.Or(c.Kind, Docker)
	if c.Program == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find our own binary: %w", err)
		}
		c.Program = self
	}
	return &Runtime{config: c}, nil
}

// Name implements sandbox.Runtime.
func (r *Runtime) Name() string { return string(r.config.Kind) }

// validID reports whether id can be part of the name of a container.
func validID(id string) bool {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	return id != "" && len(id) <= 100 && id[0] != '.' && strings.Trim(id, allowed) == ""
}

// checkSpec refuses what cannot become a sandbox before anything is made.
func checkSpec(spec sandbox.Spec) error {
	switch {
	case !validID(spec.ID):
		return sandbox.Fail(sandbox.CodeInternal, fmt.Errorf("run id %q: want letters, digits, '.', '_' and '-'", spec.ID), "")
	case spec.Home != "" && (!path.IsAbs(spec.Home) || path.Clean(spec.Home) != spec.Home || spec.Home == "/"):
		return sandbox.Fail(sandbox.CodeInternal, fmt.Errorf("home %q is not a clean absolute path below /", spec.Home), "")
	case spec.Network != sandbox.NetworkNone && spec.Network != sandbox.NetworkGateway && spec.Network != "":
		return sandbox.Fail(sandbox.CodeInternal, fmt.Errorf("unknown network %q", spec.Network), "")
	case spec.Identity.UID <= 0 || spec.Identity.GID <= 0:
		return sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("identity %d:%d: an agent is never root", spec.Identity.UID, spec.Identity.GID),
			"leave the identity to the default")
	}
	return nil
}

// Start implements sandbox.Runtime. ctx bounds the set-up only; the sandbox
// lives until Close or the end of this process.
func (r *Runtime) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if err := checkSpec(spec); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	spec.Network = cmp.Or(spec.Network, sandbox.NetworkNone)
	e, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	return r.start(ctx, e, spec)
}

// boxDir is the directory of what is mounted into a run's container.
func (r *Runtime) boxDir(id string) string {
	return filepath.Join(r.config.StateDir, "containers", id)
}

// Cleanup implements sandbox.Runtime: what carries the run's label goes.
func (r *Runtime) Cleanup(ctx context.Context, id string) error {
	if !validID(id) {
		return sandbox.Fail(sandbox.CodeInternal, fmt.Errorf("run id %q: want letters, digits, '.', '_' and '-'", id), "")
	}
	e, err := r.connect(ctx)
	if err != nil {
		return err
	}
	if err := e.removeLabelled(ctx, LabelRun+"="+id); err != nil {
		return fmt.Errorf("clean up run %q: %w", id, err)
	}
	return removeBoxDir(r.boxDir(id))
}

// removeLabelled removes every container and volume that carries a label.
func (e *engine) removeLabelled(ctx context.Context, label string) error {
	filter := client.Filters{}.Add("label", label)
	containers, err := e.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filter})
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	var errs []error
	for _, c := range containers.Items {
		errs = append(errs, e.remove(ctx, c.ID))
	}
	volumes, err := e.VolumeList(ctx, client.VolumeListOptions{Filters: filter})
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("list volumes: %w", err))...)
	}
	for _, v := range volumes.Items {
		if _, err := e.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{Force: true}); err != nil && !notFound(err) {
			errs = append(errs, fmt.Errorf("remove volume %q: %w", v.Name, err))
		}
	}
	return errors.Join(errs...)
}

// remove kills and removes a container and what belongs to it alone. That it is
// gone already, or that somebody else is at it, is as good.
func (e *engine) remove(ctx context.Context, container string) error {
	tick := time.NewTicker(removePeriod)
	defer tick.Stop()
	for try := 0; ; try++ {
		_, err := e.ContainerRemove(ctx, container, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err == nil || notFound(err) {
			return nil
		}
		// One that is just ending, or that is being removed, cannot be killed.
		if try >= removeTries || cerrdefs.IsUnavailable(err) || client.IsErrConnectionFailed(err) {
			return fmt.Errorf("remove container %q: %w", container, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove container %q: %w", container, errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
}

// removePeriod and removeTries bound how often a removal is tried again.
const (
	removePeriod = 100 * time.Millisecond
	removeTries  = 100
)

func notFound(err error) bool { return err != nil && cerrdefs.IsNotFound(err) }

// removeBoxDir removes what boxDir names; a control socket may be left in it.
func removeBoxDir(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove %q: %w", dir, err)
	}
	return nil
}
