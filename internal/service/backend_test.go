package service

import (
	"errors"
	"strings"
	"testing"

	"agentprocess/internal/sandbox"
)

func TestChoose(t *testing.T) {
	good := []sandbox.Step{{Name: "engine", Required: true, OK: true}}
	bad := []sandbox.Step{{Name: "engine", Required: true, Detail: "it is down", Fix: "start it"}}
	all := map[string][]sandbox.Step{"native": good, "docker": good, "podman": good}
	without := func(names ...string) map[string][]sandbox.Step {
		m := map[string][]sandbox.Step{"native": good, "docker": good, "podman": good}
		for _, name := range names {
			m[name] = bad
		}
		return m
	}
	tests := []struct {
		name  string
		works map[string][]sandbox.Step
		want  sandbox.Backend
		runs  string // empty when it is refused
		says  string // of why, or of the error
		code  sandbox.Code
	}{
		{"nothing asked for", all, sandbox.Backend{}, "native", "no image was asked for", ""},
		{"auto", all, sandbox.Backend{Runtime: "auto"}, "native", "no image was asked for", ""},
		{"an image", all, sandbox.Backend{Image: "i"}, "docker", "an image was asked for", ""},
		{"an OCI runtime", all, sandbox.Backend{OCIRuntime: "runsc"}, "docker", "an image was asked for", ""},
		{"an image without docker", without("docker"), sandbox.Backend{Image: "i"}, "podman", "it is down", ""},
		{"an image without engines", without("docker", "podman"), sandbox.Backend{Image: "i"}, "", "it is down", sandbox.CodeRuntime},
		{"native is down", without("native"), sandbox.Backend{}, "", "it is down", sandbox.CodeRuntime},
		{"what was asked for", all, sandbox.Backend{Runtime: "podman", Image: "i"}, "podman", "it was asked for", ""},
		{"what was asked for is down", without("docker"), sandbox.Backend{Runtime: "docker", Image: "i"}, "", "it is down", sandbox.CodeRuntime},
		{"native has no image", all, sandbox.Backend{Runtime: "native", Image: "i"}, "", "no image", sandbox.CodeUsage},
		{"there is no such runtime", all, sandbox.Backend{Runtime: "jail"}, "", "jail", sandbox.CodeUsage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newService(t, &host{})
			s.Open = func(b sandbox.Backend) (sandbox.Runtime, error) {
				steps, ok := tt.works[b.Runtime]
				if !ok {
					return nil, sandbox.Fail(sandbox.CodeUsage, errors.New("no runtime "+b.Runtime), "")
				}
				return &host{steps: steps}, nil
			}
			got, err := s.choose(t.Context(), tt.want)
			if got.backend.Runtime != tt.runs || sandbox.ErrorCode(err) != tt.code {
				t.Fatalf("choose(%+v) = %+v, %v", tt.want, got.backend, err)
			}
			said := got.why
			if err != nil {
				said = err.Error()
			}
			if !strings.Contains(said, tt.says) {
				t.Errorf("choose(%+v) says %q, want %q in it", tt.want, said, tt.says)
			}
			if tt.runs != "" && (got.backend.Image != tt.want.Image || !strings.Contains(got.line(), tt.runs)) {
				t.Errorf("chosen %+v, %q", got.backend, got.line())
			}
		})
	}
}
