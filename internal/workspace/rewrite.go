package workspace

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"agentprocess/internal/inspect"
)

// rewriter takes out of an agent's commits what must not travel: changes to
// protected paths, and files that the inspection cuts. A commit that has none,
// and whose parents have none, keeps its id; of the others only tree and parents
// change, so that the same commits always become the same commits.
type rewriter struct {
	w         *Workspace
	examiner  *examiner
	protected map[string]bool // files, besides .claude
	news      map[string]*newCommit
	mapped    map[string]string // commit to what it became
	dropped   []string
}

// newCommit is a commit that the base does not have.
type newCommit struct {
	id      string
	parents []string
	changes []change // against the first parent
	touched bool     // some of them are cut
	// cuts are the paths that its tree does not have as the agent left them.
	cuts map[string]cut
}

// cut is a path that is not as the agent left it.
type cut struct {
	now  entry // what stands there instead: what the commit before has
	own  entry // what the agent put there
	held verdict
}

func newRewriter(w *Workspace) *rewriter {
	rw := &rewriter{w: w, examiner: newExaminer(w), protected: map[string]bool{}, news: map[string]*newCommit{}, mapped: map[string]string{}}
	for _, p := range w.rec.Included {
		rw.protected[p] = true
	}
	return rw
}

// isProtected reports whether changes to a path are dropped: agent
// configuration, at any depth and in any case, and what .worktreeinclude
// brought along.
func (rw *rewriter) isProtected(path string) bool {
	return rw.protected[path] || hasComponent(strings.ToLower(path), ".claude")
}

// run rewrites everything to tips that the run did not start with.
func (rw *rewriter) run(ctx context.Context, tips []string) error {
	order, err := rw.list(ctx, tips)
	if err != nil {
		return err
	}
	if err := rw.compare(ctx, order); err != nil {
		return err
	}
	for _, c := range order {
		if err := rw.commit(ctx, c); err != nil {
			return err
		}
	}
	slices.Sort(rw.dropped)
	rw.dropped = slices.Compact(rw.dropped)
	return nil
}

// became is what a commit is after rewriting.
func (rw *rewriter) became(id string) string {
	if to, ok := rw.mapped[id]; ok {
		return to
	}
	return id
}

// list lists the new commits, parents first.
func (rw *rewriter) list(ctx context.Context, tips []string) ([]*newCommit, error) {
	c := rw.w.quarantine("rev-list", "--topo-order", "--reverse", "--parents", fmt.Sprintf("--max-count=%d", maxImportCommits+1), "--stdin")
	c.stdin = strings.NewReader(strings.Join(tips, "\n") + "\n^" + rw.w.rec.Base.Commit + "\n^" + rw.w.rec.Start.Commit + "\n")
	out, err := rw.w.repo.git.run(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("list the agent's commits: %w", err)
	}
	order, err := parseCommits(out)
	if err != nil {
		return nil, err
	}
	if len(order) > maxImportCommits {
		return nil, fmt.Errorf("the agent made more than %d commits", maxImportCommits)
	}
	for _, c := range order {
		rw.news[c.id] = c
	}
	return order, nil
}

// parseCommits reads lines of a commit and its parents.
func parseCommits(out []byte) ([]*newCommit, error) {
	var list []*newCommit
	for line := range strings.Lines(string(out)) {
		ids := strings.Fields(line)
		if len(ids) == 0 || slices.ContainsFunc(ids, func(id string) bool { return !isObjectID(id) }) {
			return nil, fmt.Errorf("commit line %q is not understood", line)
		}
		list = append(list, &newCommit{id: ids[0], parents: ids[1:]})
	}
	return list, nil
}

// compare finds, in one run of git, what each commit changes, and examines it.
func (rw *rewriter) compare(ctx context.Context, order []*newCommit) error {
	if len(order) == 0 {
		return nil
	}
	var in strings.Builder
	for _, c := range order {
		in.WriteString(c.id)
		if len(c.parents) > 0 {
			in.WriteString(" " + c.parents[0]) // against this parent alone, for merges too
		}
		in.WriteByte('\n')
	}
	c := rw.w.quarantine(safeDiff("-r", "-z", "--root", "--raw", "--no-abbrev", "--no-renames", "--stdin")...)
	c.stdin = strings.NewReader(in.String())
	out, err := rw.w.repo.git.run(ctx, c)
	if err != nil {
		return fmt.Errorf("compare the agent's commits: %w", err)
	}
	entries, err := parseDiff(out)
	if err != nil {
		return err
	}
	var all []change
	for _, e := range entries {
		if c := rw.news[e.id]; c != nil {
			c.changes = e.changes
			all = append(all, e.changes...)
		}
	}
	return rw.examiner.examine(ctx, all)
}

// cutting decides which paths of a commit, whose parents have been, are not as
// the agent left them.
func (rw *rewriter) cutting(c *newCommit) {
	if len(c.parents) > 0 && rw.news[c.parents[0]] != nil {
		c.cuts = maps.Clone(rw.news[c.parents[0]].cuts)
	}
	if c.cuts == nil {
		c.cuts = map[string]cut{}
	}
	for _, ch := range c.changes {
		own, now := entry{ch.newMode, ch.newID}, entry{ch.oldMode, ch.oldID}
		if before, was := c.cuts[ch.path]; was {
			now = before.now
		}
		delete(c.cuts, ch.path)
		held, protected := rw.examiner.judge(ch), rw.isProtected(ch.path)
		if own == now || !protected && !held.cuts() {
			continue
		}
		if protected {
			held = verdict{}
		}
		c.touched = true
		c.cuts[ch.path] = cut{now: now, own: own, held: held}
		switch held.action {
		case inspect.Hold:
		case inspect.Refuse:
			rw.dropped = append(rw.dropped, ch.path+": "+held.reason)
		default:
			rw.dropped = append(rw.dropped, ch.path)
		}
	}
}

// commit rewrites one commit, whose parents have been.
func (rw *rewriter) commit(ctx context.Context, c *newCommit) error {
	rw.cutting(c)
	moved := slices.ContainsFunc(c.parents, func(p string) bool { return rw.became(p) != p })
	if !moved && len(c.cuts) == 0 {
		return nil
	}
	var undo []change
	for _, p := range slices.Sorted(maps.Keys(c.cuts)) {
		x := c.cuts[p]
		undo = append(undo, change{path: p, oldMode: x.now.mode, oldID: x.now.id, newMode: x.own.mode, newID: x.own.id})
	}
	return rw.replace(ctx, c, undo)
}

// replace makes the commit that stands for c.
func (rw *rewriter) replace(ctx context.Context, c *newCommit, undo []change) error {
	d, q := rw.w.repo.git, rw.w.quarantine
	tree, err := rw.tree(ctx, c.id, undo)
	if err != nil {
		return err
	}
	if len(c.parents) == 1 && c.touched {
		parentTree, err := d.line(ctx, q("rev-parse", "--verify", "-q", rw.became(c.parents[0])+"^{tree}"))
		if err != nil {
			return fmt.Errorf("rewrite %s: %w", c.id, err)
		}
		if parentTree == tree { // nothing is left of it
			rw.mapped[c.id] = rw.became(c.parents[0])
			return nil
		}
	}
	raw, err := d.run(ctx, q("cat-file", "commit", c.id))
	if err != nil {
		return fmt.Errorf("rewrite %s: %w", c.id, err)
	}
	parents := make([]string, len(c.parents))
	for i, p := range c.parents {
		parents[i] = rw.became(p)
	}
	data, err := rewriteCommit(raw, tree, parents)
	if err != nil {
		return fmt.Errorf("rewrite %s: %w", c.id, err)
	}
	write := q("hash-object", "-t", "commit", "-w", "--stdin")
	write.stdin = bytes.NewReader(data)
	id, err := d.line(ctx, write)
	if err != nil {
		return fmt.Errorf("rewrite %s: %w", c.id, err)
	}
	rw.mapped[c.id] = id
	return nil
}

// tree gives the tree of a commit with changes undone.
func (rw *rewriter) tree(ctx context.Context, id string, undo []change) (string, error) {
	d, q := rw.w.repo.git, rw.w.quarantine
	if len(undo) == 0 {
		return d.line(ctx, q("rev-parse", "--verify", "-q", id+"^{tree}"))
	}
	index := rw.w.path("index-rewrite")
	step := func(in string, args ...string) (string, error) {
		c := q(args...)
		c.index, c.stdin = index, strings.NewReader(in)
		return d.line(ctx, c)
	}
	if _, err := step("", "read-tree", id); err != nil {
		return "", fmt.Errorf("rewrite %s: %w", id, err)
	}
	if _, err := step(undoing(undo), "update-index", "-z", "--index-info"); err != nil {
		return "", fmt.Errorf("rewrite %s: %w", id, err)
	}
	return step("", "write-tree")
}

// noMode is the mode of a side of a change where there is nothing.
const noMode = "000000"

// rewriteCommit gives a commit object another tree and other parents. Its
// signature would be wrong, and goes; author, committer, dates, encoding and
// message stay byte for byte.
func rewriteCommit(raw []byte, tree string, parents []string) ([]byte, error) {
	head, message, found := bytes.Cut(raw, []byte("\n\n"))
	if !found {
		head, message = bytes.TrimSuffix(raw, []byte("\n")), nil
	}
	lines := bytes.Split(head, []byte("\n"))
	if len(lines) < 3 || !bytes.HasPrefix(lines[0], []byte("tree ")) {
		return nil, fmt.Errorf("commit object %q has no tree", truncate(raw, 80))
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "tree %s\n", tree)
	for _, p := range parents {
		fmt.Fprintf(&out, "parent %s\n", p)
	}
	dropping := true // what goes on with the tree line
	for _, l := range lines[1:] {
		name, _, _ := bytes.Cut(l, []byte(" "))
		if len(name) > 0 { // otherwise it goes on with the line before
			dropping = slices.Contains([]string{"parent", "gpgsig", "gpgsig-sha256", "mergetag"}, string(name))
		}
		if !dropping {
			out.Write(l)
			out.WriteByte('\n')
		}
	}
	out.WriteByte('\n')
	out.Write(message)
	return out.Bytes(), nil
}

func truncate(b []byte, n int) []byte { return b[:min(len(b), n)] }
