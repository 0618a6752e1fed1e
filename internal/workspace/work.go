package workspace

import (
	"context"
	"fmt"
	"strings"

	"agentprocess/internal/sandbox"
)

// WorkCommit is a commit of an agent, as it describes it.
type WorkCommit struct {
	ID      string `json:"id"`
	Subject string `json:"subject"`
	Body    string `json:"-"`
}

// Work is what an agent's branch has.
type Work struct {
	Base, Tip string
	Stat      sandbox.DiffStat
	Commits   []WorkCommit // oldest first, at most maxWork
	Flagged   []Flag
}

// maxWork bounds the commits that Work describes.
const maxWork = 200

// Work looks at an agent's branch. Its text is the agent's.
func (r *Repository) Work(ctx context.Context, name string) (Work, error) {
	var w Work
	var err error
	if w.Base, w.Tip, err = r.Ends(ctx, name); err != nil {
		return w, err
	}
	if w.Stat, w.Flagged, err = r.git.inspect(ctx, r.common(), w.Base, w.Tip); err != nil {
		return w, err
	}
	out, err := r.git.run(ctx, r.common("log", "-z", "--reverse", "--no-color", "--no-decorate", "--no-notes", "--encoding=UTF-8",
		fmt.Sprintf("--max-count=%d", maxWork), "--format=%H%n%s%n%b", w.Tip, "^"+w.Base, "--"))
	if err != nil {
		return w, fmt.Errorf("describe the commits of %s: %w", Branch(name), err)
	}
	for _, entry := range splitPaths(out) {
		id, rest, _ := strings.Cut(entry, "\n")
		subject, body, _ := strings.Cut(rest, "\n")
		if !isObjectID(id) {
			return w, fmt.Errorf("log entry %q is not understood", entry)
		}
		w.Commits = append(w.Commits, WorkCommit{ID: id, Subject: subject, Body: strings.TrimSpace(body)})
	}
	return w, nil
}

// Ends are where an agent's work begins and ends: its base, or, when that was
// not kept, what its branch has in common with HEAD.
func (r *Repository) Ends(ctx context.Context, name string) (base, tip string, err error) {
	if err := sandbox.ValidateName(name); err != nil {
		return "", "", err
	}
	refs, err := r.refs(ctx, branchRef(name), pinPrefix(name)+"base")
	if err != nil {
		return "", "", err
	}
	base, tip = refs[pinPrefix(name)+"base"], refs[branchRef(name)]
	if tip == "" {
		return "", "", noBranch(name)
	}
	if base == "" {
		if base, err = r.git.line(ctx, r.here("merge-base", "HEAD", tip)); err != nil {
			return "", "", fmt.Errorf("%s has no history in common with HEAD: %w", Branch(name), err)
		}
	}
	return base, tip, nil
}

func noBranch(name string) error {
	return sandbox.Fail(sandbox.CodeNotFound, fmt.Errorf("agent %q has no branch %q", name, Branch(name)), "see which there are: agent-process list")
}
