package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"agentprocess/internal/sandbox"
)

// Egress judges and forwards what leaves a sandbox; *proxy.Server is one.
type Egress interface {
	Serve(ctx context.Context, s sandbox.Sockets) error
}

// Hooks answers an agent's hooks; *hook.Server is one.
type Hooks interface {
	Serve(ctx context.Context, l net.Listener) error
}

// Gateway serves both for one sandbox.
type Gateway struct {
	egress Egress
	hooks  Hooks
	failed chan struct{}
	err    error
}

// New makes a gateway out of its halves.
func New(egress Egress, hooks Hooks) *Gateway {
	return &Gateway{egress: egress, hooks: hooks, failed: make(chan struct{})}
}

// Serve serves s until ctx ends, and waits for what it started. It answers nil
// when ctx ended it. It may be called once.
func (g *Gateway) Serve(ctx context.Context, s sandbox.Sockets) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var once sync.Once
	half := func(name string, serve func() error) {
		wg.Go(func() {
			err := serve()
			if ctx.Err() != nil && err == nil {
				return
			}
			once.Do(func() {
				g.err = fmt.Errorf("gateway: %s ended: %w", name, orEnded(err))
				close(g.failed)
				cancel()
			})
		})
	}
	half("egress", func() error { return g.egress.Serve(ctx, s) })
	half("hooks", func() error { return g.hooks.Serve(ctx, s.Hook) })
	wg.Wait()
	return g.err
}

// errEnded stands for a half that stopped serving without an error.
var errEnded = errors.New("it stopped serving")

func orEnded(err error) error {
	if err == nil {
		return errEnded
	}
	return err
}

// Failed is closed when a half has broken; the run must end then.
func (g *Gateway) Failed() <-chan struct{} { return g.failed }
