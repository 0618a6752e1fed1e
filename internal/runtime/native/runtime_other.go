//go:build !linux

package native

import (
	"context"
	"errors"
	"os"

	"agentprocess/internal/sandbox"
)

// ErrOverlay is what Start fails with on Linux when overlays cannot be had.
var ErrOverlay = errors.New("overlay mount refused")

// Runtime stands where there is no Linux kernel to make sandboxes with.
type Runtime struct{}

var _ sandbox.Runtime = (*Runtime)(nil)

// New makes a runtime that says what to use instead.
func New(Config) *Runtime { return &Runtime{} }

// Main runs the hidden verbs of our binary, of which there are none here.
func Main([]string) (handled bool, status int) { return false, 0 }

// DefaultIdentity is the user we are.
func DefaultIdentity() (sandbox.Identity, error) {
	return sandbox.Identity{UID: os.Getuid(), GID: os.Getgid()}, nil
}

// Name implements sandbox.Runtime.
func (*Runtime) Name() string { return Name }

// Probe implements sandbox.Runtime.
func (*Runtime) Probe(context.Context) (sandbox.Capabilities, error) {
	return sandbox.Capabilities{Runtime: Name, Steps: []sandbox.Step{{
		Name: "linux kernel", Required: true, Detail: "this is not Linux",
		Cause: "namespaces are a feature of Linux", Fix: "use the docker runtime",
	}}}, nil
}

// Start implements sandbox.Runtime.
func (*Runtime) Start(context.Context, sandbox.Spec) (sandbox.Sandbox, error) {
	return nil, sandbox.Fail(sandbox.CodeRuntime, errors.New("the native runtime needs Linux"), "use the docker runtime: --runtime docker")
}

// Cleanup implements sandbox.Runtime: nothing can have been left.
func (*Runtime) Cleanup(context.Context, string) error { return nil }
