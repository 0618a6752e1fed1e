package service

import (
	"context"
	"crypto/x509"
	"path/filepath"
	"strings"
	"time"

	"agentprocess/internal/config"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/store"
	"agentprocess/internal/workspace"
)

// Deps is what a Service works with; package app fills it in.
type Deps struct {
	// Open gives the runtime of a backend whose Runtime is named.
	Open func(sandbox.Backend) (sandbox.Runtime, error)
	// Identity says who agents run as.
	Identity func() (sandbox.Identity, error)
	Store    *store.Store
	Paths    config.Paths
	Config   config.Config
	Environ  []string // the person's environment
	Now      func() time.Time
	// Self is our own binary: another one makes what a probe found stale.
	Self string
	// UpstreamRoots verify hosts whose TLS is opened; nil is the system's.
	UpstreamRoots *x509.CertPool
}

// Service holds the use cases. It is safe for concurrent use.
type Service struct {
	Deps
}

// New makes a Service.
func New(d Deps) *Service { return &Service{Deps: d} }

// runs is where the directories of runs are.
func (s *Service) runs() string { return filepath.Join(s.Paths.State, "runs") }

// open finds the repository that dir is in.
func (s *Service) open(ctx context.Context, dir string) (*workspace.Repository, error) {
	return workspace.Open(ctx, dir, s.workspaceConfig())
}

func (s *Service) workspaceConfig() workspace.Config {
	return workspace.Config{
		StateDir: s.Paths.State,
		CacheDir: s.Paths.Cache,
		Environ:  s.Environ,
		Now:      s.Now,
	}
}

// lookup finds a variable of the person's environment.
func (s *Service) lookup(name string) (string, bool) {
	for _, kv := range s.Environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v, true
		}
	}
	return "", false
}
