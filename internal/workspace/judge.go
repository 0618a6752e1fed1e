package workspace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// judge finds out which of an agent's commits stay in its scope.
//
// A commit is refused when it changes a path outside the scope, and so is all
// that has it in its history. A commit with one parent is compared with that.
// A merge must, outside the scope, be one of its parents whole, and the one
// that is furthest along in the base's history: so it may bring in what the
// base has, and cannot take anything of that back. For this every commit that
// is not refused has an anchor, the commit of the base's history whose files
// outside the scope it has.
type judge struct {
	w     *Workspace
	scope Scope

	order   []*judgedCommit // the new commits, parents first
	commits map[string]*judgedCommit
	history map[string]string    // commits of the base's history that are parents here, to their trees
	outside map[[2]string]strays // per pair of trees that differs outside the scope
	older   map[[2]string]bool   // what isAncestor said
	kept    int                  // how many paths are in outside
}

// judgedCommit is a commit that the base does not have.
type judgedCommit struct {
	id, tree string
	parents  []string
	anchor   string // noAnchor when its history has nothing of the base's
	strays   strays // what it changes outside the scope itself
	refused  bool   // it, or a commit before it
}

// strays are paths outside the scope: how many, and the first of them.
type strays struct {
	count int
	paths []string
}

// noAnchor is the anchor of a history of its own.
const noAnchor = ""

// The bounds of a judgement. Beyond them is outside the scope: nobody works
// like that by accident.
const (
	maxParents    = 64 // of one commit
	maxHistory    = 64 // commits of the base's history with new children
	maxStrays     = 20 // paths kept per commit
	maxStrayBytes = 400
	maxAllStrays  = 20_000
)

// newJudge compares all commits from the base to tips.
func (w *Workspace) newJudge(ctx context.Context, scope Scope, tips []string) (*judge, error) {
	j := &judge{
		w: w, scope: scope, commits: map[string]*judgedCommit{}, history: map[string]string{},
		outside: map[[2]string]strays{}, older: map[[2]string]bool{},
	}
	if err := j.list(ctx, tips); err != nil {
		return nil, err
	}
	if err := j.compare(ctx); err != nil {
		return nil, err
	}
	for _, c := range j.order {
		if err := j.commit(ctx, c); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// list lists the new commits, and finds the trees of the others that are
// their parents.
func (j *judge) list(ctx context.Context, tips []string) error {
	d, base := j.w.repo.git, j.w.ground()
	c := j.w.quarantine("rev-list", "--topo-order", "--reverse", "--no-commit-header", "--format=%H %T %P", "--stdin")
	c.stdin = strings.NewReader(strings.Join(tips, "\n") + "\n^" + base + "\n^" + j.w.rec.Start.Commit + "\n")
	out, err := d.run(ctx, c)
	if err != nil {
		return fmt.Errorf("list the agent's commits: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		ids := strings.Fields(line)
		if len(ids) < 2 || slices.ContainsFunc(ids, func(id string) bool { return !isObjectID(id) }) {
			return fmt.Errorf("commit line %q is not understood", line)
		}
		c := &judgedCommit{id: ids[0], tree: ids[1], parents: ids[2:]}
		j.order = append(j.order, c)
		j.commits[c.id] = c
	}
	return j.trees(ctx, base)
}

// trees finds the trees of the base and of the parents that are not new.
func (j *judge) trees(ctx context.Context, base string) error {
	olds := []string{base}
	for _, c := range j.order {
		for _, p := range c.parents {
			if j.commits[p] == nil && !slices.Contains(olds, p) && len(olds) < maxHistory {
				olds = append(olds, p)
			}
		}
	}
	c := j.w.quarantine("cat-file", "--batch-check=%(objectname)")
	c.stdin = strings.NewReader(strings.Join(olds, "^{tree}\n") + "^{tree}\n")
	out, err := j.w.repo.git.run(ctx, c)
	if err != nil {
		return fmt.Errorf("look at the base's history: %w", err)
	}
	trees := strings.Fields(string(out))
	if len(trees) != len(olds) || slices.ContainsFunc(trees, func(id string) bool { return !isObjectID(id) }) {
		return fmt.Errorf("trees of the base's history %q are not understood", truncate(out, 200))
	}
	for i, id := range olds {
		j.history[id] = trees[i]
	}
	return nil
}

// tree is the tree of a commit, empty beyond the bounds.
func (j *judge) tree(id string) string {
	if c := j.commits[id]; c != nil {
		return c.tree
	}
	return j.history[id]
}

// The empty tree, which git knows without having it.
const (
	emptyTreeSHA1   = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
	emptyTreeSHA256 = "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321"
)

func (r *Repository) emptyTree() string {
	if r.ObjectFormat == "sha256" {
		return emptyTreeSHA256
	}
	return emptyTreeSHA1
}

// compare compares, in one run of git, all the trees that the judgement needs,
// and keeps what differs outside the scope.
func (j *judge) compare(ctx context.Context) error {
	baseTree := j.history[j.w.ground()]
	var in strings.Builder
	seen := map[[2]string]bool{}
	pair := func(a, b string) {
		if p := [2]string{a, b}; a != b && a != "" && !seen[p] {
			seen[p] = true
			in.WriteString(a + " " + b + "\n")
		}
	}
	for _, tree := range j.history {
		pair(baseTree, tree)
	}
	for _, c := range j.order {
		if len(c.parents) == 0 {
			pair(j.w.repo.emptyTree(), c.tree)
		}
		if len(c.parents) <= maxParents {
			for _, p := range c.parents {
				pair(j.tree(p), c.tree)
			}
		}
	}
	if in.Len() == 0 {
		return nil
	}
	reader := &pairReader{stray: j.stray}
	c := j.w.quarantine(safeDiff("-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--stdin")...)
	c.stdin, c.stdout = strings.NewReader(in.String()), reader
	if err := errors.Join(j.w.repo.git.runInto(ctx, c), reader.end()); err != nil {
		return fmt.Errorf("compare the agent's commits: %w", err)
	}
	return nil
}

// stray notes a path that differs between two trees.
func (j *judge) stray(pair [2]string, path string) {
	if j.scope.Allows(path) {
		return
	}
	s := j.outside[pair]
	s.count++
	if len(s.paths) < maxStrays && j.kept < maxAllStrays {
		s.paths = append(s.paths, strings.Clone(path[:min(len(path), maxStrayBytes)]))
		j.kept++
	}
	j.outside[pair] = s
}

// commit judges one commit, whose parents have been.
func (j *judge) commit(ctx context.Context, c *judgedCommit) error {
	for _, p := range c.parents {
		if q := j.commits[p]; q != nil && q.refused {
			c.refused = true
		}
	}
	switch len(c.parents) {
	case 0:
		c.anchor, c.strays = noAnchor, j.outside[[2]string{j.w.repo.emptyTree(), c.tree}]
	case 1:
		c.anchor, c.strays = j.anchor(c.parents[0]), j.between(c.parents[0], c)
	default:
		if err := j.merge(ctx, c); err != nil {
			return err
		}
	}
	c.refused = c.refused || c.strays.count > 0
	return nil
}

// between is what c has outside the scope that its parent has not.
func (j *judge) between(parent string, c *judgedCommit) strays {
	tree := j.tree(parent)
	if tree == "" || len(c.parents) > maxParents {
		return strays{count: 1}
	}
	return j.outside[[2]string{tree, c.tree}]
}

// anchor is the anchor of a commit that was judged, or of one of the base's
// history: itself, or the base when it is like that outside the scope.
func (j *judge) anchor(id string) string {
	if c := j.commits[id]; c != nil {
		return c.anchor
	}
	base := j.w.ground()
	if j.outside[[2]string{j.history[base], j.history[id]}].count == 0 && j.history[id] != "" {
		return base
	}
	return id
}

// merge judges a commit of several parents.
func (j *judge) merge(ctx context.Context, c *judgedCommit) error {
	least := strays{count: 1}
	for _, p := range c.parents {
		if s := j.between(p, c); s.count > 0 {
			if len(least.paths) == 0 || s.count < least.count {
				least = s
			}
			continue
		}
		leads, err := j.leads(ctx, p, c.parents)
		if err != nil {
			return err
		}
		if leads {
			c.anchor = j.anchor(p)
			return nil
		}
	}
	c.strays = least
	return nil
}

// leads reports whether parent's anchor has those of all others in its history.
func (j *judge) leads(ctx context.Context, parent string, parents []string) (bool, error) {
	to := j.anchor(parent)
	for _, p := range parents {
		from := j.anchor(p)
		if from == to || from == noAnchor {
			continue
		}
		if to == noAnchor || j.tree(p) == "" {
			return false, nil
		}
		before, known := j.older[[2]string{from, to}]
		if !known {
			var err error
			if before, err = j.w.isAncestor(ctx, from, to); err != nil {
				return false, fmt.Errorf("compare the agent's commits: %w", err)
			}
			j.older[[2]string{from, to}] = before
		}
		if !before {
			return false, nil
		}
	}
	return true, nil
}

// refused reports whether what ends in id is.
func (j *judge) refused(id string) bool {
	c := j.commits[id]
	return c != nil && c.refused
}

// fits reports whether the branch may end in id: outside the scope it must be
// as the base is.
func (j *judge) fits(id string) bool {
	return !j.refused(id) && j.anchor(id) == j.w.ground()
}

// last is the last commit, from tip back by first parents, that the branch may
// end in; empty when no new one is.
func (j *judge) last(tip string) string {
	for c := j.commits[tip]; c != nil; c = j.commits[c.parents[0]] {
		if j.fits(c.id) {
			return c.id
		}
		if len(c.parents) == 0 {
			return ""
		}
	}
	return ""
}
