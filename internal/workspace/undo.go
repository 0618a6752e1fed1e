package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"agentprocess/internal/sandbox"
)

// Undone says what Undo did.
type Undone struct {
	Entry Entry
	// Redo is the entry that undoes the undoing.
	Redo Entry
	// Refs and Paths are those that were brought back.
	Refs  []RefChange
	Paths []string
}

// Undo takes back a deed, the newest one when id is 0: refs and files become
// what they were, if they are what the deed left. Whatever somebody changed
// since is refused, and then nothing is done; force takes that back too. In
// either case what is there now is kept by a new entry, so that an undoing can
// be undone. before, if any, runs first, under the same lock.
func (r *Repository) Undo(ctx context.Context, id int, force bool, before func(Entry) error) (Undone, error) {
	var out Undone
	err := r.locked(ctx, func() error {
		e, err := r.findEntry(ctx, id)
		if err != nil {
			return err
		}
		if e.Worktree != "" && e.Worktree != r.Here {
			if r, err = Open(ctx, e.Worktree, r.cfg); err != nil {
				return fmt.Errorf("undo %s: its worktree: %w", e.Op, err)
			}
		}
		u := &undo{r: r, entry: e}
		if err := u.plan(ctx); err != nil {
			return fmt.Errorf("undo %s: %w", e.Op, err)
		}
		if len(u.clashes) > 0 && !force {
			return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("undo %s %d: changed since: %s", e.Op, e.ID, list(u.clashes)),
				"nothing was undone; with --force these go back too, and are kept by the journal")
		}
		if before != nil {
			if err := before(e); err != nil {
				return fmt.Errorf("undo %s: %w", e.Op, err)
			}
		}
		out, err = u.run(ctx)
		return err
	})
	return out, err
}

// list is a few of many names.
func list(names []string) string {
	const most = 10
	text := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// undo is one undoing.
type undo struct {
	r       *Repository
	entry   Entry
	refs    []RefChange // from what is to what was
	tree    map[string]pathState
	index   map[string]pathState
	clashes []string // what is neither as before nor as the deed left it
}

// plan compares what is with what was and what the deed left.
func (u *undo) plan(ctx context.Context) error {
	if err := u.planRefs(ctx); err != nil {
		return err
	}
	u.tree, u.index = map[string]pathState{}, map[string]pathState{}
	if len(u.entry.Paths) == 0 {
		return nil
	}
	before, err := u.r.remembered(ctx, u.entry, "before")
	if err != nil {
		return err
	}
	after, err := u.r.remembered(ctx, u.entry, "after")
	if err != nil {
		return err
	}
	now, err := u.r.look(ctx, u.entry.Paths)
	if err != nil {
		return err
	}
	for _, p := range u.entry.Paths {
		u.planPath(p, u.tree, [3]pathState{before.tree[p], after.tree[p], now.tree[p]})
		u.planPath(p, u.index, [3]pathState{before.index[p], after.index[p], now.index[p]})
	}
	if err := u.planDirs(now); err != nil {
		return err
	}
	slices.Sort(u.clashes)
	u.clashes = slices.Compact(u.clashes)
	return nil
}

// planDirs looks into directories whose place a file takes: what is in them must
// be going.
func (u *undo) planDirs(now *pathStates) error {
	root, err := os.OpenRoot(u.r.Here)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // only read
	for p, state := range u.tree {
		if now.tree[p].mode != dirMode || state.mode == "" {
			continue
		}
		err := fs.WalkDir(root.FS(), p, func(name string, d fs.DirEntry, err error) error {
			if going, planned := u.tree[name]; err == nil && !d.IsDir() && (!planned || going.mode != "") {
				u.clashes = append(u.clashes, name)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// planPath decides about one file, by what it was, what the deed left, and
// what it is.
func (u *undo) planPath(p string, into map[string]pathState, s [3]pathState) {
	before, after, now := s[0], s[1], s[2]
	switch {
	case now == before, now.mode == dirMode && before.mode == "":
		return
	case now.mode == dirMode && after.mode == "" && u.entry.Sealed: // see planDirs
	case !u.entry.Sealed || now != after:
		u.clashes = append(u.clashes, p)
	}
	into[p] = before
}

func (u *undo) planRefs(ctx context.Context) error {
	var names []string
	for _, c := range u.entry.Refs {
		names = append(names, c.Ref)
	}
	now, err := u.r.refValues(ctx, names)
	if err != nil {
		return err
	}
	for _, c := range u.entry.Refs {
		is := now[c.Ref]
		if is == c.Before {
			continue
		}
		if is != c.After {
			u.clashes = append(u.clashes, c.Ref)
		}
		u.refs = append(u.refs, RefChange{Ref: c.Ref, Before: is, After: c.Before})
		if err := u.notElsewhere(c.Ref); err != nil {
			return err
		}
	}
	return nil
}

// notElsewhere refuses to move a branch under a worktree whose files do not
// move with it.
func (u *undo) notElsewhere(ref string) error {
	list, err := u.r.registered()
	if err != nil {
		return err
	}
	if !u.r.Bare {
		list = append(list, registration{path: u.r.Top, head: headRef(u.r.CommonDir)})
	}
	for _, g := range list {
		if g.head != ref || g.path == u.entry.Worktree {
			continue
		}
		if _, err := os.Lstat(g.path); err == nil {
			return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("%s is checked out in %q", ref, g.path),
				"check out another branch there, then undo again")
		}
	}
	return nil
}

// run does what is planned: files, index, then refs; with the refs, in one
// step, the entry counts as undone.
func (u *undo) run(ctx context.Context) (Undone, error) {
	out := Undone{Entry: u.entry, Refs: u.refs}
	for p := range u.tree {
		out.Paths = append(out.Paths, p)
	}
	for p := range u.index {
		if _, both := u.tree[p]; !both {
			out.Paths = append(out.Paths, p)
		}
	}
	slices.Sort(out.Paths)
	d := Deed{
		Op: u.entry.Op, Agent: u.entry.Agent, Text: u.entry.Text, Refs: map[string]string{}, Paths: out.Paths, Notes: u.entry.Notes,
		reverse: !u.entry.Reverse,
	}
	for _, c := range u.refs {
		d.Refs[c.Ref] = c.After
	}
	var err error
	if out.Redo, err = u.r.journal(ctx, d); err != nil {
		return out, err
	}
	if err := u.writeTree(ctx); err != nil {
		return out, fmt.Errorf("undo %s: %w", u.entry.Op, err)
	}
	if err := u.writeIndex(ctx); err != nil {
		return out, fmt.Errorf("undo %s: %w", u.entry.Op, err)
	}
	if err := u.writeRefs(ctx); err != nil {
		return out, fmt.Errorf("undo %s: %w", u.entry.Op, err)
	}
	return out, u.r.seal(ctx, out.Redo)
}

// writeTree brings files back, each in one step: what goes first, so that a file
// may take the place of a directory.
func (u *undo) writeTree(ctx context.Context) error {
	if len(u.tree) == 0 {
		return nil
	}
	root, err := os.OpenRoot(u.r.Here)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // nothing is written through it
	paths := slices.Sorted(maps.Keys(u.tree))
	for _, p := range slices.Backward(paths) {
		if u.tree[p].mode != "" {
			continue
		}
		if err := root.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
			if root.Remove(dir) != nil { // it is not empty
				break
			}
		}
	}
	for _, p := range paths {
		if u.tree[p].mode == "" || u.tree[p].mode == gitlinkMode {
			continue
		}
		if err := u.writePath(ctx, root, p); err != nil {
			return fmt.Errorf("write %q: %w", p, err)
		}
	}
	return nil
}

// writePath writes one file beside its place and moves it there.
func (u *undo) writePath(ctx context.Context, root *os.Root, p string) error {
	state := u.tree[p]
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if info, err := root.Lstat(dir); err == nil && !info.IsDir() {
			return fmt.Errorf("%q is no directory", dir)
		}
	}
	data, err := u.r.git.run(ctx, u.r.common("cat-file", "blob", state.id))
	if err != nil {
		return err
	}
	if err := root.MkdirAll(path.Dir(p), 0o777); err != nil {
		return err
	}
	temp := path.Join(path.Dir(p), ".agent-process-undo")
	if err := root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch state.mode { // as git writes files: the user's umask decides
	case linkMode:
		err = root.Symlink(string(data), temp)
	case execMode:
		err = root.WriteFile(temp, data, 0o777)
	default:
		err = root.WriteFile(temp, data, 0o666)
	}
	if err != nil {
		return err
	}
	if c := u.r.git.cred; c != nil {
		if err := root.Lchown(temp, int(c.Uid), int(c.Gid)); err != nil {
			return err
		}
	}
	return root.Rename(temp, p)
}

// writeIndex brings the entries of the index back.
func (u *undo) writeIndex(ctx context.Context) error {
	if len(u.index) == 0 {
		return nil
	}
	var gone, back bytes.Buffer
	for _, p := range slices.Sorted(maps.Keys(u.index)) {
		if s := u.index[p]; s.mode != "" {
			fmt.Fprintf(&back, "%s %s\t%s\x00", s.mode, s.id, p)
		} else {
			fmt.Fprintf(&gone, "0 %s\t%s\x00", u.r.zero(), p)
		}
	}
	return u.r.git.retry(ctx, u.r.here("update-index", "-z", "--index-info"), gone.String()+back.String())
}

// writeRefs moves the refs, and the entry to what is undone.
func (u *undo) writeRefs(ctx context.Context) error {
	var script strings.Builder
	script.WriteString("start\n")
	for _, c := range u.refs {
		switch c.After {
		case "":
			script.WriteString("delete " + c.Ref + " " + c.Before + "\n")
		default:
			script.WriteString("update " + c.Ref + " " + c.After + " " + firstOf(c.Before, u.r.zero()) + "\n")
		}
	}
	done := fmt.Sprintf("refs/agents/%s/%06d", undoneName, u.entry.ID)
	script.WriteString("create " + done + " " + u.entry.Commit + "\ndelete " + u.entry.ref() + " " + u.entry.Commit + "\nprepare\ncommit\n")
	c := u.r.here("update-ref", "--no-deref", "-m", "agent-process: undo "+u.entry.Op, "--stdin")
	return u.r.git.retry(ctx, c, script.String())
}
