//go:build !linux

package docker

import (
	"context"
	"fmt"

	"agentprocess/internal/sandbox"
)

// start says what is missing: descriptors of a container's sockets can only be
// passed on one kernel.
func (r *Runtime) start(_ context.Context, e *engine, _ sandbox.Spec) (sandbox.Sandbox, error) {
	return nil, sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("%s at %s: this machine is not Linux", e.kind, e.host), "use a Linux machine")
}
