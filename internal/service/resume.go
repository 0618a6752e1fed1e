package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"agentprocess/internal/agent"
	"agentprocess/internal/audit"
	"agentprocess/internal/conversation"
	"agentprocess/internal/proxy"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/store"
	"agentprocess/internal/workspace"
)

// goOn is what an agent is told that is resumed without a word.
const goOn = "Go on where you left off."

// ResumeOptions say how an agent goes on. What is not said is as it was.
type ResumeOptions struct {
	Name string
	Text string // what the person says; empty is to go on
	// Told, if any, is called once Text is in the record of the run.
	Told func() error
	Dir  string

	Allow     []string // egress rules besides those it had
	Env       []string // variables besides those it had, or their values
	AgentPath string
	Model     string
	Timeout   time.Duration
	Keep      bool
	Ask       Asking
	Progress  func(string)
	Control   *Control
}

// resumption is what a start goes on from.
type resumption struct {
	run  sandbox.Run // before
	tip  workspace.Base
	kept *conversation.Conversation
	text string
	told func() error // that text is as good as said
	// waiting are messages that the agent has not had.
	waiting []store.Message
	gone    bool      // the branch is, because there was nothing on it
	rebase  *rebasing // what its branch is to stand on; nil to go on as it was
}

// launch is how a run was started, as far as it is kept for the next one: no
// values of variables.
type launch struct {
	Agent       string                  `json:"agent"`
	AgentPath   string                  `json:"agent_path,omitempty"`
	Argv        []string                `json:"argv,omitempty"`
	Model       string                  `json:"model,omitempty"`
	Allow       []string                `json:"allow,omitempty"`
	Secrets     []string                `json:"secrets,omitempty"` // names
	History     string                  `json:"history,omitempty"`
	Resolve     map[string]proxy.Target `json:"resolve,omitempty"`
	Env         []string                `json:"env,omitempty"`   // names alone
	Given       []string                `json:"given,omitempty"` // those whose value was not the person's own
	Checks      []string                `json:"checks,omitempty"`
	Scope       []string                `json:"scope,omitempty"`
	Backend     sandbox.Backend         `json:"backend,omitzero"`
	Limits      sandbox.Limits          `json:"limits"`
	Timeout     time.Duration           `json:"timeout,omitempty"`
	AskTimeout  time.Duration           `json:"ask_timeout,omitempty"`
	Unattended  bool                    `json:"unattended,omitempty"`
	KeepsBranch bool                    `json:"keep,omitempty"`
	NoVerify    bool                    `json:"no_verify,omitempty"`
}

// launched is what is kept of o.
func launched(o StartOptions) ([]byte, error) {
	if o.resume != nil && o.resume.rebase != nil {
		return o.resume.rebase.launch, nil // a rebasing changes nothing of it
	}
	l := launch{
		Agent: o.Agent, AgentPath: o.AgentPath, Argv: o.Argv, Model: o.Model, Allow: o.Allow, Secrets: o.Secrets, Resolve: o.Resolve, Checks: o.Checks,
		Scope: o.Scope, History: o.History, Backend: o.Backend, Limits: o.Limits, Timeout: o.Timeout, AskTimeout: o.Ask.Timeout, Unattended: o.Ask.Unattended, KeepsBranch: o.Keep, NoVerify: o.NoVerify,
	}
	for _, kv := range o.Env {
		name, _, given := strings.Cut(kv, "=")
		l.Env = append(l.Env, name)
		if given {
			l.Given = append(l.Given, name)
		}
	}
	return json.Marshal(l)
}

// options are those of a start that goes on from one launched as l.
func (l launch) options(run sandbox.Run, o ResumeOptions) (StartOptions, error) {
	start := StartOptions{
		Name: run.Name, Goal: run.Goal, Dir: o.Dir, Source: Source{Base: run.Base, History: l.History},
		Agent: l.Agent, AgentPath: l.AgentPath, Argv: l.Argv, Model: l.Model,
		Egress:  Egress{Allow: append(slices.Clone(l.Allow), o.Allow...), Secrets: l.Secrets, Resolve: l.Resolve},
		Machine: Machine{Backend: l.Backend, Limits: l.Limits, Timeout: l.Timeout},
		Checks:  l.Checks, Scope: l.Scope, Keep: o.Keep || l.KeepsBranch, NoVerify: l.NoVerify, Ask: o.Ask, Progress: o.Progress, Control: o.Control,
	}
	if start.Ask.Timeout == 0 {
		start.Ask.Timeout = l.AskTimeout
	}
	start.Ask.Unattended = o.Ask.Unattended || l.Unattended
	if o.AgentPath != "" {
		start.AgentPath = o.AgentPath
	}
	if o.Model != "" {
		start.Model = o.Model
	}
	if o.Timeout != 0 {
		start.Timeout = o.Timeout
	}
	said := map[string]bool{}
	for _, kv := range o.Env {
		name, _, _ := strings.Cut(kv, "=")
		said[name] = true
	}
	var missing []string
	for _, name := range l.Env {
		switch {
		case said[name]:
		case slices.Contains(l.Given, name):
			missing = append(missing, name)
		default:
			start.Env = append(start.Env, name)
		}
	}
	start.Env = append(start.Env, o.Env...)
	if len(missing) > 0 {
		return start, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("agent %q had variables whose values are not kept: %s", run.Name, strings.Join(missing, ", ")),
			"give them again: --env "+missing[0]+"=VALUE")
	}
	return start, nil
}

// Resume lets an agent go on: on its branch, in its conversation, under the
// policy that it had. A run that crashed is brought home first.
func (s *Service) Resume(ctx context.Context, o ResumeOptions, view audit.Sink) (sandbox.Run, error) {
	repo, err := s.open(ctx, o.Dir)
	if err != nil {
		return sandbox.Run{}, err
	}
	run, err := s.settled(ctx, o.Dir, o.Name)
	if err != nil {
		return run, err
	}
	kept, err := s.takeConversation(repo, o.Name)
	if err != nil {
		return run, err
	}
	start, err := s.resumption(ctx, repo, run, o)
	if err != nil {
		return run, errors.Join(err, kept.Close())
	}
	start.resume.kept = kept
	return s.Start(ctx, start, view)
}

// settled is the newest run of an agent that nobody is at work on, with its work
// at home.
func (s *Service) settled(ctx context.Context, dir, name string) (sandbox.Run, error) {
	run, err := s.find(ctx, dir, name)
	switch {
	case err != nil:
		return run, err
	case running(run):
		return run, sandbox.Fail(sandbox.CodeBusy, fmt.Errorf("agent %q is running", name),
			"`agent-process send "+name+" TEXT` tells it something")
	case run.State != sandbox.StateCrashed:
		return run, nil
	}
	if run, err = s.quiet(ctx, dir, run, false); err != nil {
		return run, err
	}
	return s.find(ctx, dir, name)
}

// resumption finds out what a run goes on from.
func (s *Service) resumption(ctx context.Context, repo *workspace.Repository, run sandbox.Run, o ResumeOptions) (StartOptions, error) {
	data, err := s.Store.Launch(ctx, run.ID)
	if err != nil {
		return StartOptions{}, err
	}
	var l launch
	if err := json.Unmarshal(data, &l); err != nil {
		return StartOptions{}, fmt.Errorf("how run %q was started: %w", run.ID, err)
	}
	start, err := l.options(run, o)
	if err != nil {
		return start, err
	}
	start.resume = &resumption{run: run, text: o.Text, told: o.Told}
	tip, base, err := repo.Place(ctx, run.Name)
	switch {
	case err != nil:
		return start, err
	case tip == "" && run.Stat.Commits > 0:
		return start, sandbox.Fail(sandbox.CodeNotFound, fmt.Errorf("branch %q is gone", run.Branch),
			"bring it back, with `git branch "+run.Branch+" "+run.Tip[:12]+"` if that commit is still there, then try again")
	case tip == "":
		tip, start.resume.gone = run.Base, true
	}
	if base != "" { // which undo may have brought back
		start.Base = base
	}
	if start.resume.tip, err = repo.Resolve(ctx, tip); err != nil {
		return start, err
	}
	start.resume.waiting, err = s.Store.Waiting(ctx, run.Repository, run.Name)
	if err != nil || start.resume.gone {
		return start, err
	}
	return start, removeWorktree(ctx, repo, run.Name)
}

// goal is what the agent is told now.
func (r *resumption) goal(name, goal string) string {
	var texts []string
	if !r.kept.Kept() { // it knows nothing of what was
		texts = append(texts, goal)
	}
	for _, m := range r.waiting {
		texts = append(texts, m.Text)
	}
	if r.rebase != nil {
		texts = append(texts, r.rebase.task(name))
	}
	if r.text != "" {
		texts = append(texts, r.text)
	}
	if len(texts) == 0 {
		return goOn
	}
	return strings.Join(texts, "\n\n")
}

// claimAgain takes the branch of an agent that goes on.
func (x *session) claimAgain(ctx context.Context) (*workspace.Claim, error) {
	r := x.opts.resume
	switch {
	case r.gone:
		return x.chk.repo.Claim(ctx, x.opts.Name, x.chk.base)
	case r.rebase != nil:
		return x.chk.repo.ReclaimOnto(ctx, x.opts.Name, x.chk.base, r.tip.Commit)
	}
	return x.chk.repo.Reclaim(ctx, x.opts.Name, x.chk.base, r.tip.Commit)
}

// Sent says what became of a message.
type Sent struct {
	Queued bool // the agent gets it at the end of its turn
}

// Send queues a message for a running agent, which gets it at the end of its
// turn. One that takes no more has ended, or is about to: then nothing is
// queued, and Resume is what is wanted.
func (s *Service) Send(ctx context.Context, dir, name, text string) (Sent, error) {
	run, err := s.find(ctx, dir, name)
	switch {
	case err != nil:
		return Sent{}, err
	case !running(run):
		return Sent{}, nil
	case !listens(run):
		return Sent{}, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("agent %q is a command, which takes no messages", name), "stop it, or wait for its end")
	}
	err = s.Store.Send(ctx, run, store.Message{Text: text, Sent: s.Now()})
	if errors.Is(err, store.ErrClosed) {
		return Sent{}, s.waitGone(ctx, run)
	}
	return Sent{Queued: err == nil}, err
}

// listens reports whether an agent can be told anything.
func listens(run sandbox.Run) bool { return run.Agent.Kind == agent.KindClaude }

// Interrupt ends a running agent so that it can be resumed at once; one that has
// ended is left as it is.
func (s *Service) Interrupt(ctx context.Context, dir, name string) error {
	run, err := s.find(ctx, dir, name)
	if err != nil || !running(run) {
		return err
	}
	_, err = s.Stop(ctx, dir, name, false)
	return err
}
