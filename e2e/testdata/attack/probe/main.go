// Command probe is what attacks a sandbox from inside, and the gateway through
// whatever the sandbox leaves open. The tests of package e2e build it and put
// it into the repository that an agent works on:
//
//	probe batch attacks.json   run each script, print a JSON line for each
//	probe find                 look for planted secrets everywhere
//	probe raw tcp 127.0.0.1:3128 'CONNECT a:443 HTTP/1.1\r\n\r\n'
//
// On the host side it is also a product with a broken runtime, see broken.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"agentprocess/internal/cli"
	"agentprocess/internal/runtime/runtimetest"
)

func main() {
	ctx := context.Background()
	if handled, status := cli.Hidden(ctx, os.Args); handled {
		os.Exit(status)
	}
	if handled, status := runtimetest.Main(os.Args); handled {
		os.Exit(status)
	}
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: probe VERB ARGS...")
		os.Exit(2)
	}
	if err := run(ctx, os.Args[1], os.Args[2:]); err != nil {
		fmt.Println("error:", err)
		if status, ok := errors.AsType[exitStatus](err); ok {
			os.Exit(int(status))
		}
		os.Exit(1)
	}
}

// exitStatus is an error that says which status to end with.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func run(ctx context.Context, verb string, args []string) error {
	verbs := map[string]struct {
		args int
		run  func(context.Context, []string) error
	}{
		"batch":       {1, batch},
		"find":        {0, find},
		"writable":    {0, writable},
		"descriptors": {0, descriptors},
		"zombies":     {0, zombies},
		"burn":        {0, burn},
		"raw":         {3, raw},
		"tls":         {3, overTLS},
		"tlsdirect":   {2, directTLS},
		"web":         {2, web},
		"dns":         {4, dns},
		"udp":         {2, udp},
		"serve":       {2, serve},
		"broken":      {3, broken},
	}
	v, ok := verbs[verb]
	if !ok || len(args) != v.args {
		return fmt.Errorf("unknown verb %q with %d arguments", verb, len(args))
	}
	return v.run(ctx, args)
}
