package workspace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// hold keeps what was refused where it survives the run, and nil when that is
// nothing; the repository's lock is held. Killed at any point, the next import
// does it again.
func (w *Workspace) hold(ctx context.Context, ref *refusal) (*Held, error) {
	old, known, err := w.Held()
	if err != nil || !known && ref == nil {
		return nil, err
	}
	if ref == nil {
		return nil, w.takenBack(ctx, old)
	}
	h := Held{
		Name: w.rec.Name, Run: w.run(), Scope: w.rec.Scope, Base: w.rec.Base.Commit, From: ref.from, Tip: ref.tip,
		Uncommitted: ref.snapshot, Cut: ref.cut, Commits: ref.commits, Count: ref.count, More: old.More, Before: old.Before, Time: old.Time,
	}
	if !known {
		h.Time = w.repo.cfg.Now().UTC()
	}
	h.addMore(ref.more)
	if h, err = w.heldStore(ctx, h); err != nil {
		return nil, err
	}
	if err := w.store(ctx, &h, old); err != nil {
		return nil, err
	}
	return &h, w.repo.saveHeld(h)
}

// addMore adds further refs. They are numbered: one may be called as another
// one's directory was.
func (h *Held) addMore(more map[string]string) {
	h.More = slices.Clone(h.More)
	names := make([]string, 0, len(more))
	for name := range more {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		i := slices.IndexFunc(h.More, func(r HeldRef) bool { return r.Name == name })
		if i < 0 {
			i = len(h.More)
			h.More = append(h.More, HeldRef{Name: name, Ref: fmt.Sprintf("%s%d", heldMore, i+1)})
		}
		h.More[i].Tip = more[name]
	}
}

// heldStore makes the repository for h, unless there is one, and pins what it
// borrows.
func (w *Workspace) heldStore(ctx context.Context, h Held) (Held, error) {
	r, dir := w.repo, w.repo.heldDir()
	if err := errors.Join(validRun(h.Run), r.sweepHeld()); err != nil {
		return h, err
	}
	if err := r.updateRefs(ctx, "agent-process: hold work of "+h.Name, "update "+heldPin(h.Name, h.Run)+" "+h.Base+"\n"); err != nil {
		return h, err
	}
	h = h.located(filepath.Join(dir, h.Run))
	if _, err := os.Lstat(h.GitDir); !errors.Is(err, fs.ErrNotExist) {
		return h, err
	}
	shallow, err := r.shallow()
	if err != nil {
		return h, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return h, err
	}
	temp := filepath.Join(dir, heldMaking+h.Run)
	err = writeGitDir(temp, gitDirSpec{
		format: r.ObjectFormat, bare: true, head: "refs/heads/none",
		refs: map[string]string{"refs/base/commit": h.Base}, alternates: w.rec.Objects, shallow: shallow,
	})
	if err != nil {
		return h, err
	}
	return h, os.Rename(temp, h.GitDir)
}

// sweepHeld removes what a crash left on its way; the repository's lock is held.
func (r *Repository) sweepHeld() error {
	entries, err := os.ReadDir(r.heldDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), heldMaking) || strings.HasPrefix(e.Name(), heldRemoved) {
			errs = append(errs, RemoveTree(filepath.Join(r.heldDir(), e.Name())))
		}
	}
	return errors.Join(errs...)
}

// store brings the refs of h from the quarantine to where they are held. What
// was there before, and is not in the history of what comes, stays.
func (w *Workspace) store(ctx context.Context, h *Held, old Held) error {
	script, refspecs := "", []string{}
	add := func(from, to, id string) {
		script += "update " + from + " " + id + "\n"
		refspecs = append(refspecs, "+"+from+":"+to)
	}
	if h.Tip != "" && h.Tip != old.Tip {
		add(heldTip, heldNew, h.Tip)
	}
	for _, m := range h.More {
		if !slices.Contains(old.More, m) {
			add(m.Ref, m.Ref, m.Tip)
		}
	}
	if len(refspecs) > 0 {
		c := w.quarantine("update-ref", "--stdin")
		c.stdin = strings.NewReader(script)
		if _, err := w.repo.git.run(ctx, c); err != nil {
			return err
		}
		if err := w.repo.carry(ctx, w.path(quarantineName), h.call(), refspecs...); err != nil {
			return err
		}
	}
	return w.moveHeld(ctx, h, old)
}

// moveHeld moves the tip of what is held from that of old to that of h.
func (w *Workspace) moveHeld(ctx context.Context, h *Held, old Held) error {
	if h.Tip == old.Tip {
		return nil
	}
	lost, err := w.loses(ctx, h, old)
	if err != nil {
		return err
	}
	script := ""
	if lost {
		before := HeldRef{Name: Branch(h.Name), Ref: fmt.Sprintf("%s%d", heldBefore, len(h.Before)+1), Tip: old.Tip}
		h.Before = append(slices.Clone(h.Before), before)
		script = "update " + before.Ref + " " + before.Tip + "\n"
	}
	switch {
	case h.Tip != "":
		script += "update " + heldTip + " " + h.Tip + "\ndelete " + heldNew + "\n"
	default:
		script += "delete " + heldTip + "\n"
	}
	c := h.call("update-ref", "--stdin")
	c.stdin = strings.NewReader("start\n" + script + "prepare\ncommit\n")
	_, err = w.repo.git.run(ctx, c)
	return err
}

// loses reports whether commits of old's tip are not in h's. A snapshot of what
// is uncommitted is no commit of the agent's, only what it is on.
func (w *Workspace) loses(ctx context.Context, h *Held, old Held) (bool, error) {
	if old.Tip == "" {
		return false, nil
	}
	tip := old.Tip
	if old.Uncommitted {
		parent, err := w.repo.git.line(ctx, h.call("rev-parse", "--verify", "-q", old.Tip+"^"))
		if err != nil {
			return false, err
		}
		if parent == old.From {
			return false, nil
		}
		tip = parent
	}
	if h.Tip == "" {
		return true, nil
	}
	kept, err := w.repo.git.isAncestor(ctx, h.call(), tip, h.Tip)
	return !kept, err
}

// takenBack notes that the agent's branch is free of what was refused.
func (w *Workspace) takenBack(ctx context.Context, old Held) error {
	h := old
	h.From, h.Tip, h.Look, h.Uncommitted, h.Commits, h.Count, h.Cut = h.Base, "", "", false, nil, 0, nil
	if err := w.moveHeld(ctx, &h, old); err != nil {
		return err
	}
	if len(h.Before) == 0 && len(h.More) == 0 {
		return w.repo.removeHeld(ctx, h)
	}
	return w.repo.saveHeld(h)
}

// saveHeld writes the record of h in one step.
func (r *Repository) saveHeld(h Held) error {
	data, err := json.MarshalIndent(h, "", "\t")
	if err != nil {
		return err
	}
	temp := filepath.Join(h.GitDir, heldFile+".new")
	if err := os.WriteFile(temp, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(h.GitDir, heldFile))
}

// removeHeld removes what is held, and then the pin; the repository's lock is
// held.
func (r *Repository) removeHeld(ctx context.Context, h Held) error {
	away := filepath.Join(filepath.Dir(h.GitDir), heldRemoved+h.Run)
	if err := errors.Join(RemoveTree(away), os.Rename(h.GitDir, away), RemoveTree(away)); err != nil {
		return err
	}
	return r.updateRefs(ctx, "agent-process: nothing of "+h.Name+" is held", "delete "+heldPin(h.Name, h.Run)+"\n")
}
