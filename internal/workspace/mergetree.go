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

// mergePair are two commits to be merged. Base, when it is set, is the commit
// whose tree they are compared with; else it is what their history says.
type mergePair struct{ ours, theirs, base string }

// mergeResult is what a merge in memory came to.
type mergeResult struct {
	tree      string   // with the marks of conflicts in it, if there are any
	conflicts []string // paths
}

// personal are the person's own settings that decide which bytes a checkout
// writes and how a merge sees renames. The door leaves out their configuration,
// and these run nothing.
func (r *Repository) personalConfig() map[string]string {
	config := map[string]string{}
	for _, key := range []string{
		"core.autocrlf", "core.eol", "core.bigfilethreshold", "merge.renames", "merge.renamelimit", "merge.directoryrenames", "diff.renames", "diff.renamelimit",
	} {
		if v := r.settings.value(key); v != "" {
			config[key] = v
		}
	}
	return config
}

// tree is a call in the worktree that Open was called in. Attributes are those
// of its files, which are the person's: a call never reads those of a commit.
func (r *Repository) inTree(args ...string) call {
	c := r.here(args...)
	c.workTree, c.dir, c.config = r.Here, r.Here, r.personalConfig()
	return c
}

// mergeCall is a call that merges in memory. A merge driver that somebody
// configured is a program, and which file gets it is said by attributes: it is
// replaced by one that fails, so that such a file is a conflict when both sides
// changed it.
func (r *Repository) mergeCall(args ...string) call {
	c := r.inTree(args...)
	for _, name := range r.settings.drivers("merge", "driver") {
		c.config["merge."+name+".driver"] = "false"
	}
	c.config["merge.default"] = "text"
	return c
}

// scratch is a store of objects that is thrown away: what is tried in it leaves
// nothing in the repository.
type scratch struct{ dir string }

// newScratch makes one over the objects of the repository.
func (r *Repository) newScratch() (*scratch, error) {
	parent := filepath.Join(r.cfg.StateDir, "scratch")
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, fmt.Errorf("make a place for merges in memory: %w", err)
	}
	dir, err := os.MkdirTemp(parent, "")
	if err != nil {
		return nil, fmt.Errorf("make a place for merges in memory: %w", err)
	}
	s := &scratch{dir: dir}
	info := filepath.Join(dir, "info")
	err = os.Mkdir(info, 0o700)
	if err == nil {
		lines := append(quoteAlternates([]string{filepath.Join(r.CommonDir, "objects")}), "")
		err = os.WriteFile(filepath.Join(info, "alternates"), []byte(strings.Join(lines, "\n")), 0o600)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a place for merges in memory: %w", err), s.remove())
	}
	return s, nil
}

func (s *scratch) remove() error { return RemoveTree(s.dir) }

// use makes c read and write objects here; git runs as ourselves then, because
// the place is ours.
func (s *scratch) use(c call) call {
	if s != nil {
		c.env, c.ours = append(c.env, "GIT_OBJECT_DIRECTORY="+s.dir), true
	}
	return c
}

// drivers are the names in keys "section.NAME.key" of the configuration.
func (s settings) drivers(section, key string) []string {
	var names []string
	for _, e := range s {
		rest, ok := strings.CutPrefix(e.key, section+".")
		if name, found := strings.CutSuffix(rest, "."+key); ok && found && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// mergeTrees merges pairs in memory, in one run of git. Trees and blobs that
// come of it go to s, or into the repository when s is nil.
func (r *Repository) mergeTrees(ctx context.Context, s *scratch, pairs []mergePair) ([]mergeResult, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	var in strings.Builder
	for i, p := range pairs {
		if p.base != "" {
			var err error
			if p, err = r.graft(ctx, s, p); err != nil {
				return nil, err
			}
			pairs = slices.Clone(pairs)
			pairs[i] = p
		}
		in.WriteString(p.ours + " " + p.theirs + "\n")
	}
	c := s.use(r.mergeCall("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", "--stdin"))
	c.stdin = strings.NewReader(in.String())
	out, err := r.git.run(ctx, c)
	if execx.ExitCode(err) == 129 { // usage: this git has no such merge-tree
		return nil, sandbox.Fail(sandbox.CodeRepository, errors.New("git is older than 2.39, which cannot merge without touching files"),
			"update git; or, if the work stands on what you have checked out, nothing has to be merged: --ff")
	}
	if err != nil {
		return nil, fmt.Errorf("merge in memory: %w", err)
	}
	results, err := parseMergeTrees(out, len(pairs))
	for i, m := range results {
		for j, p := range m.conflicts { // a file that gave way to a directory is told by its commit
			m.conflicts[j] = strings.TrimSuffix(strings.TrimSuffix(p, "~"+pairs[i].ours), "~"+pairs[i].theirs)
		}
	}
	return results, err
}

// parseMergeTrees reads, per merge: 1 for clean or 0, tree, paths with
// conflicts, and an empty field, each ended by NUL.
func parseMergeTrees(out []byte, want int) ([]mergeResult, error) {
	fields := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	results := make([]mergeResult, 0, want)
	for len(fields) >= 2 {
		status, m := fields[0], mergeResult{tree: fields[1]}
		fields = fields[2:]
		for len(fields) > 0 && fields[0] != "" {
			m.conflicts = append(m.conflicts, fields[0])
			fields = fields[1:]
		}
		if len(fields) > 0 { // the empty one
			fields = fields[1:]
		}
		clean := len(m.conflicts) == 0
		if !isObjectID(m.tree) || status != "0" && status != "1" || clean != (status == "1") {
			return nil, fmt.Errorf("merge result %q of tree %q is not understood", status, m.tree)
		}
		slices.Sort(m.conflicts)
		m.conflicts = slices.Compact(m.conflicts)
		results = append(results, m)
	}
	if len(results) != want {
		return nil, fmt.Errorf("git gave %d merges of %d", len(results), want)
	}
	return results, nil
}

// graft gives a pair a history of two commits on a base, for a git that takes
// the base of a merge from history alone (before 2.40).
func (r *Repository) graft(ctx context.Context, s *scratch, p mergePair) (mergePair, error) {
	base, err := r.bareCommit(ctx, s, p.base)
	if err != nil {
		return p, err
	}
	ours, err := r.bareCommit(ctx, s, p.ours, base)
	if err != nil {
		return p, err
	}
	theirs, err := r.bareCommit(ctx, s, p.theirs, base)
	return mergePair{ours: ours, theirs: theirs}, err
}

// bareCommit makes a commit that nobody will see, of another's tree.
func (r *Repository) bareCommit(ctx context.Context, s *scratch, of string, parents ...string) (string, error) {
	args := []string{"commit-tree", "--no-gpg-sign", "-m", "merged by agent-process", of + "^{tree}"}
	for _, p := range parents {
		args = append(args, "-p", p)
	}
	c := s.use(r.common(args...))
	c.env = append(c.env, "GIT_AUTHOR_NAME=agent-process", "GIT_AUTHOR_EMAIL=agent-process", "GIT_AUTHOR_DATE=@0 +0000", "GIT_COMMITTER_DATE=@0 +0000")
	id, err := r.git.line(ctx, c)
	if err != nil {
		return "", fmt.Errorf("merge in memory: %w", err)
	}
	return id, nil
}

// mergeTree is mergeTrees for one pair that must merge cleanly, but for paths
// that are not taken: it is tried where it leaves nothing behind, and only then
// done in the repository. The conflicts are those of the paths that are taken.
func (r *Repository) mergeTree(ctx context.Context, p mergePair, without []string) (m mergeResult, err error) {
	s, err := r.newScratch()
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	tried, err := r.mergeTrees(ctx, s, []mergePair{p})
	if err != nil {
		return m, err
	}
	if m = tried[0]; len(remaining(m.conflicts, without)) == 0 {
		var done []mergeResult
		done, err = r.mergeTrees(ctx, nil, []mergePair{p})
		m = first(done)
	}
	m.conflicts = remaining(m.conflicts, without)
	return m, err
}

func first(list []mergeResult) mergeResult {
	if len(list) == 0 {
		return mergeResult{}
	}
	return list[0]
}
