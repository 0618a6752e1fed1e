package cli

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"agentprocess/internal/term"
)

// ran is what a command printed.
type ran struct {
	out string
	err error
}

// seat is who runs a command, and on what.
type seat struct {
	screen term.Screen
	in     string // what is typed
	tty    bool   // on a terminal
}

// run runs a command of its own.
func run(t *testing.T, at seat, command func(*deps) *cobra.Command, args ...string) ran {
	t.Helper()
	var out bytes.Buffer
	at.screen.W = &out
	d := &deps{streams: term.Streams{In: strings.NewReader(at.in), InTTY: at.tty, Out: &at.screen, Err: term.Plain(&bytes.Buffer{})}}
	cmd := command(d)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetOut(&out)
	cmd.SetArgs(append([]string{}, args...)) // nil is those of the test binary
	err := cmd.ExecuteContext(t.Context())
	return ran{out.String(), err}
}

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
