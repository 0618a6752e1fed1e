package service

import (
	"os"
	"strings"
	"testing"

	"agentprocess/internal/sandbox"
)

func TestUsable(t *testing.T) {
	namespaces := sandbox.Step{Name: "user namespace", Required: true, OK: true}
	broken := sandbox.Step{Name: "user namespace", Required: true, Detail: "operation not permitted", Fix: "sysctl kernel.x=1"}
	overlay := sandbox.Step{Name: StepOverlay, OK: true}
	tests := []struct {
		name    string
		steps   []sandbox.Step
		overlay bool
		fails   bool
		probes  int // of two calls
	}{
		{"all works, and is remembered", []sandbox.Step{namespaces, overlay}, true, false, 1},
		{"no overlay", []sandbox.Step{namespaces, {Name: StepOverlay, Detail: "too old"}}, false, false, 1},
		{"something needed is broken, and may be mended", []sandbox.Step{broken, overlay}, false, true, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := &host{steps: tt.steps}
			s := newService(t, h)
			for range 2 {
				overlay, err := s.usable(t.Context(), h, sandbox.Backend{})
				if overlay != tt.overlay || (err != nil) != tt.fails {
					t.Fatalf("usable() = %t, %v", overlay, err)
				}
				if tt.fails && (sandbox.ErrorCode(err) != sandbox.CodeRuntime || !strings.Contains(sandbox.ErrorHint(err), broken.Fix)) {
					t.Errorf("usable(): %v, hint %q: want the fix", err, sandbox.ErrorHint(err))
				}
			}
			if h.probes != tt.probes {
				t.Errorf("probed %d times, want %d", h.probes, tt.probes)
			}
		})
	}
}

func TestUsableProbesAgain(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Service) error
	}{
		{"with another binary", func(s *Service) error { return os.WriteFile(s.Self, []byte("newer"), 0o700) }},
		{"when what was kept is damaged", func(s *Service) error {
			return os.WriteFile(s.Paths.Runtime+"/probe-"+s.probeKey(sandbox.Backend{})+".json", []byte(`{"steps":`), 0o600)
		}},
		{"when what was kept says nothing", func(s *Service) error {
			return os.WriteFile(s.Paths.Runtime+"/probe-"+s.probeKey(sandbox.Backend{})+".json", []byte(`{}`), 0o600)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := &host{steps: []sandbox.Step{{Name: "user namespace", Required: true, OK: true}}}
			s := newService(t, h)
			if _, err := s.usable(t.Context(), h, sandbox.Backend{}); err != nil {
				t.Fatal(err)
			}
			if err := tt.change(s); err != nil {
				t.Fatal(err)
			}
			if _, err := s.usable(t.Context(), h, sandbox.Backend{}); err != nil || h.probes != 2 {
				t.Errorf("probed %d times, %v, want 2", h.probes, err)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	tests := []struct {
		facts sandbox.Facts
		want  string
	}{
		{sandbox.Facts{Runtime: "native", LandlockABI: 7}, "native, root, landlock 7"},
		{
			sandbox.Facts{Runtime: "native", Rootless: true, LimitedBy: map[string]string{"pids": "rlimit", "memory": "cgroup v2", "disk": ""}},
			"native, rootless, landlock 0, memory by cgroup v2, pids by rlimit",
		},
	}
	for _, tt := range tests {
		if got := describe(tt.facts); got != tt.want {
			t.Errorf("describe(%+v) = %q, want %q", tt.facts, got, tt.want)
		}
	}
}
