package service

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"agentprocess/internal/sandbox"
)

// closedBox is a sandbox in which nothing may be started.
type closedBox struct {
	sandbox.Sandbox
	t *testing.T
}

func (b closedBox) Exec(_ context.Context, cmd sandbox.Command) (sandbox.Process, error) {
	b.t.Errorf("it started %q", cmd.Argv)
	return nil, io.ErrUnexpectedEOF
}

// Nothing but a port that may be forwarded starts anything inside.
func TestDoorRefuses(t *testing.T) {
	for _, dir := range []string{t.TempDir(), t.TempDir() + strings.Repeat("/.", 60)} { // one is too long for a socket's name
		d, err := openDoor(t.Context(), dir, closedBox{t: t})
		if err != nil {
			t.Fatal(err)
		}
		for _, ask := range []string{
			"", "connect", "connect ", "connect 0", "connect -1", "connect 65536", "connect 3128", "connect 3129", "connect 53", "connect 80 80", "connect 127.0.0.1:80",
			"CONNECT 80", "hold 1", "connect 80\r", strings.Repeat("x", 1000),
		} {
			if conn, err := askDoor(t.Context(), dir, ask); err == nil {
				t.Errorf("askDoor(%q) got through", ask)
				_ = conn.Close()
			}
		}
		held, err := askDoor(t.Context(), dir, askHold)
		if err != nil {
			t.Fatal(err)
		}
		d.close()
		if _, err := held.Read(make([]byte, 1)); err == nil {
			t.Error("the door is closed, and who held it was not told")
		}
		_ = held.Close()
	}
	if _, err := askDoor(t.Context(), t.TempDir(), askHold); !notThere(err) {
		t.Errorf("a run without a door: %v", err)
	}
}

// Agents have loopback addresses of their own, and never the one that the
// person's own servers use.
func TestLoopback(t *testing.T) {
	seen := map[string]bool{}
	for i := range 500 {
		addr := loopback("/home/jo/project/.git", fmt.Sprint("agent", i))
		if !addr.IsLoopback() || addr.As4()[1] < 64 || addr.As4()[3] == 0 || addr.As4()[3] == 255 {
			t.Errorf("loopback() = %v", addr)
		}
		seen[addr.String()] = true
	}
	if len(seen) < 490 || !seen[loopback("/home/jo/project/.git", "agent7").String()] || loopback("a", "b") == loopback("b", "b") {
		t.Errorf("%d addresses for 500 agents", len(seen))
	}
}
