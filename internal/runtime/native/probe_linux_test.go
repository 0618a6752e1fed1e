package native_test

import (
	"testing"

	"agentprocess/internal/runtime/native"
)

func TestProbe(t *testing.T) {
	rt := native.New(native.Config{StateDir: t.TempDir()})
	caps, err := rt.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range caps.Steps {
		t.Logf("%-20s ok=%-5v required=%-5v %s %s %s", s.Name, s.OK, s.Required, s.Detail, s.Cause, s.Fix)
	}
	if b, bad := caps.Blocker(); bad {
		t.Errorf("probe: step %q does not work: %s", b.Name, b.Detail)
	}
}
