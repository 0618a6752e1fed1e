package verb

import (
	"context"
	"os"

	"agentprocess/internal/hook"
	"agentprocess/internal/proof"
	"agentprocess/internal/runtime/contained"
	"agentprocess/internal/runtime/native"
	"agentprocess/internal/sandbox"
)

// Main runs the verb that argv, the whole command line, names. handled is false
// when it names none of them.
func Main(ctx context.Context, argv []string) (handled bool, status int) {
	if handled, status := native.Main(argv); handled {
		return true, status
	}
	if handled, status := contained.Main(argv); handled {
		return true, status
	}
	switch {
	case len(argv) == 2 && argv[1] == hook.Verb:
		return true, hook.ClientMain(os.Stdin, os.Stdout, os.Stderr, sandbox.HookSocketPath)
	case len(argv) == 3 && argv[1] == proof.Verb:
		return true, proof.Main(ctx, argv[2], os.Stdout)
	case len(argv) == 4 && argv[1] == sandbox.PutVerb:
		return true, put(argv[2], argv[3], os.Stdin, os.Stderr)
	case len(argv) == 3 && argv[1] == sandbox.ConnectVerb:
		return true, connect(ctx, argv[2], os.Stdin, os.Stdout)
	default:
		return false, 0
	}
}
