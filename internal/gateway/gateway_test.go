package gateway

import (
	"context"
	"errors"
	"net"
	"testing"

	"agentprocess/internal/sandbox"
)

// half serves until its context ends, or until it is told to break.
type half struct {
	breaks chan error
	ended  chan struct{}
}

func newHalf() half { return half{breaks: make(chan error, 1), ended: make(chan struct{})} }

func (h half) serve(ctx context.Context) error {
	defer close(h.ended)
	select {
	case <-ctx.Done():
		return nil
	case err := <-h.breaks:
		return err
	}
}

type egress struct{ half }

func (e egress) Serve(ctx context.Context, _ sandbox.Sockets) error { return e.serve(ctx) }

type hooks struct{ half }

func (h hooks) Serve(ctx context.Context, _ net.Listener) error { return h.serve(ctx) }

func TestServeEndsWithItsContext(t *testing.T) {
	g := New(egress{newHalf()}, hooks{newHalf()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Serve(ctx, sandbox.Sockets{}); err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
	select {
	case <-g.Failed():
		t.Error("a gateway that was told to end counts as failed")
	default:
	}
}

func TestOneBrokenHalfEndsBoth(t *testing.T) {
	for _, tt := range []struct {
		name        string
		breakEgress bool
		err         error
		want        error
	}{
		{"egress breaks", true, net.ErrClosed, net.ErrClosed},
		{"hooks break", false, net.ErrClosed, net.ErrClosed},
		{"hooks just stop", false, nil, errEnded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, h := egress{newHalf()}, hooks{newHalf()}
			g := New(e, h)
			if tt.breakEgress {
				e.breaks <- tt.err
			} else {
				h.breaks <- tt.err
			}
			if err := g.Serve(t.Context(), sandbox.Sockets{}); !errors.Is(err, tt.want) {
				t.Errorf("Serve = %v, want %v", err, tt.want)
			}
			<-e.ended
			<-h.ended
			<-g.Failed()
		})
	}
}
