package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"agentprocess/internal/runtime/idmap"
	"agentprocess/internal/sandbox"
)

// Runtime makes sandboxes on this machine. It is safe for concurrent use.
type Runtime struct {
	config Config
	idmaps idmap.Namespaces
}

var _ sandbox.Runtime = (*Runtime)(nil)

// New makes the runtime. Nothing is touched before Start.
func New(c Config) *Runtime {
	return &Runtime{config: c}
}

// Name implements sandbox.Runtime.
func (r *Runtime) Name() string { return Name }

// Start implements sandbox.Runtime. ctx bounds the set-up only; the sandbox
// lives until Close or the end of this process.
func (r *Runtime) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if err := checkSpec(spec); err != nil {
		return nil, err
	}
	b := &builder{runtime: r, spec: spec}
	box, err := b.build(ctx)
	if err != nil {
		return nil, err
	}
	return box, nil
}

// validID reports whether id can be part of the name of a file and a cgroup.
func validID(id string) bool {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	return id != "" && len(id) <= 100 && id[0] != '.' && strings.Trim(id, allowed) == ""
}

// checkSpec refuses what cannot become a sandbox before anything is made.
func checkSpec(spec sandbox.Spec) error {
	if !validID(spec.ID) {
		return sandbox.Fail(sandbox.CodeInternal, fmt.Errorf("run id %q: want letters, digits, '.', '_' and '-'", spec.ID), "")
	}
	if spec.Home != "" && (!filepath.IsAbs(spec.Home) || filepath.Clean(spec.Home) != spec.Home || spec.Home == "/") {
		return sandbox.Fail(sandbox.CodeInternal, fmt.Errorf("home %q is not a clean absolute path below /", spec.Home), "")
	}
	if spec.Network != sandbox.NetworkNone && spec.Network != sandbox.NetworkGateway && spec.Network != "" {
		return sandbox.Fail(sandbox.CodeInternal, fmt.Errorf("unknown network %q", spec.Network), "")
	}
	return checkIdentity(spec.Identity)
}

// Cleanup implements sandbox.Runtime: it removes the cgroups of a run, and
// what still runs in them. Everything else of a sandbox dies with it.
func (r *Runtime) Cleanup(ctx context.Context, id string) error {
	if !validID(id) {
		return sandbox.Fail(sandbox.CodeInternal, fmt.Errorf("run id %q: want letters, digits, '.', '_' and '-'", id), "")
	}
	dirs, err := findCgroups(cgroupRoot, id)
	if err != nil {
		return fmt.Errorf("find cgroups of run %q: %w", id, err)
	}
	recorded, err := r.recorded(id)
	if err != nil {
		return err
	}
	if err := removeCgroups(ctx, append(dirs, recorded...)); err != nil {
		return err
	}
	return r.forget(id)
}

// record notes the cgroups of a run before they are made: a host may mount
// them where Cleanup would not look.
func (r *Runtime) record(id string, dirs []string) error {
	if r.config.StateDir == "" || len(dirs) == 0 {
		return nil
	}
	if err := os.MkdirAll(r.config.StateDir, 0o700); err != nil {
		return fmt.Errorf("make state directory: %w", err)
	}
	return writeRecord(r.recordFile(id), dirs)
}

func (r *Runtime) recordFile(id string) string {
	return filepath.Join(r.config.StateDir, cgroupPrefix+id+".json")
}

func (r *Runtime) recorded(id string) ([]string, error) {
	if r.config.StateDir == "" {
		return nil, nil
	}
	return readRecord(r.recordFile(id), cgroupPrefix+id)
}

func (r *Runtime) forget(id string) error {
	if r.config.StateDir == "" {
		return nil
	}
	if err := os.Remove(r.recordFile(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
