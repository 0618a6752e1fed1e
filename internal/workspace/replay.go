package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"agentprocess/internal/sandbox"
)

// replay makes the agent's commits again on top of HEAD, in memory, and gives
// the last of them. Author, dates and message stay; a signature would be wrong,
// and goes; a commit that changes nothing any more is left out.
func (m *merge) replay(ctx context.Context) (last string, err error) {
	todo, err := m.ownCommits(ctx)
	if err != nil {
		return "", err
	}
	s, err := m.r.newScratch()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	if _, err = m.replayIn(ctx, s, todo); err != nil { // tried where it leaves nothing
		return "", err
	}
	return m.replayIn(ctx, nil, todo)
}

// ownCommits are those of the agent, oldest first.
func (m *merge) ownCommits(ctx context.Context) ([]*newCommit, error) {
	out, err := m.r.git.run(ctx, m.r.common("rev-list", "--topo-order", "--reverse", "--parents", m.tip, "^"+m.base, "^"+m.head, "--"))
	if err != nil {
		return nil, fmt.Errorf("list the agent's commits: %w", err)
	}
	list, err := parseCommits(out)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(list, func(c *newCommit) bool { return len(c.parents) != 1 }) {
		return nil, sandbox.Fail(sandbox.CodeConflict, fmt.Errorf("%s has merges in its history, which cannot be rebased", Branch(m.name)), "use --merge or --squash")
	}
	return list, nil
}

func (m *merge) replayIn(ctx context.Context, s *scratch, todo []*newCommit) (string, error) {
	last := m.head
	for _, c := range todo {
		if c.parents[0] == last { // it stands there already
			last = c.id
			continue
		}
		next, err := m.replayOne(ctx, s, c, last)
		if err != nil {
			return "", err
		}
		last = next
	}
	return last, nil
}

// replayOne makes one commit again on top of last.
func (m *merge) replayOne(ctx context.Context, s *scratch, c *newCommit, last string) (string, error) {
	r := m.r
	merged, err := r.mergeTrees(ctx, s, []mergePair{{ours: last, theirs: c.id, base: c.parents[0]}})
	if err != nil {
		return "", err
	}
	if len(merged[0].conflicts) > 0 {
		return "", m.conflict(merged[0].conflicts)
	}
	tree := merged[0].tree
	before, err := r.git.line(ctx, s.use(r.common("rev-parse", "--verify", "-q", last+"^{tree}")))
	if err != nil || before == tree {
		return last, err
	}
	raw, err := r.git.run(ctx, r.common("cat-file", "commit", c.id))
	if err != nil {
		return "", fmt.Errorf("read commit %s: %w", c.id, err)
	}
	data, err := rewriteCommit(raw, tree, []string{last})
	if err != nil {
		return "", fmt.Errorf("rebase commit %s: %w", c.id, err)
	}
	write := s.use(r.common("hash-object", "-t", "commit", "-w", "--stdin"))
	write.stdin = bytes.NewReader(data)
	id, err := r.git.line(ctx, write)
	if err != nil {
		return "", fmt.Errorf("rebase commit %s: %w", c.id, err)
	}
	m.unsigned = m.unsigned || r.signs()
	return id, nil
}
