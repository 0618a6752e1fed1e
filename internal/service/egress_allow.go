package service

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"agentprocess/internal/approval"
	"agentprocess/internal/audit"
	"agentprocess/internal/policy"
	"agentprocess/internal/sandbox"
)

// changeTime is how long a change may take to be in force.
const changeTime = 10 * time.Second

// EgressEdit is what a person wants to change of what an agent may reach.
type EgressEdit struct {
	Dir, Name string
	Deny      bool
	Rule      string // a rule, or the id of a denial
	Scope     Scope
	By        string
}

// EgressEdited is what came of it.
type EgressEdited struct {
	audit.EgressChange
	// File is the allowlist of the project that has the line now, if it was to.
	File string `json:"file,omitempty"`
	// Beaten is the deny line that makes what was allowed count for nothing.
	Beaten *policy.Rule `json:"beaten,omitempty"`
	// Ran is set when a run that goes on has changed.
	Ran bool `json:"ran"`
}

// ChangeEgress changes what an agent may reach, within a second if it runs.
func (s *Service) ChangeEgress(ctx context.Context, e EgressEdit) (EgressEdited, error) {
	var done EgressEdited
	if isRequestID().MatchString(e.Rule) {
		r, _, err := s.recordedRequest(ctx, EgressQuestion{PolicyQuery: PolicyQuery{Dir: e.Dir, Name: e.Name}, What: e.Rule})
		switch {
		case err != nil:
			return done, err
		case !policy.IsLine(r.Fix):
			return done, sandbox.Fail(sandbox.CodePolicy, fmt.Errorf("%s: no line of the list would allow it: %s", e.Rule, r.Reason), "`agent-process policy explain "+e.Rule+"` says more")
		}
		e.Rule = r.Fix
	}
	rule, err := parseLive(e.Rule, e.Deny)
	if err != nil {
		return done, sandbox.Fail(sandbox.CodePolicy, err, "`agent-process policy explain --grammar` says what a rule may hold; nothing was changed")
	}
	run, err := s.find(ctx, e.Dir, e.Name)
	if err != nil {
		return done, err
	}
	if running(run) {
		if done, err = s.changeRunning(ctx, run, e); err != nil {
			return done, err
		}
	} else if e.Scope != ScopeProject {
		return done, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("agent %q does not run", e.Name),
			"--project writes the rule down for runs to come; `agent-process resume "+e.Name+" --allow RULE` goes on with it")
	}
	if e.Scope == ScopeProject {
		done.File, err = s.listForProject(ctx, e.Dir, rule.String())
	}
	return done, err
}

// changeRunning writes a change down for a run that goes on, and waits for what
// it says.
func (s *Service) changeRunning(ctx context.Context, run sandbox.Run, e EgressEdit) (EgressEdited, error) {
	action := audit.Allow
	if e.Deny {
		action = audit.Deny
	}
	c := change{ID: newChangeID(), At: s.Now().UTC(), By: e.By, Action: action, Rule: e.Rule, Scope: e.Scope}
	after, err := s.Store.LastSeq(ctx, run.ID)
	if err != nil {
		return EgressEdited{}, err
	}
	if err := appendChange(s.Paths.RunDir(run.ID), c); err != nil {
		return EgressEdited{}, sandbox.Fail(sandbox.CodePolicy, err, "nothing was changed")
	}
	done, err := s.changed(ctx, run.ID, after, c.ID)
	if err != nil || e.Deny {
		return done, err
	}
	rule, err := parseLive(e.Rule, false)
	if err != nil {
		return done, err
	}
	list, err := s.egressOf(ctx, run.ID)
	if err != nil {
		return done, err
	}
	set := policy.NewSet(list.Rules)
	if d := set.Decide(policy.Request{Host: probeName(rule), Port: rule.Ports[0].First}); !d.Allowed() && d.Rule.Deny {
		done.Beaten = &d.Rule
	}
	return done, nil
}

// probeName is a name that a rule is about.
func probeName(r policy.Rule) string {
	if r.Wildcard {
		return "any." + r.Name
	}
	return r.Name
}

// errSettled ends the reading of a record.
var errSettled = errors.New("settled")

// changed waits until the run says what became of a change.
func (s *Service) changed(ctx context.Context, run string, after int64, id string) (EgressEdited, error) {
	ctx, cancel := context.WithTimeout(ctx, changeTime)
	defer cancel()
	var done EgressEdited
	err := s.Store.Follow(ctx, run, after, func() bool { return alive(s.runs(), run) }, func(e audit.Event) error {
		if e.Kind != (audit.EgressChange{}).EventKind() {
			return nil
		}
		p, err := audit.Decode(e)
		if err != nil {
			return err
		}
		if c, ok := p.(audit.EgressChange); ok && c.ID == id {
			done.EgressChange, done.Ran = c, true
			return errSettled
		}
		return nil
	})
	switch {
	case errors.Is(err, errSettled) && done.Error != "":
		return done, sandbox.Fail(sandbox.CodePolicy, errors.New(done.Error), "what the agent may reach is as it was")
	case errors.Is(err, errSettled):
		return done, nil
	case errors.Is(err, context.DeadlineExceeded):
		err = errors.New("the run did not say that the change counts")
	case err == nil:
		err = errors.New("the run ended before the change counted")
	}
	return done, fmt.Errorf("change %s: %w", id, err)
}

// listForProject adds lines to the project's allowlist in the person's tree, and
// commits nothing. What stands there stays byte for byte.
func (s *Service) listForProject(ctx context.Context, dir string, lines ...string) (string, error) {
	repo, err := s.open(ctx, dir)
	if err != nil {
		return "", err
	}
	path := filepath.Join(repo.Here, filepath.FromSlash(allowlistFile))
	if repo.Here == "" {
		return "", sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("%q has no worktree here to write to", repo.CommonDir), "run it in a worktree of the repository")
	}
	if err := addLines(repo.Here, lines); err != nil {
		return "", fmt.Errorf("add to %q: %w", path, err)
	}
	return path, nil
}

// addLines adds to the allowlist in a tree those lines that are not there: all of
// them or none. Nothing is followed out of the tree, and no link at its end.
func addLines(tree string, lines []string) (err error) {
	root, err := os.OpenRoot(tree)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if err := root.Mkdir(filepath.Dir(allowlistFile), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, name := range []string{filepath.Dir(allowlistFile), allowlistFile} {
		info, err := root.Lstat(name)
		if err == nil && !info.IsDir() && !info.Mode().IsRegular() || err == nil && info.IsDir() != (name != allowlistFile) {
			return fmt.Errorf("%q is not what should be there: %s", name, info.Mode())
		}
	}
	f, err := root.OpenFile(allowlistFile, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	have, err := root.ReadFile(allowlistFile)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for old := range bytes.Lines(have) {
		there[string(bytes.TrimSpace(old))] = true
	}
	added := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return there[line] })
	if len(added) == 0 {
		return nil
	}
	text := strings.Join(added, "\n") + "\n"
	if len(have) > 0 && have[len(have)-1] != '\n' {
		text = "\n" + text
	}
	if _, err = f.WriteString(text); err != nil {
		return errors.Join(err, f.Truncate(int64(len(have))))
	}
	return nil
}

// AnswerOptions is an answer, and for how long it counts when it lets an agent
// reach something.
type AnswerOptions struct {
	approval.Answer
	Scope Scope  // empty is the rest of the run
	Dir   string // a directory of the repository, for ScopeProject
}

// answerEgress answers a question about what may be reached: a yes changes what
// the run may reach.
func (s *Service) answerEgress(ctx context.Context, q approval.Question, o AnswerOptions) error {
	run, err := s.Store.Run(ctx, q.Run)
	if err != nil {
		return err
	}
	run = s.truth(run)
	rule, err := parseLive(q.Detail, false)
	if err != nil {
		return err
	}
	project := o.Allow && o.Scope == ScopeProject
	if project {
		if err := s.sameRepository(ctx, o.Dir, run); err != nil {
			return err
		}
	}
	if o.Allow && !project && !running(run) {
		return approval.AnswerError(q.ID, approval.ErrClosed, approval.Answer{})
	}
	if err := s.Store.AnswerQuestion(ctx, q.ID, o.Answer); err != nil || !o.Allow {
		return err
	}
	if running(run) {
		edit := EgressEdit{Name: q.Name, Rule: q.Detail, Scope: cmp.Or(o.Scope, ScopeRun), By: o.By}
		if _, err = s.changeRunning(ctx, run, edit); err != nil {
			return err
		}
	}
	if project {
		_, err = s.listForProject(ctx, o.Dir, rule.String())
	}
	return err
}

// sameRepository refuses to write down in one repository what an agent of
// another one asks for.
func (s *Service) sameRepository(ctx context.Context, dir string, run sandbox.Run) error {
	repo, err := s.open(ctx, dir)
	if err == nil && repo.CommonDir != run.Repository {
		err = sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("agent %q is of the repository %q", run.Name, run.Repository), "answer with --project there")
	}
	return err
}
