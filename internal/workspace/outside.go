package workspace

import (
	"context"
	"fmt"
	"strings"
)

// outsideName is, below refs/agent-process/ inside and as refs/incoming/ has
// it, the snapshot of what the agent changed outside its scope and did not
// commit itself.
const outsideName = "agent-process/outside"

// parked is what a commit leaves out because it is outside the scope.
type parked struct {
	tree  string   // of everything, that included
	paths []string // the first of them
	count int
}

// maxParked bounds the list of changes that is read from inside.
const maxParked = 16 << 20

// park takes what is outside the scope out of the index, so that what we commit
// ourselves is not refused for it. It is not lost: snapshot keeps it. Nil means
// that there is nothing, or more than can be told apart, which the import then
// refuses as a whole.
func (w *Workspace) park(ctx context.Context, g *insideGit) (*parked, error) {
	if w.scope.Everything() {
		return nil, nil
	}
	out := &head{limit: maxParked}
	exit, stderr, err := g.pipe(ctx, "", out, "git", "diff-index", "--cached", "-r", "-z", "--raw", "--no-abbrev", "--no-renames",
		"--no-ext-diff", "--ignore-submodules=dirty", "HEAD", "--")
	switch {
	case err != nil:
		return nil, err
	case out.buf.Len() == maxParked:
		return nil, nil
	case exit != 0:
		return nil, g.ruined("diff-index", exit, stderr)
	}
	entries, err := parseDiff(out.buf.Bytes())
	if err != nil {
		return nil, g.ruined("diff-index", exit, err.Error())
	}
	var p parked
	var outside []change
	for _, e := range entries {
		for _, c := range e.changes {
			if w.scope.Allows(c.path) {
				continue
			}
			outside = append(outside, c)
			if p.count++; p.count <= maxStrays {
				p.paths = append(p.paths, c.path)
			}
		}
	}
	if p.count == 0 {
		return nil, nil
	}
	if p.tree, err = g.id(ctx, "", "write-tree"); err != nil {
		return nil, err
	}
	exit, stderr, err = g.run(ctx, undoing(outside), "update-index", "-z", "--index-info")
	if err == nil && exit != 0 {
		err = g.ruined("update-index", exit, stderr)
	}
	return &p, err
}

// undoing is the input of `git update-index --index-info` that takes changes back.
// First away, then back: a file may have taken the place of a directory.
func undoing(changes []change) string {
	var gone, back strings.Builder
	for _, c := range changes {
		if c.newMode != noMode {
			fmt.Fprintf(&gone, "0 %s\t%s\x00", strings.Repeat("0", len(c.newID)), c.path)
		}
		if c.oldMode != noMode {
			fmt.Fprintf(&back, "%s %s\t%s\x00", c.oldMode, c.oldID, c.path)
		}
	}
	return gone.String() + back.String()
}

// snapshot makes a commit of what was parked, on what is committed, that no
// branch has; with nothing parked, one of before goes away.
func (w *Workspace) snapshot(ctx context.Context, g *insideGit, p *parked) error {
	const ref = "refs/" + outsideName
	if w.scope.Everything() {
		return nil
	}
	args := []string{"update-ref", "--no-deref", "-d", ref}
	if p != nil {
		message := Message{Subject: "Changes outside the scope", Body: "Not committed on the branch, which is bound to: " + strings.Join(w.rec.Scope, " ")}
		id, err := g.id(ctx, message.text(w.rec.Name), "commit-tree", "--no-gpg-sign", p.tree, "-p", "HEAD", "-F", "-")
		if err != nil {
			return err
		}
		args = []string{"update-ref", "--no-deref", ref, id}
	}
	exit, stderr, err := g.run(ctx, "", args...)
	if err == nil && exit != 0 {
		err = g.ruined("update-ref", exit, stderr)
	}
	return err
}

// id runs git inside and gives the object id that it prints.
func (g *insideGit) id(ctx context.Context, stdin string, args ...string) (string, error) {
	out := &head{limit: 128}
	exit, stderr, err := g.pipe(ctx, stdin, out, append([]string{"git"}, args...)...)
	if err != nil {
		return "", err
	}
	if id := out.String(); exit == 0 && isObjectID(id) {
		return id, nil
	}
	return "", g.ruined(args[0], exit, stderr)
}
