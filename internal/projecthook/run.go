package projecthook

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"agentprocess/internal/sandbox"
)

// startTime bounds the start of a sandbox, which is not the hook's time.
const startTime = 10 * time.Second

// exitDeny is the exit status by which a hook denies.
const exitDeny = 2

// errTime is why a hook was killed at the end of its time.
var errTime = errors.New("its time is over")

// Run runs one hook to its end. Whatever goes wrong is a denial, or for a hook
// that observes a note in an allowed result. A project without the hook is
// asked with Has.
func (r *Runner) Run(ctx context.Context, name string, in Input) Result {
	begin := time.Now()
	c := &call{runner: r, name: name, settings: r.settings(name), in: in, stderr: &excerpt{}, stdout: &limited{limit: maxStdout}}
	res, err := c.run(ctx)
	if err != nil {
		res = deny(name, err, c.stderr)
	}
	res.Hook, res.Duration = name, time.Since(begin)
	if c.settings.Observe {
		return observed(res)
	}
	return res
}

// call is one call of one hook.
type call struct {
	runner   *Runner
	name     string
	settings Settings
	in       Input
	stdout   *limited
	stderr   *excerpt
}

// run gives what the hook says, or why it has nothing to say.
func (c *call) run(ctx context.Context) (res Result, err error) {
	f, ok := c.runner.files[c.name]
	switch {
	case !ok:
		return Result{}, failed("the project has no such hook")
	case f.Mode&0o111 == 0:
		return Result{}, failed("it is not executable: git update-index --chmod=+x %s", path.Join(Dir, c.name))
	}
	doc, err := encode(c.name, c.runner.o.About, c.in)
	if err != nil {
		return Result{}, &failure{"the call cannot be told to it", err}
	}
	id, err := c.runner.enter(ctx)
	if err != nil {
		return Result{}, err
	}
	defer func() { c.runner.free <- id }()
	var l Layer
	if c.name == PostWrites || c.name == PostStop { // the others have no business to write
		if l, err = c.runner.newLayer(); err != nil {
			return Result{}, &failure{"there is no place for what it writes", err}
		}
		defer func() {
			if rerr := l.remove(); rerr != nil && err == nil {
				res, err = Result{}, &failure{"what it wrote could not be removed", rerr}
			}
		}()
	}
	exit, err := c.inside(ctx, id, l, doc)
	if err != nil {
		return Result{}, err
	}
	if res, err = c.judge(exit); err != nil || res.Decision != Allow || c.name != PostWrites || c.settings.Observe {
		return res, err
	}
	res.Changes, res.Refused, err = collect(l.Upper, c.runner.o.About.Workspace, c.in.Paths)
	if err != nil {
		return Result{}, &failure{"what it changed could not be read", err}
	}
	return res, nil
}

// enter waits for a sandbox that may be started, and gives its id.
func (r *Runner) enter(ctx context.Context) (string, error) {
	select {
	case id := <-r.free:
		return id, nil
	case <-ctx.Done():
		return "", &failure{fmt.Sprintf("%d others ran, and this call's time was over before it could begin", slots), context.Cause(ctx)}
	}
}

// inside runs the hook in a sandbox that is gone when it returns.
func (c *call) inside(ctx context.Context, id string, l Layer, doc []byte) (exit sandbox.Exit, err error) {
	mounts, err := c.runner.o.View(l)
	if dir := c.runner.o.About.Workspace; err == nil && !slices.ContainsFunc(mounts, func(m sandbox.Mount) bool { return m.Target == dir }) {
		err = fmt.Errorf("nothing is mounted at %q", dir)
	}
	if err != nil {
		return exit, &failure{"the agent's tree cannot be shown to it", err}
	}
	starting, cancel := context.WithTimeout(ctx, startTime)
	box, err := c.runner.o.Runtime.Start(starting, c.runner.spec(id, c.name, c.settings, mounts))
	cancel()
	if err != nil {
		return exit, &failure{"its sandbox could not be started", errors.Join(err, c.runner.cleanUp(ctx, id))}
	}
	defer func() {
		if cerr := box.Close(); cerr != nil && err == nil {
			err = &failure{"its sandbox could not be ended", errors.Join(cerr, c.runner.cleanUp(ctx, id))}
		}
	}()
	exit, err = c.exec(ctx, box, doc)
	if err == nil && box.Usage().DiskExceeded {
		err = failed("it wrote more to the tree than it may")
	}
	return exit, err
}

// cleanUp makes the id fit for the next sandbox. The end of the call does not
// keep it from that.
func (r *Runner) cleanUp(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTime)
	defer cancel()
	return r.o.Runtime.Cleanup(ctx, id)
}

// exec runs the hook in its time.
func (c *call) exec(ctx context.Context, box sandbox.Sandbox, doc []byte) (sandbox.Exit, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.settings.Timeout, errTime)
	defer cancel()
	p, err := box.Exec(ctx, sandbox.Command{
		Argv: []string{path.Join(insideDir, c.name)}, Env: c.runner.environ(c.name, box.Facts().ToolPath),
		Dir: c.runner.o.About.Workspace, Stdin: bytes.NewReader(doc), Stdout: c.stdout, Stderr: c.stderr,
	})
	if err != nil {
		return sandbox.Exit{}, cmp.Or(c.cut(ctx), c.startError(err))
	}
	exit, err := p.Wait()
	if exit.OOM {
		return exit, failed("it needed more than its %d MiB of memory", c.settings.MemoryBytes>>20)
	}
	if err != nil {
		err = &failure{"its output could not be read", err}
	}
	return exit, cmp.Or(c.cut(ctx), err)
}

// cut says why the hook was killed before its end, nil when it was not.
func (c *call) cut(ctx context.Context) error {
	switch cause := context.Cause(ctx); {
	case cause == nil:
		return nil
	case errors.Is(cause, errTime):
		return failed("it did not end within %v", c.settings.Timeout)
	default:
		return &failure{"the call ended before it did", cause}
	}
}

// startError says why a file that is there cannot be executed.
func (c *call) startError(err error) error {
	interpreter := c.interpreter()
	switch {
	case errors.Is(err, fs.ErrNotExist) && interpreter != "":
		return &failure{fmt.Sprintf("its interpreter %q is not there inside the sandbox", interpreter), err}
	case errors.Is(err, fs.ErrNotExist):
		return &failure{"what loads this kind of program is not there inside the sandbox", err}
	case errors.Is(err, fs.ErrPermission):
		return &failure{fmt.Sprintf("it cannot be executed, or its interpreter %q cannot", interpreter), err}
	case errors.Is(err, syscall.ENOEXEC):
		return &failure{"it is no program: a script begins with a line such as #!/bin/sh", err}
	default:
		return &failure{"it could not be started", err}
	}
}

// interpreter is the program that the first line of a script names.
func (c *call) interpreter() string {
	line, _, _ := bytes.Cut(c.runner.files[c.name].Data, []byte("\n"))
	rest, script := strings.CutPrefix(string(line), "#!")
	words := strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == '\t' })
	if !script || len(words) == 0 {
		return ""
	}
	return words[0]
}

// judge turns the end of the hook into its answer.
func (c *call) judge(exit sandbox.Exit) (Result, error) {
	switch {
	case exit.Signal != 0:
		return Result{}, failed("it was ended by signal %d (%v)", int(exit.Signal), exit.Signal)
	case exit.Code == exitDeny:
		reason := c.stderr.text()
		if reason == "" {
			reason = "the project's hook " + c.name + " denied this call and gave no reason"
		}
		return Result{Decision: Deny, Reason: reason}, nil
	case exit.Code != 0:
		return Result{}, failed("it exited with %d; a hook exits with 0 or, to deny, with %d", exit.Code, exitDeny)
	case c.stdout.over:
		return Result{}, failed("it wrote more than %d bytes to stdout", maxStdout)
	}
	a, err := parseAnswer(c.name, c.stdout.data)
	if err != nil {
		return Result{}, failed("what it wrote to stdout is no answer: %v", err)
	}
	res := Result{Decision: a.decision, Input: a.input, Context: visible(a.context)}
	if a.decision != Allow {
		res.Context = ""
		res.Reason = bound(visible(strings.TrimSpace(a.reason)))
		if res.Reason == "" {
			res.Reason = fmt.Sprintf("the project's hook %s answered %q and gave no reason", c.name, string(a.decision))
		}
	}
	return res, nil
}
