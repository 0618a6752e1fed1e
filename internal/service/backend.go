package service

import (
	"context"
	"fmt"
	"strings"

	"agentprocess/internal/sandbox"
)

// The runtimes there are, in the order of preference.
const (
	runtimeNative = "native"
	runtimeDocker = "docker"
	runtimePodman = "podman"
)

// chosen is the runtime of a run.
type chosen struct {
	runtime sandbox.Runtime
	backend sandbox.Backend // as it was decided
	overlay bool            // trees can be overlays
	why     string
}

// choose decides what runs a run, before anything is created: what was asked
// for if it works, or else the first that works. It never falls back from what
// was asked for.
func (s *Service) choose(ctx context.Context, want sandbox.Backend) (chosen, error) {
	if want.Runtime != "" && want.Runtime != sandbox.RuntimeAuto {
		if want.Runtime == runtimeNative && (want.Image != "" || want.OCIRuntime != "") {
			return chosen{}, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("the native runtime has no image %q and no OCI runtime %q", want.Image, want.OCIRuntime),
				"leave --image and --oci-runtime out, or use --runtime docker or podman")
		}
		return s.try(ctx, want, "it was asked for")
	}
	if want.Image == "" && want.OCIRuntime == "" {
		// Without an image there is no other: what is wrong with it is the answer.
		want.Runtime = runtimeNative
		return s.try(ctx, want, "it works here and no image was asked for")
	}
	var tried []string
	var fixes []string
	for _, name := range []string{runtimeDocker, runtimePodman} {
		want.Runtime = name
		c, err := s.try(ctx, want, strings.Join(append([]string{"an image was asked for"}, tried...), "; "))
		if err == nil || ctx.Err() != nil {
			return c, err
		}
		tried = append(tried, err.Error())
		if hint := sandbox.ErrorHint(err); hint != "" {
			fixes = append(fixes, name+": "+hint)
		}
	}
	return chosen{}, sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("no engine can run the image %q: %s", want.Image, strings.Join(tried, "; ")), strings.Join(fixes, "\n"))
}

// try opens a runtime and looks whether it works.
func (s *Service) try(ctx context.Context, b sandbox.Backend, why string) (chosen, error) {
	rt, err := s.Open(b)
	if err != nil {
		return chosen{}, err
	}
	overlay, err := s.usable(ctx, rt, b)
	if err != nil {
		return chosen{}, err
	}
	return chosen{runtime: rt, backend: b, overlay: overlay, why: why}, nil
}

// line says what was chosen and why.
func (c chosen) line() string {
	what := c.backend.Runtime
	if c.backend.Image != "" {
		what += " with the image " + c.backend.Image
	}
	return fmt.Sprintf("runtime %s: %s", what, c.why)
}

// Diagnosis is what works on this host: the runtime that a start without flags
// uses, and the others.
type Diagnosis struct {
	sandbox.Capabilities
	Others []sandbox.Capabilities `json:"others,omitempty"`
}

// Doctor says what works on this host.
func (s *Service) Doctor(ctx context.Context) (Diagnosis, error) {
	var all []sandbox.Capabilities
	first := 0
	for i, name := range []string{runtimeNative, runtimeDocker, runtimePodman} {
		if name == s.Config.Backend.Runtime {
			first = i
		}
		caps, err := s.diagnose(ctx, name)
		if err != nil {
			return Diagnosis{}, err
		}
		all = append(all, caps)
	}
	return Diagnosis{Capabilities: all[first], Others: append(all[:first:first], all[first+1:]...)}, nil
}

// diagnose probes one runtime; one that cannot even be opened says why.
func (s *Service) diagnose(ctx context.Context, name string) (sandbox.Capabilities, error) {
	b := sandbox.Backend{Runtime: name}
	if name != runtimeNative {
		b.Image, b.OCIRuntime = s.Config.Backend.Image, s.Config.Backend.OCIRuntime
	}
	rt, err := s.Open(b)
	if err != nil {
		step := sandbox.Step{Name: "engine", Required: true, Detail: err.Error(), Fix: sandbox.ErrorHint(err)}
		return sandbox.Capabilities{Runtime: name, Steps: []sandbox.Step{step}}, nil
	}
	return rt.Probe(ctx)
}
