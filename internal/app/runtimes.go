package app

import (
	"log/slog"
	"path/filepath"
	"sync"

	"agentprocess/internal/config"
	"agentprocess/internal/runtime/docker"
	"agentprocess/internal/runtime/native"
	"agentprocess/internal/sandbox"
)

// runtimes opens each runtime once: one keeps its connection to an engine.
type runtimes struct {
	paths   config.Paths
	program string
	environ map[string]string
	logger  *slog.Logger

	mu     sync.Mutex
	opened map[sandbox.Backend]sandbox.Runtime
}

// open gives the runtime of a backend.
func (r *runtimes) open(b sandbox.Backend) (sandbox.Runtime, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rt, ok := r.opened[b]; ok {
		return rt, nil
	}
	rt, err := r.make(b)
	if err != nil {
		return nil, err
	}
	if r.opened == nil {
		r.opened = map[sandbox.Backend]sandbox.Runtime{}
	}
	r.opened[b] = rt
	return rt, nil
}

func (r *runtimes) make(b sandbox.Backend) (sandbox.Runtime, error) {
	if b.Runtime == native.Name {
		return native.New(native.Config{StateDir: r.paths.State, Program: r.program, Logger: r.logger}), nil
	}
	kind := docker.Kind(b.Runtime)
	host, err := docker.FindHost(kind, r.environ)
	if err != nil {
		return nil, err
	}
	identity, err := native.DefaultIdentity()
	if err != nil {
		return nil, err
	}
	return docker.New(docker.Config{
		Kind: kind, Host: host, Image: b.Image, OCIRuntime: b.OCIRuntime, Identity: identity,
		StateDir: filepath.Join(r.paths.State, b.Runtime), Program: r.program, Logger: r.logger,
	})
}
