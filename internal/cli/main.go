package cli

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"agentprocess/internal/sandbox"
	"agentprocess/internal/service"
	"agentprocess/internal/term"
)

// deps is what commands share. The service is made when a command first needs
// it, so that help and errors of usage need no state directory.
type deps struct {
	streams term.Streams
	environ []string
	version string
	service func(context.Context) (*service.Service, error)
}

// exitError carries an exit status that is no error to print.
type exitError struct{ status int }

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// Main runs the command line and gives the exit status.
func Main(ctx context.Context, args []string, streams term.Streams, environ []string, version string) int {
	// Who reads our output may go away without ending a run; writes fail then.
	signal.Ignore(syscall.SIGPIPE)
	d, done := newDeps(streams, environ, version)
	root := newCmdRoot(d)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	err = errors.Join(err, done())
	return complain(streams, err)
}

// complain prints an error and its hint, and gives the exit status.
func complain(streams term.Streams, err error) int {
	if err == nil {
		return 0
	}
	if exit, ok := errors.AsType[exitError](err); ok {
		return exit.status
	}
	if errors.Is(err, context.Canceled) && sandbox.ErrorCode(err) == sandbox.CodeInternal {
		fmt.Fprintln(streams.Err, "agent-process: error: interrupted")
		return 130
	}
	paint := streams.Err.Paint()
	fmt.Fprintf(streams.Err, "agent-process: %s %s\n", paint.Red("error:"), indent(term.VisibleLines(err.Error())))
	if hint := sandbox.ErrorHint(err); hint != "" {
		fmt.Fprintf(streams.Err, "agent-process: %s %s\n", paint.Bold("hint:"), indent(term.VisibleLines(hint)))
	}
	return sandbox.ExitStatus(err)
}

// indent sets further lines of a message off from other messages.
func indent(s string) string { return strings.ReplaceAll(s, "\n", "\n    ") }

// newCmdRoot is the command with all commands below it.
func newCmdRoot(d *deps) *cobra.Command {
	root := &cobra.Command{
		Use:   "agent-process",
		Short: "Run coding agents unattended, each in a sandbox and on a branch of its own",
		Long: `Agent Process runs a coding agent with one goal, on its own branch
agent--NAME, in a sandbox that holds nothing but its workspace, with a network
that reaches nothing but listed names. What comes back is commits on a branch.`,
		Example: `  agent-process auth
  agent-process start docs "Add documentation to the main.go file"
  agent-process list`,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
		// As many letters may be wrong in a word for it to be suggested.
		SuggestionsMinimumDistance: 2,
		Version:                    d.version,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetIn(d.streams.In)
	root.SetOut(d.streams.Out)
	root.SetErr(d.streams.Err)
	root.SetVersionTemplate("agent-process {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return sandbox.Fail(sandbox.CodeUsage, err, "see `"+cmd.CommandPath()+" --help`")
	})
	root.AddCommand(
		newCmdStart(d, nil), newCmdList(d), newCmdShow(d), newCmdLogs(d), newCmdStop(d), newCmdResume(d), newCmdSend(d), newCmdCheckpoints(d), newCmdRewind(d), newCmdRemove(d),
		newCmdCleanup(d), newCmdUndo(d), newCmdMerge(d), newCmdApply(d), newCmdCheckout(d), newCmdReview(d), newCmdPR(d), newCmdConflicts(d), newCmdResolve(d), newCmdDiff(d), newCmdAllow(d, false), newCmdAllow(d, true), newCmdAuth(d), newCmdSecret(d), newCmdDoctor(d), newCmdDemo(d),
		newCmdPolicy(d, policyOptions{open: func(ctx context.Context) (policyService, error) { return d.service(ctx) }, now: time.Now}),
		newCmdRelease(d), newCmdImage(d), newCmdURL(d),
		newCmdTrust(d, func(ctx context.Context) (trustService, error) { return d.service(ctx) }),
	)
	return root
}

// knownCommand refuses what is no command, and says what is like it.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "`" + cmd.CommandPath() + " --help` lists the commands"
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		hint = "did you mean " + strings.Join(like, " or ") + "? " + hint
	}
	return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("unknown command %q", args[0]), hint)
}

// exactArgs is cobra.ExactArgs as an error with a code and a hint.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == len(names):
			return nil
		case len(names) == 0:
			return usage(cmd, "%q: no arguments are taken", args)
		}
		return usage(cmd, "%d arguments, want %s", len(args), strings.Join(names, " "))
	}
}

// usage is an error in how a command was called.
func usage(cmd *cobra.Command, format string, args ...any) error {
	return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf(format, args...), "usage: "+cmd.UseLine())
}

// exitStatus is the end of a command's help.
func exitStatus(more ...string) string {
	return "\n\nEXIT STATUS\n  0   it worked" + strings.Join(more, "") +
		"\n  1   something else went wrong\n  2   the command was called wrongly"
}

// The exit statuses that several commands have in common.
const (
	exitRepository = "\n  13  no git repository, or one that agents cannot work in"
	exitNotFound   = "\n  14  there is no such agent"
	exitBusy       = "\n  17  the agent is running"
)
