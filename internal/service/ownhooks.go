package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"agentprocess/internal/approval"
	"agentprocess/internal/audit"
	"agentprocess/internal/hook"
	"agentprocess/internal/projecthook"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/shell"
	"agentprocess/internal/toolpolicy"
)

// preHooks are the project's hooks that judge a call before it runs: of all
// tools, also those of MCP servers, that run a line of shell or change a file.
func preHooks(c hook.Call) ([]string, error) {
	touched, err := toolpolicy.Touch(c.Tool, c.Input)
	if err != nil {
		return nil, err
	}
	names := []string{projecthook.PreAny}
	if touched.Shell {
		names = append(names, projecthook.PreBash)
	}
	if len(touched.Writes)+len(touched.Removes) > 0 {
		names = append(names, projecthook.PreWrites)
	}
	return names, nil
}

// runHooks runs those of the project's hooks that there are, and records what
// each of them said. Without any the call is allowed.
func (j *judge) runHooks(ctx context.Context, names []string, c hook.Call, t hook.Talk) projecthook.Verdict {
	allowed := projecthook.Verdict{Result: projecthook.Result{Decision: projecthook.Allow}}
	if j.hooks == nil {
		return allowed
	}
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !j.hooks.Has(n) })
	if len(names) == 0 {
		return allowed
	}
	if err := t.Hold(ctx, j.hooks.Longest(names)+holdMore); err != nil {
		return refuse(names[0], err)
	}
	in := projecthook.Input{Event: c.Event, Result: response(c)}
	if c.Tool != "" {
		in.Tool = &projecthook.Tool{Name: c.Tool, UseID: c.ToolUseID, Input: c.Input}
	}
	derive := func(ctx context.Context, in projecthook.Input) (projecthook.Input, error) {
		return derive(ctx, in, c.Dir, t)
	}
	in, err := derive(ctx, in)
	if err != nil {
		return refuse(names[0], err)
	}
	v := j.hooks.RunAll(ctx, projecthook.Chain{Hooks: names, Input: in, Derive: derive})
	for _, r := range v.Each {
		j.record(ownHook(c, r))
	}
	return v
}

// response is what the tool answered, of an event that comes after it.
func response(c hook.Call) json.RawMessage {
	var event map[string]json.RawMessage
	_ = json.Unmarshal(c.Raw, &event) // it was parsed before: ParseCall
	return event["tool_response"]
}

// refuse denies a call that a hook could not be asked about.
func refuse(name string, err error) projecthook.Verdict {
	return projecthook.Verdict{Result: projecthook.Result{
		Hook: name, Decision: projecthook.Deny, Reason: fmt.Sprintf("the project's hook %s could not be asked, so this is denied: %v", name, err),
	}}
}

// ownHook is the record of one hook's answer.
func ownHook(c hook.Call, r projecthook.Result) audit.OwnHook {
	o := audit.OwnHook{
		Hook: r.Hook, Event: c.Event, Tool: c.Tool, ToolUseID: c.ToolUseID, Decision: string(r.Decision), Reason: r.Reason,
		Observed: r.Observed, Failure: r.Failure, Modified: r.Input != nil, Duration: r.Duration,
	}
	for _, ch := range r.Changes {
		o.Changed = append(o.Changed, ch.Path)
	}
	return o
}

// derive works out of a tool's input what a hook is told besides it.
func derive(ctx context.Context, in projecthook.Input, dir string, t hook.Talk) (projecthook.Input, error) {
	in.Commands, in.Unparsed, in.Paths = nil, nil, nil
	if in.Tool == nil {
		return in, nil
	}
	touched, err := toolpolicy.Touch(in.Tool.Name, in.Tool.Input)
	if err != nil {
		return in, err
	}
	if touched.Shell {
		in.Commands, in.Unparsed = commands(touched.Line)
	}
	asked := slices.Concat(touched.Writes, touched.Removes)
	for i, p := range asked {
		if p == "~" || strings.HasPrefix(p, "~/") {
			p = agentHome + p[1:]
		}
		if !strings.HasPrefix(p, "/") {
			p = dir + "/" + p
		}
		asked[i] = p
	}
	if len(asked) == 0 {
		return in, nil
	}
	found, err := t.Resolve(ctx, asked)
	if err != nil {
		return in, err
	}
	for _, p := range asked {
		if at := found[p]; !slices.Contains(in.Paths, at) {
			in.Paths = append(in.Paths, at)
		}
	}
	return in, nil
}

// commands are the programs of a shell line, with their words; a word that is
// not known before the shell runs is told as far as it is.
func commands(line string) (words [][]string, unparsed []string) {
	script := shell.Parse(line)
	for _, c := range script.Commands {
		texts := make([]string, len(c.Words))
		for i, w := range c.Words {
			texts[i] = w.Text
		}
		words = append(words, texts)
	}
	return words, script.Unknown
}

// newJudge makes what decides on the tool calls of the run.
func (x *session) newJudge() (*judge, error) {
	j := &judge{
		policy: x.chk.tools, kind: x.chk.plan.Info.Kind, root: x.ws.Dir(), put: x.put, record: x.rec.Record,
		asking: map[string]string{},
		about:  approval.Question{Run: x.run.ID, Name: x.run.Name, Repository: x.run.Repository},
	}
	j.asker = &approval.Asker{
		Book: x.svc.Store, Prompt: x.opts.Ask.Prompt, Notify: func(q approval.Question) { x.asked(q, j.callOf(q)) }, Now: x.svc.Now, Deadline: x.opts.Ask.Timeout, Unattended: x.opts.Ask.Unattended,
	}
	files := x.chk.supplied.hookFiles()
	if len(files) == 0 {
		return j, nil
	}
	scratch := filepath.Join(x.dir.path, "hooks")
	if err := os.Mkdir(scratch, 0o700); err != nil {
		return nil, err
	}
	toolPath, _ := x.svc.lookup("PATH")
	var err error
	j.hooks, err = projecthook.New(projecthook.Options{
		Runtime: x.chk.chosen.runtime, Identity: x.chk.identity, Home: agentHome, ToolPath: toolPath, Files: files, View: x.hookView, Scratch: scratch,
		Settings: func(name string) projecthook.Settings {
			h := x.chk.tools.Hook(name)
			return projecthook.Settings{Observe: h.Observe, Timeout: h.Timeout, MemoryBytes: h.MemoryBytes}
		},
		About: projecthook.About{
			Run: x.run.ID, Agent: projecthook.Agent{Name: x.run.Name, Kind: x.chk.plan.Info.Kind}, Goal: x.run.Goal,
			Workspace: x.ws.Dir(), Base: x.run.Base, Branch: x.run.Branch,
		},
	})
	return j, err
}

// hookView shows a hook the agent's tree as it is now.
func (x *session) hookView(l projecthook.Layer) ([]sandbox.Mount, error) {
	return []sandbox.Mount{x.ws.View(l.Upper, l.Work)}, nil
}

// asked records a question that waits for a person, and passes it on.
func (x *session) asked(q approval.Question, toolUseID string) {
	x.rec.Record(audit.Question{
		ID: q.ID, ToolUseID: toolUseID, Subject: q.Subject, Rule: q.Rule, Source: q.Source, Reason: q.Reason, Deadline: q.Deadline, Unattended: q.Unattended,
	})
	if x.opts.Ask.Notify != nil {
		x.opts.Ask.Notify(q)
	}
}

// put replaces a file of the agent's tree by what a hook made of it, as the
// agent and inside its sandbox.
func (x *session) put(ctx context.Context, c projecthook.Change) error {
	var stderr strings.Builder
	exit, err := x.exec(ctx, sandbox.Command{
		Argv:  []string{sandbox.BinaryPath, sandbox.PutVerb, c.Path, strconv.FormatUint(uint64(c.Mode), 8)},
		Stdin: bytes.NewReader(c.Data), Stderr: &limited{w: &stderr, left: 4096},
	})
	if err == nil && exit.Code != 0 {
		err = errors.New(strings.TrimSpace(stderr.String()))
	}
	return err
}
