package native

import (
	"context"

	"agentprocess/internal/sandbox"
)

func probeMain(args []string) int { return 1 }

func (r *Runtime) Probe(ctx context.Context) (sandbox.Capabilities, error) {
	return sandbox.Capabilities{}, nil
}
