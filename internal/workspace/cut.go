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

// refused takes out of in what may not come home: what the rewriter cut, and
// what is outside the scope. It gives what of that is held, nil when nothing.
func (w *Workspace) refused(ctx context.Context, in *incoming, rw *rewriter) (*refusal, error) {
	agents := *in // as the agent has them
	agents.more = maps.Clone(in.more)
	in.rename(rw.became)
	ref, err := w.bound(ctx, in)
	if err != nil {
		return nil, err
	}
	if ref == nil {
		ref = &refusal{more: map[string]string{}}
	}
	if err := w.holdCut(ctx, ref, in, agents, rw); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(agents.more)) {
		files := rw.heldOf(agents.more[name])
		if name == outsideName || len(files) == 0 {
			continue // that is at the end of the branch
		}
		// The ref may be refused, too: then that is what this is built on.
		on := firstOf(ref.more[name], in.more[name], in.tip)
		id, err := w.cutCommit(ctx, rw, cutCommit{from: agents.more[name], on: on, parent: on, files: files})
		if err != nil {
			return nil, err
		}
		ref.more[name] = id
		if ref.tip == "" {
			ref.cut = append(ref.cut, files...)
		}
	}
	if ref.tip == "" && len(ref.more) == 0 {
		return nil, nil
	}
	return ref, nil
}

// holdCut puts what was cut from the end of the branch into a commit of ours
// behind everything else.
func (w *Workspace) holdCut(ctx context.Context, ref *refusal, in *incoming, agents incoming, rw *rewriter) error {
	at := cutCommit{from: agents.tip, on: firstOf(ref.tip, in.tip)}
	at.parent = at.on
	if ref.snapshot { // it becomes part of ours
		at.from, at.parent = agents.more[outsideName], rw.became(agents.tip)
	}
	if at.files = rw.heldOf(at.from); len(at.files) == 0 {
		return nil
	}
	id, err := w.cutCommit(ctx, rw, at)
	if err != nil {
		return err
	}
	last := slices.IndexFunc(ref.commits, func(c HeldCommit) bool { return ref.snapshot && c.ID == ref.tip })
	switch {
	case last >= 0:
		ref.commits[last].ID = id
	case !ref.snapshot:
		if ref.count++; ref.count <= maxHeldCommits {
			ref.commits = append(ref.commits, HeldCommit{ID: id, Subject: cutSubject(at.files)})
		}
	}
	ref.from = firstOf(ref.from, at.on)
	ref.tip, ref.snapshot, ref.cut = id, true, at.files
	return nil
}

// heldOf lists what was cut of a commit's tree and is to be held, by path.
func (rw *rewriter) heldOf(id string) []HeldFile {
	c := rw.news[id]
	if c == nil {
		return nil
	}
	var list []HeldFile
	for _, p := range slices.Sorted(maps.Keys(c.cuts)) {
		if v := c.cuts[p].held; v.action == inspect.Hold {
			list = append(list, HeldFile{Path: p, Kind: v.kind, Reason: v.reason})
		}
	}
	return list
}

// cutSubject is the subject of the commit that has files.
func cutSubject(files []HeldFile) string {
	if len(files) == 1 {
		return "Held back by the inspection: one file"
	}
	return fmt.Sprintf("Held back by the inspection: %d files", len(files))
}

// cutCommit is a commit that holds what was cut.
type cutCommit struct {
	from   string // the agent's commit that has the files
	on     string // the commit whose tree they are put in
	parent string
	files  []HeldFile
}

// cutCommit makes one. Author and dates are those of the agent's commit, so
// that the same work gives the same commit.
func (w *Workspace) cutCommit(ctx context.Context, rw *rewriter, c cutCommit) (string, error) {
	fail := func(err error) (string, error) { return "", fmt.Errorf("hold what was cut of %s: %w", c.from, err) }
	var put []change
	for _, f := range c.files {
		x := rw.news[c.from].cuts[f.Path]
		put = append(put, change{path: f.Path, oldMode: x.own.mode, oldID: x.own.id, newMode: x.now.mode, newID: x.now.id})
	}
	tree, err := rw.tree(ctx, c.on, put)
	if err != nil {
		return fail(err)
	}
	raw, err := w.repo.git.run(ctx, w.quarantine("cat-file", "commit", c.from))
	if err != nil {
		return fail(err)
	}
	data, err := rewriteCommit(raw, tree, []string{c.parent})
	if err != nil {
		return fail(err)
	}
	head, _, _ := bytes.Cut(data, []byte("\n\n"))
	var message strings.Builder
	message.WriteString(cutSubject(c.files) + "\n\n")
	for _, f := range c.files[:min(len(c.files), maxStrays)] {
		fmt.Fprintf(&message, "%q: %s\n", f.Path, f.Reason)
	}
	write := w.quarantine("hash-object", "-t", "commit", "-w", "--stdin")
	write.stdin = strings.NewReader(string(head) + "\n\n" + message.String() + "\nAgent: " + w.rec.Name + "\n")
	id, err := w.repo.git.line(ctx, write)
	if err != nil {
		return fail(err)
	}
	return id, nil
}
