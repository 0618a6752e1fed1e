package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"agentprocess/internal/sandbox"
)

// Claim is an agent's name taken in a repository: its branch at the base.
type Claim struct {
	Name   string
	Branch string
	// Notices are things a person should know about the name.
	Notices []string
	// Existed is set when the branch was there before.
	Existed bool

	repo *Repository
	base Base
}

// Names that an agent may not have: refs/agents/removed/ holds what was
// removed, refs/agents/held/ the bases of what was refused, and the journal is
// in two more.
const (
	trashName = "removed"
	heldName  = "held"
)

// checkpointName is where, below an agent's own refs, its checkpoints are.
const checkpointName = "checkpoints"

// reserved reports whether a name is one of those.
func reserved(name string) bool {
	return slices.ContainsFunc([]string{trashName, heldName, undoName, undoneName}, func(n string) bool { return strings.EqualFold(name, n) })
}

// Claim creates the branch agent--<name> at base, and pins the base so that the
// repository's garbage collection keeps what the agent borrows. It refuses with
// CodeNameInUse, and then nothing was created.
func (r *Repository) Claim(ctx context.Context, name string, base Base) (*Claim, error) {
	if err := sandbox.ValidateName(name); err != nil {
		return nil, err
	}
	if reserved(name) {
		return nil, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("agent name %q is reserved", name), "choose another name")
	}
	c := &Claim{Name: name, Branch: Branch(name), repo: r, base: base}
	err := r.locked(ctx, func() error {
		if err := r.checkFree(ctx, c); err != nil {
			return err
		}
		script := "start\n" +
			"create " + branchRef(name) + " " + base.Commit + "\n" +
			"update " + pinPrefix(name) + "base " + base.Commit + "\n" +
			"prepare\ncommit\n"
		return r.updateRefs(ctx, "agent-process: start "+name, script)
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// updateRefs runs a transaction of update-ref; all of it happens or none.
func (r *Repository) updateRefs(ctx context.Context, why, script string) error {
	if err := r.git.retry(ctx, r.common("update-ref", "-m", why, "--stdin"), script); err != nil {
		return fmt.Errorf("update refs of %q: %w", r.CommonDir, err)
	}
	return nil
}

// checkFree refuses a name that anything of an agent already has.
func (r *Repository) checkFree(ctx context.Context, c *Claim) error {
	inUse := func(what, hint string) error {
		return sandbox.Fail(sandbox.CodeNameInUse, fmt.Errorf("agent %q: %s", c.Name, what), hint)
	}
	other := fmt.Sprintf("choose another name, or remove the old agent: agent-process rm %s", c.Name)
	refs, err := r.refs(ctx, branchRef(c.Name), "refs/remotes/*/"+c.Branch)
	if err != nil {
		return err
	}
	for ref := range refs {
		if branch, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
			if c.Existed {
				continue
			}
			return inUse(fmt.Sprintf("branch %q exists", branch), other)
		}
		c.Notices = append(c.Notices, fmt.Sprintf("%s exists already: pushing %s will collide with it", strings.TrimPrefix(ref, "refs/remotes/"), c.Branch))
	}
	path := r.WorktreePath(c.Name)
	registered, err := r.registered()
	if err != nil {
		return err
	}
	for _, g := range registered {
		if g.path == path {
			return inUse(fmt.Sprintf("worktree %q is registered", path), "git worktree prune, or: git worktree remove "+shellQuote(path))
		}
		if g.head == branchRef(c.Name) {
			return inUse(fmt.Sprintf("worktree %q is on branch %q", g.path, c.Branch), other)
		}
	}
	switch _, err := os.Lstat(path); {
	case err == nil:
		return inUse(fmt.Sprintf("%q exists", path), "choose another name, or move that directory away")
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look at %q: %w", path, err)
	}
	return nil
}

// refs lists refs by for-each-ref patterns: full name to object id.
func (r *Repository) refs(ctx context.Context, patterns ...string) (map[string]string, error) {
	out, err := r.git.run(ctx, r.common(append([]string{"for-each-ref", "--format=%(objectname) %(refname)"}, patterns...)...))
	if err != nil {
		return nil, fmt.Errorf("list refs of %q: %w", r.CommonDir, err)
	}
	return parseRefs(out)
}

// parseRefs reads lines of "id refname".
func parseRefs(out []byte) (map[string]string, error) {
	refs := map[string]string{}
	for line := range strings.Lines(string(out)) {
		id, ref, found := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !found || !isObjectID(id) || !strings.HasPrefix(ref, "refs/") {
			return nil, fmt.Errorf("ref line %q is not understood", line)
		}
		refs[ref] = id
	}
	return refs, nil
}

// WorktreePath is where the worktree of an agent stands.
func (r *Repository) WorktreePath(name string) string { return filepath.Join(r.WorktreesDir, name) }

// undoTime bounds what must still be done after its caller was called off.
const undoTime = 2 * time.Minute

// Release gives the name back when a start came to nothing: branch and pin go
// away, unless the branch moved on, which means that there is work on it. It
// does its work even when ctx is over.
func (c *Claim) Release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	r := c.repo
	return r.locked(ctx, func() error {
		refs, err := r.refs(ctx, branchRef(c.Name), strings.TrimSuffix(pinPrefix(c.Name), "/"))
		if err != nil {
			return err
		}
		if tip := refs[branchRef(c.Name)]; tip != "" && tip != c.base.Commit {
			return nil
		}
		var script strings.Builder
		script.WriteString("start\n")
		for _, ref := range []string{branchRef(c.Name), pinPrefix(c.Name) + "base"} {
			if refs[ref] == c.base.Commit {
				script.WriteString("delete " + ref + " " + c.base.Commit + "\n")
			}
		}
		script.WriteString("prepare\ncommit\n")
		return r.updateRefs(ctx, "agent-process: "+c.Name+" did not start", script.String())
	})
}
