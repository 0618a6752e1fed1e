package service

import (
	"context"
	"slices"
	"strings"

	"agentprocess/internal/audit"
	"agentprocess/internal/policy"
	"agentprocess/internal/store"
)

// spentIn says of which rules of a run the budget is spent, by its record: what
// is under way is not in it yet.
func (s *Service) spentIn(ctx context.Context, list EgressList) (func(policy.Rule) bool, error) {
	if list.Run == "" || !slices.ContainsFunc(list.Rules, func(r policy.Rule) bool { return r.Budget != policy.Budget{} }) {
		return nil, nil //nolint:nilnil // no budget, nothing spent
	}
	requests, err := s.Store.Requests(ctx, store.RequestFilter{Run: list.Run})
	if err != nil {
		return nil, err
	}
	used := map[string]policy.Budget{} // by what requests cite
	cut := map[string]bool{}           // what denials say is spent: their own bytes are in no sum
	for _, r := range requests {
		if r.Path == "dns" || r.Rule == audit.ProofRule {
			continue
		}
		if cite, ok := strings.CutPrefix(r.Reason, policy.SpentReason("")); ok {
			cut[cite] = true
		}
		u := used[r.Rule]
		used[r.Rule] = policy.Budget{Requests: u.Requests + 1, Up: u.Up + r.Up, Down: u.Down + r.Down}
	}
	return func(rule policy.Rule) bool { return spends(rule, used, cut) }, nil
}

// spends reports whether what cites a rule has used up one of its budgets.
func spends(rule policy.Rule, used map[string]policy.Budget, cut map[string]bool) bool {
	place := strings.TrimPrefix(rule.Cite(), rule.Text)
	about := func(cited string) bool {
		text, ok := strings.CutSuffix(cited, place)
		return ok && sameLine(text, rule)
	}
	for cited := range cut {
		if about(cited) {
			return rule.Budget != policy.Budget{}
		}
	}
	var all policy.Budget
	for cited, u := range used {
		if about(cited) {
			all = policy.Budget{Requests: all.Requests + u.Requests, Up: all.Up + u.Up, Down: all.Down + u.Down}
		}
	}
	over := func(used, most int64) bool { return most > 0 && used >= most }
	return over(all.Requests, rule.Budget.Requests) || over(all.Up, rule.Budget.Up) || over(all.Down, rule.Budget.Down)
}

// sameLine reports whether text is a rule as somebody wrote it.
func sameLine(text string, rule policy.Rule) bool {
	rules, err := policy.ParseRules("record", text)
	return err == nil && len(rules) == 1 && rules[0].String() == rule.String()
}
