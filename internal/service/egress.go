package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"agentprocess/internal/policy"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/trust"
)

// allowlistFile is the project's list of names, read from the base commit.
const allowlistFile = ".agent-process/allowlist"

// ruleText is rules as somebody wrote them.
type ruleText struct {
	layer        policy.Layer
	source, text string
	narrows      bool // only what it denies counts
}

// rules gathers who may be talked to: what the agent needs itself, the
// person's list, the project's list as it is in the base commit, and --allow.
func (s *Service) rules(ctx context.Context, o StartOptions, c *checked) ([]policy.Rule, error) {
	user, err := s.userRules()
	if err != nil {
		return nil, err
	}
	texts := []ruleText{{layer: policy.LayerBuiltin, source: "built-in: " + c.plan.Info.Kind, text: strings.Join(c.plan.Rules, "\n")}, user}
	// A list that nobody looked at may narrow: to reach more is a widening.
	if project, trusted, listed := c.supplied.item(trust.KindAllowlist); listed {
		texts = append(texts, ruleText{policy.LayerProject, allowlistFile + " (base commit)", string(project.Files[0].Data), !trusted})
	}
	texts = append(texts, ruleText{layer: policy.LayerRun, source: "--allow", text: strings.Join(o.Allow, "\n")})
	rules, err := parseAll(texts)
	if err != nil {
		return nil, err
	}
	c.suggest(rules)
	return c.expand(ctx, rules)
}

// userRules is the person's own list, which holds for all projects.
func (s *Service) userRules() (ruleText, error) {
	user, err := os.ReadFile(s.Paths.AllowlistFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ruleText{}, sandbox.Fail(sandbox.CodePolicy, fmt.Errorf("read allowlist: %w", err), "make it readable, or remove it")
	}
	return ruleText{layer: policy.LayerUser, source: s.Paths.AllowlistFile(), text: string(user)}, nil
}

// parseAll reads rules from all places and tells all that is wrong.
func parseAll(texts []ruleText) ([]policy.Rule, error) {
	var all []policy.Rule
	var errs []error
	for _, t := range texts {
		rules, err := policy.ParseRules(t.source, t.text)
		errs = append(errs, err)
		if t.narrows {
			rules = slices.DeleteFunc(rules, func(r policy.Rule) bool { return !r.Deny })
		}
		all = append(all, policy.WithLayer(t.layer, rules)...)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, sandbox.Fail(sandbox.CodePolicy, err, "docs/egress.md says what a line may hold; nothing was changed")
	}
	return all, nil
}
