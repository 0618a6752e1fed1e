// Command agent-process-inside is what runs inside a sandbox on our behalf. It
// is embedded in agent-process, see internal/inside, and nobody starts it by
// hand.
package main

import (
	"context"
	"fmt"
	"os"

	"agentprocess/internal/inside/verb"
)

func main() {
	handled, status := verb.Main(context.Background(), os.Args)
	if !handled {
		fmt.Fprintln(os.Stderr, "agent-process-inside: this is a part of agent-process; run that")
		status = 2
	}
	os.Exit(status)
}
