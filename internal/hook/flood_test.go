//go:build !race

package hook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"agentprocess/internal/audit"
	"agentprocess/internal/execx"
	"agentprocess/internal/execx/exectest"
)

// Who is kept waiting by a flood is a matter of speed, which the race detector
// takes away: this file is not for it.

// startFlood floods the endpoint with processes until the test ends.
func startFlood(t *testing.T, socket, way string, processes int) {
	t.Helper()
	exe := exectest.Binary(t)
	for range processes {
		stdin, hold, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p, err := execx.Start(t.Context(), execx.Cmd{Argv: []string{exe, asFlood, socket, way}, Stdin: stdin})
		if err := errors.Join(err, stdin.Close()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := hold.Close(); err != nil {
				t.Error(err)
			}
			_ = p.Wait() // killed with the test's context, or ended by the pipe
		})
	}
}

// Floods neither get anything allowed nor keep the agent's own calls waiting,
// nor the canary.
func TestFloods(t *testing.T) {
	for _, way := range []string{"silent", "slow", "garbage", "valid"} {
		t.Run(way, func(t *testing.T) {
			server, record, socket := serve(t, func(s *Server) {
				s.Decide = func(_ context.Context, c Call, _ Talk) Decision {
					return Decision{Allow: !strings.Contains(string(c.Input), "forbidden"), Rule: "test"}
				}
			})
			startFlood(t, socket, way, 3)
			canary, err := server.Canary()
			if err != nil {
				t.Fatal(err)
			}
			exit, stderr := clientProcess(t, socket, string(canary))
			if err := server.CanaryProved(exit); err != nil {
				t.Errorf("canary: %v, %q", err, stderr)
			}
			for i := range 4 {
				if exit, stderr := clientProcess(t, socket, event(fmt.Sprint("good", i), "ls")); exit != 0 {
					t.Errorf("exit %d, %q", exit, stderr)
				}
				if exit, _ := clientProcess(t, socket, event(fmt.Sprint("bad", i), "forbidden")); exit != 2 {
					t.Errorf("a denied call ends with %d", exit)
				}
			}
			big := event("big", strings.Repeat("x", MaxMessage-1000))
			if exit, stderr := clientProcess(t, socket, big); exit != 0 {
				t.Errorf("a big question: exit %d, %q", exit, stderr)
			}
			for _, v := range record.all() {
				if strings.HasPrefix(v.ToolUseID, "bad") && v.Decision != audit.Deny {
					t.Errorf("verdict %+v", v)
				}
			}
		})
	}
}
