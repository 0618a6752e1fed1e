package service

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"agentprocess/internal/sandbox"
)

// The words of --history; a number is one as well.
const (
	HistoryAll  = "all"
	HistoryBase = "base"
)

// history reads what of the repository's history an agent may read.
func history(word string) (strict bool, depth int, err error) {
	switch word {
	case "", HistoryAll:
		return false, 0, nil
	case HistoryBase:
		return true, 0, nil
	}
	if n, err := strconv.Atoi(word); err == nil && n > 0 && n < 1<<30 {
		return true, n, nil
	}
	return false, 0, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("history %q is not understood", word),
		"say all (every object of the repository), base (what the base commit reaches), or a number of commits")
}

// includeDirty has the agent start from what is in the worktree.
func (s *Service) includeDirty(ctx context.Context, c *checked) error {
	d, err := c.repo.IncludeDirty(ctx, c.base)
	if err != nil {
		return err
	}
	c.base = d.Base
	switch {
	case d.Files > 0:
		c.notices = append(c.notices, fmt.Sprintf("your uncommitted changes come along, %d files in a commit of their own; your worktree and index are as they were", d.Files))
	default:
		c.notices = append(c.notices, "there are no uncommitted changes to include")
	}
	if len(d.Left) > 0 {
		c.notices = append(c.notices, "not included, since only a filter of yours can store them, or they are repositories: "+strings.Join(d.Left, ", "))
	}
	return nil
}
