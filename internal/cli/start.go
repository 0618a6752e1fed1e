package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"agentprocess/internal/approval"
	"agentprocess/internal/audit"
	"agentprocess/internal/config"
	"agentprocess/internal/proxy"
	"agentprocess/internal/report"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/service"
)

// startOptions are what `start` was given.
type startOptions struct {
	service.StartOptions
	resolve      []string
	memory, disk string
	patience
	noInput bool
	json    bool
}

func newCmdStart(d *deps, runF func(context.Context, *startOptions) error) *cobra.Command {
	o := &startOptions{}
	cmd := &cobra.Command{
		Use:   "start NAME GOAL [flags] | start NAME [GOAL] --agent exec -- CMD [ARGS...]",
		Short: "Let an agent work on a goal, on its own branch, in a sandbox",
		Long: `start makes the branch agent--NAME and a private workspace, starts a sandbox
whose network reaches only listed names, proves that nothing else gets out, and
runs the agent in it. The agent's commits come back to the branch.

Names may be listed in .agent-process/allowlist of the base commit, in your own
allowlist, or with --allow: example.com is that name, *.example.com any name
below it, :PORT another port than 443. A line may name paths, methods and what
git may do, or deny; docs/egress.md is the grammar. An empty list means none.

Ctrl-C asks the agent to stop and keeps its work; a second one stops it at once
and keeps its work too.` + exitStatus(
			"\n  3   no-changes: the agent changed nothing",
			"\n  4   checks-failed: its work is on the branch, a --check or the pre-commit hook failed",
			"\n  5   failed: the agent failed; what it did is on the branch",
			"\n  6   stopped: by a person",
			"\n  7   timed-out: --timeout was reached",
			"\n  8   policy-broken: a tool ran that no hook had judged, or commits leave --scope",
			"\n  9   out-of-memory: it used more than --memory",
			"\n  10  this machine cannot run the sandbox; see `agent-process doctor`",
			"\n  11  no credential, or a dead one; see `agent-process auth`",
			"\n  12  the name is in use",
			exitRepository,
			"\n  15  a line of an allowlist is wrong",
			"\n  16  the sandbox could not be proved closed",
			"\n  18  the agent's program is not there",
			"\n  20  held: its work is on the branch, but for what was kept out; see `agent-process release`"),
		Example: `  agent-process start docs "Add documentation to the main.go file"
  agent-process start deps "Update the dependencies" --allow registry.example.com
  agent-process start fmt --agent exec -- gofmt -w .`,
		Args: o.args,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runF != nil {
				return runF(cmd.Context(), o)
			}
			return runStart(cmd.Context(), d, cmd, o)
		},
	}
	o.flags(cmd)
	return cmd
}

// flags declares the flags of start.
func (o *startOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.Agent, "agent", "", `what runs: "claude", or "exec" for any command (default "claude")`)
	f.StringVar(&o.AgentPath, "agent-path", "", "the agent's program, instead of finding or installing it")
	f.StringVar(&o.Model, "model", "", "the model the agent asks for")
	f.StringVar(&o.Base, "base", "", "the commit to start from (default HEAD)")
	f.StringArrayVar(&o.Allow, "allow", nil, "let the agent reach `RULE`, such as example.com or *.example.com:8443 (repeatable)")
	f.BoolVar(&o.Learn, "learn", false, "do NOT enforce the list: let through what no line denies, and print lines for it at the end")
	f.StringArrayVar(&o.Secrets, "secret", nil, "let the agent use the secret `NAME` on its hosts, without seeing it (repeatable)")
	f.StringArrayVar(&o.resolve, "resolve", nil, "dial `HOST=ADDR[:PORT]` for a name, also in a private network (repeatable)")
	f.StringArrayVar(&o.Env, "env", nil, "set `K[=V]` inside; without =V to your own value (repeatable)")
	f.StringArrayVar(&o.Checks, "check", nil, "run `COMMAND` inside after the work; it must succeed (repeatable)")
	f.BoolVar(&o.NoVerify, "no-verify", false, "do not run the project's pre-commit hook, inside, on what is committed")
	f.StringVar(&o.timeout, "timeout", "", "stop the agent after this long, such as 90m or 1d (default none)")
	f.StringVar(&o.Backend.Runtime, "runtime", "", `what makes the sandbox: "auto", "native", "docker" or "podman" (default "auto")`)
	f.StringVar(&o.Backend.Image, "image", "", "the `IMAGE` that is the sandbox's system, for a container engine")
	f.StringVar(&o.Backend.OCIRuntime, "oci-runtime", "", "the engine's own runtime to use, such as runsc")
	f.StringVar(&o.memory, "memory", "", "the most memory, such as 8GB")
	f.Int64Var(&o.Limits.PIDs, "pids", 0, "the most processes")
	f.Float64Var(&o.Limits.CPUs, "cpus", 0, "the most processors, such as 1.5")
	f.StringVar(&o.disk, "disk", "", "the most it may write, such as 20GB")
	f.StringArrayVar(&o.Scope, "scope", nil, "let the agent change only what `GLOB` names, such as docs or **/*.md (repeatable)")
	f.StringVar(&o.History, "history", "", `what of the history the agent can read: "all" objects, what the "base" reaches, or a number of commits (default "all")`)
	f.BoolVar(&o.IncludeDirty, "include-dirty", false, "start from your uncommitted changes, as a commit of their own; your tree and index stay as they are")
	f.StringVar(&o.askTimeout, "ask-timeout", "", "how long a question to you waits before it counts as no (default 10m)")
	f.BoolVar(&o.Ask.Unattended, "unattended", false, "nobody is there to ask: what needs a yes is denied at once")
	f.BoolVar(&o.Keep, "keep", false, "keep ../worktrees/NAME at the end")
	f.BoolVar(&o.json, "json", false, "print events as JSON lines")
	f.BoolVar(&o.noInput, "no-input", false, "ask nothing on this terminal; 'agent-process policy pending' lists the questions")
}

// args reads NAME, GOAL and what stands after --.
func (o *startOptions) args(cmd *cobra.Command, args []string) error {
	words, argv := atDash(cmd, args)
	if len(words) < 1 || len(words) > 2 {
		return usage(cmd, "%d arguments before --, want NAME GOAL", len(words))
	}
	o.Name, o.Goal, o.Argv = words[0], strings.Join(words[1:], ""), argv
	return nil
}

// atDash are the arguments before and after --, nil when there is none.
func atDash(cmd *cobra.Command, args []string) (words, argv []string) {
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		return args[:dash], args[dash:]
	}
	return args, nil
}

// complete checks the flags against each other and fills in the configuration.
func (o *startOptions) complete(cmd *cobra.Command, cfg config.Config) error {
	o.fill(cmd, cfg)
	switch {
	case o.Agent != config.AgentClaude && o.Agent != config.AgentExec:
		return usage(cmd, "--agent %q: there are %q and %q", o.Agent, config.AgentClaude, config.AgentExec)
	case o.Agent == config.AgentExec && len(o.Argv) == 0:
		return usage(cmd, "--agent exec needs a command after --")
	case o.Agent != config.AgentExec && len(o.Argv) > 0:
		return usage(cmd, "a command after -- needs --agent exec")
	case o.Agent != config.AgentExec && o.Goal == "":
		return usage(cmd, "the goal is missing")
	case !slices.Contains([]string{"", sandbox.RuntimeAuto, "native", "docker", "podman"}, o.Backend.Runtime):
		return usage(cmd, "--runtime %q: there are %q, %q, %q and %q", o.Backend.Runtime, sandbox.RuntimeAuto, "native", "docker", "podman")
	case o.Limits.PIDs < 0 || o.Limits.CPUs < 0:
		return usage(cmd, "a limit is negative")
	}
	return o.parse(cmd)
}

// parse reads the flags that are more than words.
func (o *startOptions) parse(cmd *cobra.Command) error {
	err := o.patience.parse(cmd, &o.Timeout, &o.Ask.Timeout)
	if err != nil {
		return err
	}
	if o.memory != "" {
		if o.Limits.MemoryBytes, err = config.ParseSize(o.memory); err != nil {
			return usage(cmd, "--memory: %w", err)
		}
	}
	if o.disk != "" {
		if o.Limits.DiskBytes, err = config.ParseSize(o.disk); err != nil {
			return usage(cmd, "--disk: %w", err)
		}
	}
	o.Resolve, err = parseResolve(cmd, o.resolve)
	return err
}

// parseResolve reads the values of --resolve.
func parseResolve(cmd *cobra.Command, texts []string) (map[string]proxy.Target, error) {
	all := map[string]proxy.Target{}
	for _, text := range texts {
		host, target, err := proxy.ParseResolve(text)
		if err != nil {
			return nil, usage(cmd, "--resolve: %w", err)
		}
		all[host] = target
	}
	return all, nil
}

// patience is how long things may take, as flags say it.
type patience struct{ timeout, askTimeout string }

// parse reads what was said; the rest stays as it is.
func (p patience) parse(cmd *cobra.Command, timeout, ask *time.Duration) error {
	if p.timeout != "" {
		d, err := config.ParseDuration(p.timeout)
		if err != nil || d < 0 {
			return usage(cmd, "--timeout %q: want a time such as 90m", p.timeout)
		}
		*timeout = d
	}
	if p.askTimeout != "" {
		d, err := config.ParseDuration(p.askTimeout)
		if err != nil || d <= 0 || d > longestAsk {
			return usage(cmd, "--ask-timeout %q: want a time such as 10m, at most %v", p.askTimeout, longestAsk)
		}
		*ask = d
	}
	return nil
}

// fill takes from the configuration what no flag said.
func (o *startOptions) fill(cmd *cobra.Command, cfg config.Config) {
	unset := func(name string) bool { return !cmd.Flags().Changed(name) }
	if unset("agent") {
		o.Agent = cfg.Agent
	}
	if unset("agent-path") {
		o.AgentPath = cfg.AgentPath
	}
	if unset("model") {
		o.Model = cfg.Model
	}
	if unset("timeout") {
		o.Timeout = cfg.Timeout
	}
	if unset("history") {
		o.History = cfg.History
	}
	if unset("keep") {
		o.Keep = cfg.Keep
	}
	if unset("runtime") {
		o.Backend.Runtime = cfg.Backend.Runtime
	}
	if unset("image") && o.Backend.Runtime != "native" {
		o.Backend.Image = cfg.Backend.Image
	}
	if unset("oci-runtime") && o.Backend.Runtime != "native" {
		o.Backend.OCIRuntime = cfg.Backend.OCIRuntime
	}
	limits := cfg.Limits
	if !unset("pids") {
		limits.PIDs = o.Limits.PIDs
	}
	if !unset("cpus") {
		limits.CPUs = o.Limits.CPUs
	}
	o.Limits = limits
}

func runStart(ctx context.Context, d *deps, cmd *cobra.Command, o *startOptions) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	if err := o.complete(cmd, svc.Config); err != nil {
		return err
	}
	o.Dir, o.Progress = ".", d.progress
	err = d.follow(ctx, svc, shown{json: o.json, noInput: o.noInput || o.Ask.Unattended}, func(w watched) (sandbox.Run, error) {
		o.Ask.Prompt, o.Ask.Notify, o.Control = w.prompt, w.notify, w.control
		return svc.Start(ctx, o.StartOptions, w.view)
	})
	if _, ended := errors.AsType[exitError](err); o.Learn && !o.json && (err == nil || ended) {
		err = errors.Join(learnedAfter(ctx, d, o.Name), err)
	}
	return err
}

// shown says how a run is shown, and watched what shows it and ends it early.
type (
	shown struct {
		json    bool
		noInput bool // nobody is asked at this terminal
	}
	watched struct {
		view    audit.Sink
		prompt  approval.Prompter
		notify  func(approval.Question)
		control *service.Control
	}
)

// follow shows a run from its start to its end, and gives its exit status.
func (d *deps) follow(ctx context.Context, svc *service.Service, how shown, run func(watched) (sandbox.Run, error)) error {
	w := watched{control: service.NewControl()}
	defer stopOnSignals(w.control)()
	view, done := d.view(ctx, how.json)
	w.view = view
	if live, ok := view.(*report.Live); ok && !how.noInput {
		w.prompt = d.prompter(live)
	}
	var untold error
	told := d.notifier(svc.Config.Notify, func(err error) { untold = err })
	w.notify = func(q approval.Question) { told.Notify(ctx, q) }
	ended, err := run(w)
	told.Wait()
	if err := errors.Join(err, done()); err != nil {
		return err
	}
	if untold != nil {
		complain(d.streams, untold)
	}
	return outcomeError(ended)
}

// longestAsk is how long a question may wait: the client of a hook waits for an
// hour at most.
const longestAsk = 55 * time.Minute

// outcomeError is the exit status of a run that is not done.
func outcomeError(run sandbox.Run) error {
	if status := run.Outcome.ExitStatus(); status != 0 {
		return exitError{status}
	}
	return nil
}

// stopOnSignals turns Ctrl-C and its like into requests to stop. The third one
// is not ours any more: it ends the process, and what it leaves is recovered
// by cleanup.
func stopOnSignals(control *service.Control) (done func()) {
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	quit := make(chan struct{})
	go func() {
		for n := 1; ; n++ {
			select {
			case <-signals:
				control.Stop()
			case <-quit:
				return
			}
			if n == 2 {
				signal.Reset(os.Interrupt, syscall.SIGTERM)
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(quit)
	}
}

// view is what a run is shown by, and what ends it.
func (d *deps) view(ctx context.Context, json bool) (audit.Sink, func() error) {
	if json {
		lines := report.NewJSONLines(d.streams.Out)
		return lines, lines.Close
	}
	live := report.NewLive(d.streams.Out, report.LiveOptions{Status: d.streams.Out.TTY, Now: time.Now})
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		live.Animate(ctx)
	}()
	return live, func() error {
		cancel()
		<-ended
		return live.Close()
	}
}
