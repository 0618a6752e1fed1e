package service

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"agentprocess/internal/config"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/store"
)

// host is a runtime that only answers probes and clean-ups; it implements
// sandbox.Runtime.
type host struct {
	steps   []sandbox.Step
	probes  int
	cleaned []string
}

func (h *host) Name() string { return "test" }

func (h *host) Probe(context.Context) (sandbox.Capabilities, error) {
	h.probes++
	return sandbox.Capabilities{Runtime: h.Name(), Steps: h.steps}, nil
}

func (h *host) Start(context.Context, sandbox.Spec) (sandbox.Sandbox, error) {
	return nil, errors.ErrUnsupported
}

func (h *host) Cleanup(_ context.Context, id string) error {
	h.cleaned = append(h.cleaned, id)
	return nil
}

// newService makes a service on a host, with a state of its own.
func newService(t *testing.T, h *host) *Service {
	t.Helper()
	dir := t.TempDir()
	paths := config.Paths{
		Config: filepath.Join(dir, "config"), State: filepath.Join(dir, "state"),
		Cache: filepath.Join(dir, "cache"), Runtime: filepath.Join(dir, "run"),
	}
	if err := paths.Create(); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), paths.Database())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return New(Deps{
		Open:  func(sandbox.Backend) (sandbox.Runtime, error) { return h, nil },
		Store: db, Paths: paths, Now: time.Now,
		Self:     filepath.Join(dir, "agent-process"),
		Identity: func() (sandbox.Identity, error) { return sandbox.Identity{UID: 1000, GID: 1000}, nil },
	})
}

// claim makes a run as a start does: a directory, locked, and a record.
func claim(t *testing.T, s *Service, run sandbox.Run) *runDir {
	t.Helper()
	dir, err := createRunDir(s.runs(), run)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dir.close)
	if err := s.Store.PutRun(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	return dir
}

func names(runs []sandbox.Run) []string {
	var out []string
	for _, r := range runs {
		out = append(out, r.Name+" "+string(r.State))
	}
	slices.Sort(out)
	return out
}
