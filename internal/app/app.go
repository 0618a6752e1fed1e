package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"agentprocess/internal/config"
	"agentprocess/internal/inside"
	"agentprocess/internal/runtime/native"
	"agentprocess/internal/service"
	"agentprocess/internal/store"
)

// Options are what the world gives an application.
type Options struct {
	Environ []string
	Logger  *slog.Logger
}

// New builds the service. done must be called when it is used no more.
func New(ctx context.Context, o Options) (svc *service.Service, done func() error, err error) {
	paths, err := config.PathsFor(Environment(o.Environ))
	if err != nil {
		return nil, nil, err
	}
	cfg, err := config.Load(paths.ConfigFile())
	if err != nil {
		return nil, nil, err
	}
	if err := paths.Create(); err != nil {
		return nil, nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("find our own binary: %w", err)
	}
	program, err := inside.Install(paths.Programs())
	if err != nil {
		return nil, nil, err
	}
	db, err := store.Open(ctx, paths.Database())
	if err != nil {
		return nil, nil, err
	}
	return service.New(service.Deps{
		Open:     (&runtimes{paths: paths, program: program, environ: Environment(o.Environ), logger: o.Logger}).open,
		Identity: native.DefaultIdentity,
		Store:    db, Paths: paths, Config: cfg,
		Environ: o.Environ, Now: time.Now, Self: self,
	}), db.Close, nil
}

// Environment is environ as a map; of equal names the last one counts.
func Environment(environ []string) map[string]string {
	m := make(map[string]string, len(environ))
	for _, kv := range environ {
		k, v, _ := strings.Cut(kv, "=")
		m[k] = v
	}
	return m
}
