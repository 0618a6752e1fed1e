package service

import (
	"context"
	"strings"

	"agentprocess/internal/workspace"
)

// fillLimit is the largest tree, in files, whose worktree is filled unasked: a
// larger one takes seconds of disk and as much space as the tree itself, for
// each agent.
const fillLimit = 5000

// worktree keeps ../worktrees/<name> during a run: made and filled in the
// background, because the agent does not wait for it. A nil worktree is none.
type worktree struct {
	ws     *workspace.Workspace
	warn   func(format string, args ...any)
	cancel context.CancelFunc
	small  bool
	added  chan struct{} // closed when making it has ended
	err    error         // of making it; read after added
}

// startWorktree starts to make the worktree.
func (x *session) startWorktree(ctx context.Context) *worktree {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t := &worktree{ws: x.ws, warn: x.warn, cancel: cancel, small: x.ws.Entries() <= fillLimit, added: make(chan struct{})}
	go func() {
		defer close(t.added)
		if t.err = t.ws.RegisterWorktree(ctx); t.err == nil && t.small {
			t.err = t.ws.FillWorktree(ctx)
		}
	}()
	if !t.small {
		x.note("%s has no files yet, because there are %d: `git -C %s reset --hard` fills it", t.ws.WorktreePath(), x.ws.Entries(), t.ws.WorktreePath())
	}
	return t
}

// update brings the files to what was just imported.
func (t *worktree) update(ctx context.Context) {
	if t == nil || !t.small {
		return
	}
	<-t.added
	if t.err != nil {
		return // finish tells
	}
	up, err := t.ws.UpdateWorktree(ctx)
	switch {
	case err != nil:
		t.warn("%v", err)
	case up.Kept != "":
		t.warn("worktree %s was left as it is: %s", t.ws.WorktreePath(), up.Kept)
	}
}

// stop ends what is still being made.
func (t *worktree) stop() {
	if t == nil {
		return
	}
	t.cancel()
	<-t.added
}

// remove removes the worktree, unless a person has changed something in it.
func (t *worktree) remove(ctx context.Context) error {
	if t == nil {
		return nil
	}
	t.stop()
	gone, err := t.ws.RemoveWorktree(ctx)
	if err == nil && gone.Kept != "" {
		t.warn("%s", keptText(t.ws.WorktreePath(), gone))
	}
	return err
}

// finish removes the worktree at the end of a run, or fills it when it is to
// be kept.
func (t *worktree) finish(ctx context.Context, keep bool) error {
	if t == nil || !keep {
		return t.remove(ctx)
	}
	<-t.added
	switch {
	case t.err != nil:
	case t.small:
		t.update(ctx)
	default:
		t.err = t.ws.FillWorktree(ctx)
	}
	return t.err
}

// keptText says why a worktree stays and what in it is a person's.
func keptText(path string, r workspace.WorktreeRemoval) string {
	text := path + ": " + r.Kept
	if len(r.Paths) > 0 {
		text += ": " + strings.Join(r.Paths[:min(len(r.Paths), 5)], ", ")
	}
	return text
}
