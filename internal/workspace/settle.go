package workspace

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"agentprocess/internal/sandbox"
)

// noteTree is the note of a journal entry that names the tree which the deed
// brings its paths to.
const noteTree = "tree"

// recent is how many entries settle looks at.
const recent = 8

// settle ends what a merge, an apply or a checkout that was killed left half
// done in this worktree: if HEAD had moved all was done; if not, what it wrote
// is taken back. A file that is neither as it was nor as it was to be is
// somebody's, and then nothing is done. The repository's lock is held, so nobody
// is at it.
func (r *Repository) settle(ctx context.Context) error {
	e, found, err := r.unsealed(ctx)
	if err != nil || !found {
		return err
	}
	done, err := r.arrived(ctx, e)
	if err != nil {
		return err
	}
	if done {
		if e.Op == opCheckout {
			return r.forget(ctx, e)
		}
		return r.seal(ctx, e)
	}
	foreign, err := r.foreign(ctx, e)
	if err != nil {
		return err
	}
	if len(foreign) > 0 {
		return sandbox.Fail(sandbox.CodeConflict, fmt.Errorf("%s was cut short, and these were changed since: %s", e.Title(), list(foreign)),
			fmt.Sprintf("put them aside and try again, or take all of it back: agent-process undo %d --force", e.ID))
	}
	u := &undo{r: r, entry: e}
	if err := u.plan(ctx); err != nil {
		return fmt.Errorf("take back %s: %w", e.Title(), err)
	}
	undone, err := u.run(ctx)
	if err != nil {
		return err
	}
	return r.forget(ctx, undone.Redo) // nobody wants the half of it back
}

// unsealed finds a deed of this worktree that was not ended.
func (r *Repository) unsealed(ctx context.Context) (Entry, bool, error) {
	refs, err := r.refs(ctx, "refs/agents/"+undoName)
	if err != nil || len(refs) == 0 {
		return Entry{}, false, err
	}
	names := slices.Sorted(maps.Keys(refs))
	slices.Reverse(names)
	names = names[:min(len(names), recent)]
	c := r.common("cat-file", "--batch")
	c.stdin = strings.NewReader(strings.Join(names, ":entry.json\n") + ":entry.json\n")
	out, err := r.git.run(ctx, c)
	if err != nil {
		return Entry{}, false, fmt.Errorf("read the journal: %w", err)
	}
	for _, ref := range names {
		data, rest, err := cutBlob(out)
		if err != nil {
			return Entry{}, false, fmt.Errorf("read the journal: %w", err)
		}
		out = rest
		e := Entry{Commit: refs[ref]}
		e.ID, err = strconv.Atoi(strings.TrimPrefix(ref, "refs/agents/"+undoName+"/"))
		if err != nil || json.Unmarshal(data, &e) != nil {
			continue // no entry of ours
		}
		if !e.Sealed && !e.Reverse && e.Worktree == r.Here && (e.Op == opMerge || e.Op == opApply || e.Op == opCheckout) {
			return e, true, nil
		}
	}
	return Entry{}, false, nil
}

// cutBlob takes the first answer off the output of `git cat-file --batch`; what
// is missing is empty.
func cutBlob(out []byte) (data, rest []byte, err error) {
	head, rest, _ := bytes.Cut(out, []byte("\n"))
	f := strings.Fields(string(head))
	if len(f) > 0 && f[len(f)-1] == "missing" {
		return nil, rest, nil
	}
	if len(f) != 3 || !isObjectID(f[0]) {
		return nil, nil, fmt.Errorf("object header %q is not understood", head)
	}
	size, err := strconv.Atoi(f[2])
	if err != nil || size < 0 || size >= len(rest) {
		return nil, nil, fmt.Errorf("object header %q does not fit %d bytes", head, len(rest))
	}
	return rest[:size], rest[size+1:], nil
}

// arrived reports whether HEAD is where the deed brings it.
func (r *Repository) arrived(ctx context.Context, e Entry) (bool, error) {
	if e.Op == opCheckout {
		ref, err := r.git.line(ctx, r.here("rev-parse", "--symbolic-full-name", "HEAD"))
		return ref == branchRef(e.Agent), err
	}
	if len(e.Refs) == 0 {
		return false, nil
	}
	now, err := r.refValues(ctx, []string{e.Refs[0].Ref})
	return now[e.Refs[0].Ref] == e.Refs[0].After, err
}

// foreign are the paths of a deed that are neither as before nor as it brings
// them.
func (r *Repository) foreign(ctx context.Context, e Entry) ([]string, error) {
	before, err := r.remembered(ctx, e, "before")
	if err != nil {
		return nil, err
	}
	now, err := r.look(ctx, e.Paths)
	if err != nil {
		return nil, err
	}
	var unlike []string
	for _, p := range e.Paths {
		isDir := now.tree[p].mode == dirMode && before.tree[p].mode == "" // which is no file
		if now.tree[p] != before.tree[p] && !isDir {
			unlike = append(unlike, p)
		}
	}
	if len(unlike) == 0 {
		return nil, nil
	}
	goal, err := r.checkedOut(ctx, e.Notes[noteTree], unlike)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(unlike, func(p string) bool {
		return now.tree[p] == goal[p]
	}), nil
}

// checkedOut says what a checkout of paths of a tree writes, line ends of the
// person's choice and all: git writes them for real, elsewhere.
func (r *Repository) checkedOut(ctx context.Context, tree string, paths []string) (map[string]pathState, error) {
	states := map[string]pathState{}
	out, err := r.git.run(ctx, r.common("ls-tree", "-r", "-z", "--full-tree", tree))
	if err != nil {
		return nil, err
	}
	for _, line := range splitPaths(out) {
		f, p, err := listedPath(line, 2) // mode, type, id
		if err != nil {
			return nil, err
		}
		if !slices.Contains(paths, p) {
			continue
		}
		state := pathState{mode: f[0], id: f[2]}
		if f[0] == fileMode || f[0] == execMode {
			data, err := r.git.run(ctx, r.inTree("cat-file", "--filters", "--path="+p, f[2]))
			if err != nil {
				return nil, err
			}
			state.id = r.blobID(data)
		}
		states[p] = state
	}
	return states, nil
}

// forget drops an entry of a deed that needs no undoing.
func (r *Repository) forget(ctx context.Context, e Entry) error {
	return r.updateRefs(ctx, "agent-process: "+e.Op+" is done", "delete "+e.ref()+"\n")
}
