// Package verb runs the hidden verbs of our programs that are needed inside a
// sandbox.
//
//	if handled, status := verb.Main(ctx, os.Args); handled {
//		os.Exit(status)
//	}
//
// It is all of the small program that package inside carries, so what it
// imports is paid for at every start of a sandbox and of a hook: no HTTP, no
// database, no command line.
package verb
