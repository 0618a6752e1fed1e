package service

import (
	"context"
	"fmt"
	"sync"

	"agentprocess/internal/agent"
	"agentprocess/internal/image"
	"agentprocess/internal/policy"
	"agentprocess/internal/proxy"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/toolpolicy"
	"agentprocess/internal/workspace"
)

// checked is everything a start decides before it creates anything.
type checked struct {
	repo     *workspace.Repository
	base     workspace.Base
	from     workspace.Base   // where the agent starts: the base, or the end of its branch
	stat     sandbox.DiffStat // of what is there from before
	identity sandbox.Identity
	chosen   chosen
	rules    []policy.Rule
	supplied *supplied
	tools    *toolpolicy.Policy
	adapter  agent.Adapter
	plan     agent.Plan
	// credentials are swapped in by the gateway; the agent has stand-ins.
	credentials []proxy.Credential
	sources     []*source // where they rest
	env         []string  // the person's --env, resolved
	upstream    *proxy.Upstream
	// secretEnv and files hold the placeholders of the person's secrets.
	secretEnv    []string
	files        []sandbox.File
	secretValues []policy.Secret
	notices      []string
	suggestions  []string // what might be wanted, and is not there
}

// check refuses what cannot work, in the order in which a person would want to
// hear of it, and creates nothing.
func (s *Service) check(ctx context.Context, o StartOptions) (*checked, error) {
	if err := sandbox.ValidateName(o.Name); err != nil {
		return nil, err
	}
	c := &checked{}
	var err error
	if c.repo, err = s.open(ctx, o.Dir); err != nil {
		return nil, err
	}
	var host sync.WaitGroup // looked at beside the repository
	var unusable error
	if o.Backend.Image != image.Project { // which is known at the end
		host.Go(func() { c.chosen, unusable = s.choose(ctx, o.Backend) })
	}
	c.base, err = c.repo.Resolve(ctx, o.Base)
	host.Wait()
	if err != nil {
		return nil, err
	}
	if err := s.takeUp(ctx, o, c); err != nil {
		return nil, err
	}
	if unusable != nil {
		return nil, unusable
	}
	if c.identity, err = s.Identity(); err != nil {
		return nil, err
	}
	if c.env, err = s.resolveEnv(o.Env); err != nil {
		return nil, err
	}
	if err := s.leaveBy(c); err != nil {
		return nil, err
	}
	if _, err := workspace.ParseScope(o.Scope); err != nil {
		return nil, err
	}
	if _, _, err := history(o.History); err != nil {
		return nil, err
	}
	if o.IncludeDirty {
		if err := s.includeDirty(ctx, c); err != nil {
			return nil, err
		}
	}
	if c.supplied, err = s.supplied(ctx, c.repo, c.base); err != nil {
		return nil, err
	}
	c.notices = append(c.notices, c.supplied.notices()...)
	if c.tools, err = s.policy(o, c.supplied); err != nil {
		return nil, err
	}
	if err := s.planAgent(ctx, o, c); err != nil {
		return nil, err
	}
	if c.rules, err = s.rules(ctx, o, c); err != nil {
		return nil, err
	}
	if err := s.bindSecrets(ctx, o, c); err != nil {
		return nil, err
	}
	if err := c.refuseRevealed(); err != nil {
		return nil, err
	}
	if notice := c.repo.Identity().Notice; notice != "" {
		c.notices = append(c.notices, notice)
	}
	if c.base.Behind > 0 {
		c.notices = append(c.notices, fmt.Sprintf(
			"the base is %d commits behind %s as last fetched: start from it with --base %s", c.base.Behind, c.base.Upstream, c.base.Upstream))
	}
	return c, s.chooseProject(ctx, o, c)
}

// takeUp finds out where the agent starts: at the base, if the name is free, or
// where it was.
func (s *Service) takeUp(ctx context.Context, o StartOptions, c *checked) (err error) {
	c.from = c.base
	if o.resume == nil {
		return s.nameFree(ctx, c.repo, o.Name)
	}
	c.from = o.resume.tip
	if !o.resume.kept.Kept() && o.Agent != agent.KindExec {
		c.notices = append(c.notices, "its conversation is not kept: it starts a new one, from its goal")
	}
	c.stat, _, err = c.repo.Compare(ctx, c.base.Commit, c.from.Commit)
	return err
}

// nameFree refuses a name whose run is alive or has crashed. Names that git
// knows are refused when the name is claimed.
func (s *Service) nameFree(ctx context.Context, repo *workspace.Repository, name string) error {
	run, err := s.Store.RunByName(ctx, repo.CommonDir, name)
	if sandbox.ErrorCode(err) == sandbox.CodeNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	switch run = s.truth(run); {
	case run.State == sandbox.StateCrashed:
		return sandbox.Fail(sandbox.CodeNameInUse, fmt.Errorf("agent %q: its last run crashed and may hold work", name),
			"`agent-process cleanup` brings its work home; `agent-process rm "+name+"` does, and then removes it, recoverably")
	case running(run):
		return sandbox.Fail(sandbox.CodeNameInUse, fmt.Errorf("agent %q is running", name),
			"choose another name, or `agent-process stop "+name+"`")
	}
	return nil
}

// detail is the line about the base in the header of a run.
func (c *checked) detail() string {
	id := c.base.Commit
	if len(id) > 12 {
		id = id[:12]
	}
	text := fmt.Sprintf("base %s %s, %s", id, c.base.Date.Format("2006-01-02"), c.base.Subject)
	if c.from.Commit != c.base.Commit {
		text += fmt.Sprintf("; goes on from %s, %s", c.from.Commit[:12], c.from.Subject)
	}
	return text
}

// unseen says loudly what the agent will not see. It takes as long as the tree
// is large, so nothing waits for it.
func (c *checked) unseen(ctx context.Context) (warning string) {
	dirty, err := c.repo.Dirty(ctx)
	switch {
	case err != nil:
		return fmt.Sprintf("the tree could not be looked at for changes that are in no commit: %v", err)
	case dirty.Any():
		return fmt.Sprintf("the tree has changes that are in no commit (%d staged, %d unstaged, %d untracked): the agent starts from the commit and will not see them",
			dirty.Staged, dirty.Unstaged, dirty.Untracked)
	default:
		return ""
	}
}
