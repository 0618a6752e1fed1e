package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"agentprocess/internal/sandbox"
)

// Dirtied says what IncludeDirty made.
type Dirtied struct {
	// Base is where the agent starts: a commit of the changes, or the base as it
	// was when there are none.
	Base Base
	// Files is how many files the commit changes.
	Files int
	// Left are changed files that are not in it, because only a program that the
	// person configured could store them as they must be stored (Git LFS).
	Left []string
}

// IncludeDirty makes a commit, on base, of everything in the person's worktree
// that is in no commit and not ignored. Their index, worktree and refs stay as
// they are, byte for byte: only objects are written.
func (r *Repository) IncludeDirty(ctx context.Context, base Base) (d Dirtied, err error) {
	if r.Here == "" {
		return d, sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("%q has no worktree whose changes could be included", r.Top), "run this in the worktree, or leave out --include-dirty")
	}
	head, err := r.git.line(ctx, r.here("rev-parse", "--verify", "-q", "HEAD^{commit}"))
	if err != nil {
		return d, fmt.Errorf("include uncommitted changes: %w", err)
	}
	if head != base.Commit {
		return d, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("the changes of %q are not on %s", r.Here, base.Ref), "start from what is checked out: leave out --base")
	}
	dir, err := r.scratch()
	if err != nil {
		return d, fmt.Errorf("include uncommitted changes: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &dirtySnapshot{r: r, index: filepath.Join(dir, "index")}
	if d, err = s.take(ctx, base); err != nil {
		return d, fmt.Errorf("include uncommitted changes of %q: %w", r.Here, err)
	}
	return d, nil
}

// scratch is a directory for git, which may run as the repository's owner.
func (r *Repository) scratch() (string, error) {
	dir, err := os.MkdirTemp("", "agent-process-")
	if err != nil || r.git.cred == nil {
		return dir, err
	}
	return dir, os.Chown(dir, int(r.git.cred.Uid), int(r.git.cred.Gid))
}

// dirtySnapshot works in a copy of the person's index.
type dirtySnapshot struct {
	r     *Repository
	index string
}

// call is a run of git over the person's worktree and the copied index.
func (s *dirtySnapshot) call(args ...string) call {
	c := s.r.here(args...)
	c.workTree, c.dir, c.index = s.r.Here, s.r.Here, s.index
	c.config = map[string]string{"core.splitIndex": "false"}
	// What decides how a file is stored, wherever the person set it.
	for _, key := range []string{"core.autocrlf", "core.eol", "core.safecrlf"} {
		if v := s.r.settings.value(key); v != "" {
			c.config[key] = v
		}
	}
	if f := s.r.excludesFile(); f != "" {
		c.config["core.excludesFile"] = f
	}
	c.env = []string{"GIT_LITERAL_PATHSPECS=1"}
	return c
}

// take makes the commit.
func (s *dirtySnapshot) take(ctx context.Context, base Base) (Dirtied, error) {
	d := Dirtied{Base: base}
	if err := s.copyIndex(ctx); err != nil {
		return d, err
	}
	add, left, err := s.changed(ctx)
	if err != nil {
		return d, err
	}
	d.Left = left
	if len(add) > 0 {
		c := s.call("add", "-A", "--pathspec-from-file=-", "--pathspec-file-nul")
		c.stdin = strings.NewReader(strings.Join(add, "\x00") + "\x00")
		if _, err := s.r.git.run(ctx, c); err != nil {
			return d, err
		}
	}
	tree, err := s.r.git.line(ctx, s.call("write-tree"))
	if err != nil || tree == base.Tree {
		return d, err
	}
	return s.commit(ctx, d, tree)
}

// copyIndex copies the index; one that is not there is made from the commit.
func (s *dirtySnapshot) copyIndex(ctx context.Context) error {
	data, err := os.ReadFile(filepath.Join(s.r.GitDir, "index"))
	if errors.Is(err, fs.ErrNotExist) {
		_, err = s.r.git.run(ctx, s.call("read-tree", "HEAD"))
		return err
	}
	if err == nil {
		err = os.WriteFile(s.index, data, 0o600)
	}
	if err == nil && s.r.git.cred != nil {
		err = os.Chown(s.index, int(s.r.git.cred.Uid), int(s.r.git.cred.Gid))
	}
	if err != nil {
		return err
	}
	out, err := s.r.git.run(ctx, s.call("ls-files", "-z", "--unmerged"))
	if err == nil && len(out) > 0 {
		err = sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("a merge is not finished in %q", s.r.Here), "resolve the conflicts first; git status names the files")
	}
	return err
}

// changed lists the files to add, and those that only a filter could.
func (s *dirtySnapshot) changed(ctx context.Context) (add, left []string, err error) {
	out, err := s.r.git.run(ctx, s.call("ls-files", "-z", "--modified", "--deleted", "--others", "--exclude-standard", "--deduplicate"))
	if err != nil || len(out) == 0 {
		return nil, nil, err
	}
	c := s.call("check-attr", "-z", "--stdin", "filter")
	c.stdin = bytes.NewReader(out)
	attrs, err := s.r.git.run(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	f := splitPaths(attrs) // path, attribute, value
	for i := 0; i+2 < len(f); i += 3 {
		switch {
		case strings.HasSuffix(f[i], "/"): // a repository of its own, which is not looked into
			left = append(left, f[i])
		case f[i+2] == "unspecified" || f[i+2] == "unset" || f[i+2] == "":
			add = append(add, f[i])
		default:
			left = append(left, f[i])
		}
	}
	return add, left, nil
}

// commit makes the commit of a tree.
func (s *dirtySnapshot) commit(ctx context.Context, d Dirtied, tree string) (Dirtied, error) {
	id, now := s.r.Identity(), s.r.cfg.Now()
	c := s.call("commit-tree", "--no-gpg-sign", tree, "-p", d.Base.Commit, "-F", "-")
	date := fmt.Sprintf("%d %s", now.Unix(), id.Zone)
	c.env = append(c.env, "GIT_AUTHOR_NAME="+id.Name, "GIT_AUTHOR_EMAIL="+id.Email, "GIT_AUTHOR_DATE="+date, "GIT_COMMITTER_DATE="+date)
	c.stdin = strings.NewReader(dirtySubject + "\n\nThey were in the worktree when the agent started, and in no commit.\n")
	commit, err := s.r.git.line(ctx, c)
	if err != nil {
		return d, err
	}
	e, err := s.r.git.diff(ctx, s.r.common(), d.Base.Commit, commit)
	if err != nil {
		return d, err
	}
	d.Files = len(e.counts)
	d.Base.Commit, d.Base.Tree, d.Base.Subject, d.Base.Date = commit, tree, dirtySubject, now
	return d, nil
}

// dirtySubject is the subject of the commit that has a person's changes.
const dirtySubject = "Uncommitted changes"
