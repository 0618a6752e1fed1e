// Command agent-process runs coding agents in sandboxes.
package main

import (
	"context"
	"os"

	"agentprocess/internal/cli"
	"agentprocess/internal/term"
)

// version is set by the build.
var version = "development"

func main() {
	ctx := context.Background()
	if handled, status := cli.Hidden(ctx, os.Args); handled {
		os.Exit(status)
	}
	os.Exit(cli.Main(ctx, os.Args[1:], term.OS(), os.Environ(), version))
}
