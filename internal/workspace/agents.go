package workspace

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"agentprocess/internal/execx"
	"agentprocess/internal/sandbox"
)

// Agent is the branch of an agent.
type Agent struct {
	Name    string
	Branch  string
	Tip     string
	Subject string // of Tip
	Date    time.Time
	// Base is the commit it started from; empty when that was not kept, and
	// then Stat is zero.
	Base string
	Stat sandbox.DiffStat
}

// agentRef is one line of what Agents asks for.
type agentRef struct {
	ref, id, tree string
	date          time.Time
	subject       string
}

// Agents lists the branches of agents with what they change, sorted by name,
// in a number of git runs that does not grow with them.
func (r *Repository) Agents(ctx context.Context) ([]Agent, error) {
	list, err := r.agentList(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.countAgents(ctx, list); err != nil {
		return nil, fmt.Errorf("compare the agents of %q: %w", r.CommonDir, err)
	}
	return list.agents, nil
}

// agentList reads the branches of agents and their bases, without comparing.
func (r *Repository) agentList(ctx context.Context) (*agentList, error) {
	out, err := r.git.run(ctx, r.common("for-each-ref", "--format=%(refname)%00%(objectname)%00%(tree)%00%(committerdate:unix)%00%(subject)",
		branchRef("*"), "refs/agents/*/base"))
	if err != nil {
		return nil, fmt.Errorf("list the agents of %q: %w", r.CommonDir, err)
	}
	refs, err := parseAgentRefs(out)
	if err != nil {
		return nil, err
	}
	return newAgentList(refs), nil
}

// parseAgentRefs reads lines of ref NUL id NUL tree NUL seconds NUL subject.
func parseAgentRefs(out []byte) ([]agentRef, error) {
	var refs []agentRef
	for line := range strings.Lines(string(out)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "\x00", 5)
		if len(f) != 5 || !isObjectID(f[1]) {
			return nil, fmt.Errorf("ref line %q is not understood", line)
		}
		if !isObjectID(f[2]) {
			continue // not a commit: somebody else's idea of such a name
		}
		seconds, err := strconv.ParseInt(f[3], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("ref line %q: %w", line, err)
		}
		refs = append(refs, agentRef{ref: f[0], id: f[1], tree: f[2], date: time.Unix(seconds, 0), subject: f[4]})
	}
	return refs, nil
}

// agentList are branches of agents, and the trees to compare.
type agentList struct {
	agents []Agent
	pairs  []string // "tree tree" per agent, empty without a base
}

func newAgentList(refs []agentRef) *agentList {
	bases := map[string]agentRef{}
	for _, ref := range refs {
		if name, ok := strings.CutPrefix(ref.ref, "refs/agents/"); ok {
			bases[strings.TrimSuffix(name, "/base")] = ref
		}
	}
	l := &agentList{}
	for _, ref := range refs {
		name, ok := strings.CutPrefix(ref.ref, branchRef(""))
		if !ok || sandbox.ValidateName(name) != nil {
			continue
		}
		base, known := bases[name]
		pair := ""
		if known {
			pair = base.tree + " " + ref.tree
		}
		l.agents = append(l.agents, Agent{Name: name, Branch: Branch(name), Tip: ref.id, Subject: ref.subject, Date: ref.date, Base: base.id})
		l.pairs = append(l.pairs, pair)
	}
	return l
}

// countAgents fills in what each branch changes.
func (r *Repository) countAgents(ctx context.Context, l *agentList) error {
	if !slices.ContainsFunc(l.pairs, func(p string) bool { return p != "" }) {
		return nil
	}
	c := r.common(safeDiff("-r", "-z", "-M", "-l1000", "--numstat", "--stdin")...)
	pairs := slices.Compact(slices.Sorted(slices.Values(l.pairs)))
	c.stdin = strings.NewReader(strings.TrimLeft(strings.Join(pairs, "\n"), "\n") + "\n")
	out, err := r.git.run(ctx, c)
	if err != nil {
		return err
	}
	entries, err := parseDiff(out)
	if err != nil {
		return err
	}
	stats := map[string]sandbox.DiffStat{}
	for _, e := range entries {
		stats[e.id] = e.stat()
	}
	commits, err := r.countCommits(ctx, l.agents)
	if err != nil {
		return err
	}
	for i, pair := range l.pairs {
		if pair != "" {
			l.agents[i].Stat = stats[pair]
			l.agents[i].Stat.Commits = commits[i]
		}
	}
	return nil
}

// countCommits counts per agent the commits between base and tip, on the part
// of the history that lies above what all bases have in common.
func (r *Repository) countCommits(ctx context.Context, agents []Agent) ([]int, error) {
	var bases, ends []string
	for _, a := range agents {
		if a.Base != "" {
			bases = append(bases, a.Base)
			ends = append(ends, a.Base, a.Tip)
		}
	}
	slices.Sort(bases)
	bases = slices.Compact(bases)
	common, err := r.git.line(ctx, r.common(append([]string{"merge-base", "--octopus"}, bases...)...))
	if err != nil && execx.ExitCode(err) != 1 {
		return nil, err
	}
	if isObjectID(common) {
		ends = append(ends, "^"+common)
	}
	c := r.common("rev-list", "--parents", "--stdin")
	c.stdin = strings.NewReader(strings.Join(ends, "\n") + "\n")
	out, err := r.git.run(ctx, c)
	if err != nil {
		return nil, err
	}
	list, err := parseCommits(out)
	if err != nil {
		return nil, err
	}
	history := history{}
	for _, c := range list {
		history[c.id] = c.parents
	}
	counts := make([]int, len(agents))
	for i, a := range agents {
		if a.Base != "" {
			counts[i] = history.between(a.Base, a.Tip)
		}
	}
	return counts, nil
}

// history maps commits to their parents.
type history map[string][]string

// between counts the commits that tip has and base has not.
func (h history) between(base, tip string) int {
	seen := map[string]bool{}
	h.walk(base, seen)
	before := len(seen)
	h.walk(tip, seen)
	return len(seen) - before
}

// walk marks all ancestors of id, and id.
func (h history) walk(id string, seen map[string]bool) {
	for todo := []string{id}; len(todo) > 0; {
		id, todo = todo[len(todo)-1], todo[:len(todo)-1]
		parents, known := h[id]
		if !known || seen[id] {
			continue
		}
		seen[id] = true
		todo = append(todo, parents...)
	}
}
