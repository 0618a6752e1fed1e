// Package cli is the command line: one file a command, each a constructor
// newCmdX, an xOptions struct and a runX that does the work through package
// service.
//
//	os.Exit(cli.Main(ctx, os.Args[1:], term.OS(), os.Environ()))
//
// Hidden verbs, by which the binary runs itself inside sandboxes and under
// git, are handled by [Hidden] before anything else is built: they must start
// in a few milliseconds.
//
// # Invariants
//
//   - stdout is data, stderr is talk; errors are `agent-process: error:` and
//     `agent-process: hint:` lines on stderr.
//   - Exit statuses are those of sandbox.ExitStatus and Outcome.ExitStatus,
//     and every command's help ends with them.
//   - Nothing here decides anything: it reads flags, calls the service, and
//     shows what it gets through package report.
package cli
