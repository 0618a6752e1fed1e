package service

import (
	"context"
	"errors"
	"strings"
	"sync"

	"agentprocess/internal/sandbox"
	"agentprocess/internal/workspace"
)

// Suffixes of the ids of the sandboxes that stand beside an agent's.
const (
	importSuffix = "-import"
	rescueSuffix = "-rescue"
)

// keeper brings an agent's work home: a commit inside, then the import. It
// works for a living sandbox and, after a crash, without one.
type keeper struct {
	runtime  sandbox.Runtime
	ws       *workspace.Workspace
	id       string
	identity sandbox.Identity
	message  workspace.Message
	notice   func(format string, args ...any)
	hooked   preCommit // what the project's pre-commit hook says

	mu   sync.Mutex
	last workspace.ImportResult
}

// describe says what the next commit of ours is called.
func (k *keeper) describe(m workspace.Message) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.message = m
}

func (k *keeper) subject() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.message.Subject
}

// save commits in box and imports. Saves come one at a time.
func (k *keeper) save(ctx context.Context, box workspace.Execer) (res workspace.ImportResult, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	server := k.startServer(ctx) // a sandbox starts while git commits in another
	res, err = k.saveFrom(ctx, box, server)
	return res, errors.Join(err, server.close())
}

// saveFrom is save with the sandbox that serves.
func (k *keeper) saveFrom(ctx context.Context, box workspace.Execer, from *server) (workspace.ImportResult, error) {
	committed, err := k.ws.Commit(ctx, box, k.message)
	if err != nil {
		return k.last, err
	}
	for _, n := range committed.Notices {
		k.notice("git: %s", n)
	}
	return k.bring(ctx, from)
}

// bring imports what is committed and tells of what was odd about it.
func (k *keeper) bring(ctx context.Context, from *server) (workspace.ImportResult, error) {
	res, err := k.ws.Import(ctx, from.uploadPack)
	if err != nil {
		return k.last, err
	}
	for _, p := range res.Dropped {
		k.notice("left out of the commits: %s", p)
	}
	for _, ref := range res.Kept {
		k.notice("also kept, from the agent's own clone: %s", ref)
	}
	if res.Rebased {
		k.notice("the agent rewrote history: its branch does not descend from the base")
	}
	if res.Replaced != "" {
		k.notice("the agent rewrote its branch; what it was before is kept at %s", res.Replaced)
	}
	if res.Diverged {
		k.notice("somebody else moved %s: it was left alone, and the agent's work is at refs/agents/%s/imported",
			workspace.Branch(k.ws.Name()), k.ws.Name())
	}
	k.last = res
	return res, nil
}

// rescue brings home what is in the tree when the agent's sandbox is gone or
// its git directory is of no use: a fresh sandbox without network, and a fresh
// git directory if need be.
func (k *keeper) rescue(ctx context.Context) (workspace.ImportResult, error) {
	res, err := k.again(ctx)
	if !errors.Is(err, workspace.ErrGitDir) {
		return res, err
	}
	// What the agent committed itself may still come home as it is.
	if _, err := k.imports(ctx); err != nil && !errors.Is(err, workspace.ErrGitDir) {
		k.notice("what the agent committed by itself could not be brought home: %v", err)
	}
	k.notice("the agent's own git directory was unusable: its tree was committed from a fresh one")
	if err := k.ws.Rescue(ctx); err != nil {
		return k.last, err
	}
	return k.again(ctx)
}

// imports imports what is committed already.
func (k *keeper) imports(ctx context.Context) (res workspace.ImportResult, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	server := k.startServer(ctx)
	res, err = k.bring(ctx, server)
	return res, errors.Join(err, server.close())
}

// again saves in a sandbox of its own.
func (k *keeper) again(ctx context.Context) (res workspace.ImportResult, err error) {
	box, err := k.runtime.Start(ctx, sandbox.Spec{
		ID: k.id + rescueSuffix, Identity: k.identity, Home: agentHome, Mounts: k.ws.Mounts(), Network: sandbox.NetworkNone,
	})
	if err != nil {
		return k.last, err
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	return k.save(ctx, box)
}

// limited lets the first bytes through and swallows the rest, for text from
// inside that nobody needs in full.
type limited struct {
	w    *strings.Builder
	left int
}

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.w.Write(p[:n])
	l.left -= n
	return len(p), nil
}
