package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"agentprocess/internal/execx"
	"agentprocess/internal/sandbox"
)

// The deeds that bring work home, as the journal calls them.
const (
	opMerge    = "merge"
	opApply    = "apply"
	opCheckout = "checkout"
)

// How says how a branch becomes part of the person's own.
type How string

// The ways there are.
const (
	HowMerge       How = "merge"  // a commit with two parents, always
	HowSquash      How = "squash" // one commit of all that the agent did
	HowRebase      How = "rebase" // the agent's commits again, on what there is
	HowFastForward How = "ff"     // no new commit, or refused
)

// MergeOptions say what Merge is to do.
type MergeOptions struct {
	Name string
	// Tip is the commit that the branch must be at; empty is any.
	Tip string
	How How
	// Message is of the commit that HowMerge and HowSquash make.
	Message Message
	// Without are changed paths that stay as they are: what a review rejected.
	Without []string
	// NoSign leaves the commit unsigned, whatever the person's git would do.
	NoSign bool
}

// Landed says what Merge or Apply did.
type Landed struct {
	Onto     string `json:"onto"`               // the branch that has it now
	Detached bool   `json:"detached,omitempty"` // it is none
	From     string `json:"from"`               // what HEAD was
	To       string `json:"to"`                 // and is
	// Nothing is set when all of it was there already.
	Nothing bool             `json:"nothing,omitempty"`
	Stat    sandbox.DiffStat `json:"stat"`
	Paths   []string         `json:"paths"`
	Flagged []Flag           `json:"flagged"`
	// Filtered are files that a filter driver of the person's is for, such as
	// LFS; none was run, so they are as they are committed.
	Filtered []string `json:"filtered,omitempty"`
	// Hooks are the person's own that git merge would have run.
	Hooks []string `json:"hooks_not_run,omitempty"`
	// Unsigned is set when commits were made that the person's git would have
	// signed.
	Unsigned bool `json:"unsigned,omitempty"`
	// Entry takes it back.
	Entry int `json:"undo,omitempty"`
}

// Merge brings an agent's work onto what is checked out here. It is merged in
// memory first; only when that is clean, and would overwrite nothing that is in
// no commit, are files and HEAD moved, the files first. No hook, filter or
// merge driver runs: which one would is for the agent to say, by attributes and
// by files that hooks are.
func (r *Repository) Merge(ctx context.Context, o MergeOptions) (out Landed, err error) {
	err = r.locked(ctx, func() error {
		a, err := r.approachAt(ctx, o.Name, o.Tip)
		if err != nil {
			return err
		}
		out = Landed{Onto: a.onto(), Detached: a.ref == "", From: a.head, To: a.head}
		if present, err := r.git.isAncestor(ctx, r.common(), a.tip, a.head); err != nil || present {
			out.Nothing = present
			return err
		}
		m := &merge{approach: a, o: o}
		tree, err := m.tree(ctx)
		if err != nil {
			return err
		}
		t, err := r.newTransition(ctx, a.head, tree)
		if err != nil {
			return err
		}
		if len(t.changes) == 0 && o.How != HowFastForward {
			out.Nothing = true
			return nil
		}
		if err := t.check(ctx); err != nil {
			return err
		}
		to, err := m.commit(ctx, tree)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("%s %s into %s", o.How, Branch(o.Name), a.onto())
		e, err := a.carry(ctx, a.deed(opMerge, text, to, t), t, to)
		if err != nil {
			return err
		}
		out.To, out.Entry, out.Paths, out.Unsigned = to, e.ID, t.paths(), m.unsigned
		out.Hooks = r.ownHooks("pre-merge-commit", "prepare-commit-msg", "commit-msg", "post-merge")
		if err := r.describe(ctx, &out, t); err != nil {
			return err
		}
		out.Stat.Commits, err = r.git.count(ctx, r.common(), a.base, a.tip)
		return err
	})
	if err != nil {
		return out, fmt.Errorf("merge %s: %w", Branch(o.Name), err)
	}
	return out, nil
}

// describe counts and flags what has come.
func (r *Repository) describe(ctx context.Context, out *Landed, t *transition) error {
	e, err := r.git.diff(ctx, r.common(), t.from, t.to)
	if err != nil {
		return err
	}
	links, err := r.git.escapingLinks(ctx, r.common(), e.changes)
	if err != nil {
		return err
	}
	out.Stat, out.Flagged = e.stat(), append(flags(e.changes), links...)
	out.Filtered, err = t.filtered(ctx)
	return err
}

// merge is one merge that is being made.
type merge struct {
	*approach
	o        MergeOptions
	unsigned bool
	replayed string // the last commit of a rebase
}

// tree makes the tree that will be checked out.
func (m *merge) tree(ctx context.Context) (string, error) {
	forward, err := m.r.git.isAncestor(ctx, m.r.common(), m.head, m.tip)
	if err != nil {
		return "", err
	}
	switch {
	case m.o.How == HowFastForward && !forward:
		return "", sandbox.Fail(sandbox.CodeConflict, fmt.Errorf("%s has commits that %s does not stand on", m.onto(), Branch(m.name)),
			"without --ff both are merged; --rebase puts the agent's commits on top")
	case !m.based && (m.o.How == HowMerge || m.o.How == HowFastForward):
		return "", m.foreignHistory(ctx)
	case len(m.o.Without) > 0 && m.o.How != HowMerge && m.o.How != HowSquash:
		return "", sandbox.Fail(sandbox.CodeUsage, errors.New("files were rejected in the review, and commits are taken whole"), "use --merge or --squash")
	case m.o.How == HowRebase:
		m.replayed, err = m.replay(ctx)
		return m.replayed + "^{tree}", err
	case forward && m.based:
		return m.without(ctx, m.tip+"^{tree}")
	}
	merged, err := m.r.mergeTree(ctx, m.pair(), m.o.Without)
	if err != nil {
		return "", err
	}
	if len(merged.conflicts) > 0 {
		return "", m.conflict(merged.conflicts)
	}
	return m.without(ctx, merged.tree)
}

// pair is what is merged in memory: by history where that says what the agent
// did, and else from the commit it started at.
func (a *approach) pair() mergePair {
	if a.based {
		return mergePair{ours: a.head, theirs: a.tip}
	}
	return mergePair{ours: a.head, theirs: a.tip, base: a.base}
}

// foreignHistory refuses a merge that would bring commits that are not the
// agent's: the branch was rebased since, or is another one.
func (m *merge) foreignHistory(ctx context.Context) error {
	n, err := m.r.git.count(ctx, m.r.common(), m.head, m.base)
	if err != nil {
		return err
	}
	return sandbox.Fail(sandbox.CodeConflict,
		fmt.Errorf("%s does not have the commit %s that the agent started from: a merge would also bring %d commits that are not the agent's", m.onto(), m.base[:12], n),
		"--squash or --rebase bring only what the agent did")
}

// conflict refuses, and says what is in conflict.
func (a *approach) conflict(paths []string) error {
	return sandbox.Fail(sandbox.CodeConflict, fmt.Errorf("%s and %s both changed: %s", a.onto(), Branch(a.name), list(paths)),
		"nothing was changed; let the agent resolve them: agent-process resolve "+a.name+"; or do it with git: git merge "+Branch(a.name)+" (git merge --abort takes that back)")
}

// remaining are the conflicts in files that are taken.
func remaining(conflicts, without []string) []string {
	return slices.DeleteFunc(slices.Clone(conflicts), func(p string) bool { return slices.Contains(without, p) })
}

// withoutPaths puts what was rejected back to what it is.
func (a *approach) withoutPaths(ctx context.Context, tree string, rejected []string) (string, error) {
	if len(rejected) == 0 {
		return a.r.git.line(ctx, a.r.common("rev-parse", "--verify", "-q", tree))
	}
	t, err := a.r.newTransition(ctx, a.head, tree)
	if err != nil {
		return "", err
	}
	undo := slices.DeleteFunc(slices.Clone(t.changes), func(c change) bool { return !slices.Contains(rejected, c.path) })
	s, err := a.r.newScratch() // for the index alone
	if err != nil {
		return "", err
	}
	step := func(in string, args ...string) (string, error) {
		c := a.r.common(args...)
		c.index, c.stdin, c.ours = filepath.Join(s.dir, "index"), strings.NewReader(in), a.r.git.cred == nil
		return a.r.git.line(ctx, c)
	}
	_, err = step("", "read-tree", tree)
	if err == nil {
		_, err = step(undoing(undo), "update-index", "-z", "--index-info")
	}
	var id string
	if err == nil {
		id, err = step("", "write-tree")
	}
	return id, errors.Join(err, s.remove())
}

func (m *merge) without(ctx context.Context, tree string) (string, error) {
	return m.withoutPaths(ctx, tree, m.o.Without)
}

// commit makes the commit that HEAD will be at.
func (m *merge) commit(ctx context.Context, tree string) (string, error) {
	switch m.o.How {
	case HowFastForward:
		return m.tip, nil
	case HowRebase:
		return m.replayed, nil
	case HowSquash:
		return m.write(ctx, tree, m.head)
	default:
		return m.write(ctx, tree, m.head, m.tip)
	}
}

// write writes a commit of the person's, signed by their own git when it would
// sign it: what signs is their program, on our text.
func (m *merge) write(ctx context.Context, tree string, parents ...string) (string, error) {
	r, id := m.r, m.r.git.identity
	args := []string{"commit-tree", "-F", "-", tree}
	for _, p := range parents {
		args = append(args, "-p", p)
	}
	stamp := fmt.Sprintf("@%d %s", r.cfg.Now().Unix(), id.Zone)
	who := []string{
		"GIT_AUTHOR_NAME=" + id.Name, "GIT_AUTHOR_EMAIL=" + id.Email, "GIT_AUTHOR_DATE=" + stamp,
		"GIT_COMMITTER_NAME=" + id.Name, "GIT_COMMITTER_EMAIL=" + id.Email, "GIT_COMMITTER_DATE=" + stamp,
	}
	message := strings.NewReader(m.o.Message.text(m.name))
	sign := r.signs() && !m.o.NoSign
	if sign && r.git.cred == nil {
		out, err := execx.Output(ctx, execx.Cmd{
			Argv: append([]string{"git", "--git-dir=" + r.GitDir}, slices.Insert(args, 1, "--gpg-sign")...),
			Dir:  firstOf(r.Here, r.GitDir), Env: append(userEnviron(r.cfg.Environ), who...), Stdin: message,
		})
		if err != nil {
			return "", sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("sign the commit: %w", err), "nothing was changed; --no-gpg-sign leaves it unsigned")
		}
		return strings.TrimSpace(string(out)), nil
	}
	m.unsigned = sign
	c := r.common(args...)
	c.env, c.stdin = who, message
	commit, err := r.git.line(ctx, c)
	if err != nil {
		return "", fmt.Errorf("write the commit: %w", err)
	}
	return commit, nil
}

// ownHooks are those of the person's hooks of these names that git would run.
func (r *Repository) ownHooks(names ...string) []string {
	dir := firstOf(r.settings.value("core.hookspath"), filepath.Join(r.CommonDir, "hooks"))
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(firstOf(r.Here, r.CommonDir), dir)
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		info, err := os.Stat(filepath.Join(dir, name))
		return err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0
	})
}
