package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"agentprocess/internal/execx"
	"agentprocess/internal/sandbox"
)

// UploadSpec describes the sandbox that serves the agent's commits: these
// mounts, no network, one command.
type UploadSpec struct {
	Mounts []sandbox.Mount // those of [Workspace.ServeMounts]
	Argv   []string
	Env    []string
}

// UploadPack runs spec in a fresh sandbox with conn as both stdin and stdout of
// the command, and returns when the command has ended: nil if it exited with 0.
// It must not close conn.
type UploadPack func(ctx context.Context, spec UploadSpec, conn *os.File) error

// privateInside is where a private git directory appears in the sandbox that
// serves it.
const privateInside = "/git"

// ServeMounts is what the sandbox that serves the agent's commits has: its
// private git directory as it is then, and the host's objects, all read-only.
// What is committed after it started is served as well, so that it may start
// before there is anything to serve.
func (w *Workspace) ServeMounts() []sandbox.Mount {
	git := sandbox.Mount{Kind: sandbox.MountBind, Source: w.path(w.rec.Private), Target: privateInside, ReadOnly: true, NoExec: true}
	return append([]sandbox.Mount{git}, w.objectMounts()...)
}

// uploadSpec is the sandbox that serves the private git directory.
func (w *Workspace) uploadSpec() UploadSpec {
	env := []string{
		"PATH=" + insidePath, "HOME=/nonexistent", "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1", "GIT_NO_REPLACE_OBJECTS=1",
	}
	return UploadSpec{
		Mounts: w.ServeMounts(),
		Argv:   []string{"git", "upload-pack", "--strict", privateInside},
		Env: append(env, configEnv(map[string]string{
			"safe.directory": "*", "gc.auto": "0", "maintenance.auto": "false", "core.fsmonitor": "false", "core.hooksPath": "/dev/null",
			// The last setting wins, and so nothing the agent configured hides a ref.
			"transfer.hideRefs": "!refs/", "uploadpack.hideRefs": "!refs/", "uploadpack.allowFilter": "false",
		})...),
	}
}

// link is a connected pair of sockets; near is ours to copy with, far is for a
// program.
type link struct {
	near *net.UnixConn
	far  *os.File
}

func newLink() (*link, error) {
	// Darwin has no SOCK_CLOEXEC: the lock keeps a fork from coming in between.
	syscall.ForkLock.RLock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		syscall.ForkLock.RUnlock()
		return nil, fmt.Errorf("make a socket pair: %w", err)
	}
	unix.CloseOnExec(fds[0])
	unix.CloseOnExec(fds[1])
	syscall.ForkLock.RUnlock()
	near, far := os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
	conn, err := net.FileConn(near)
	if err = errors.Join(err, near.Close()); err != nil {
		return nil, errors.Join(err, far.Close())
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("a socket pair is no unix socket"), conn.Close(), far.Close())
	}
	return &link{near: unixConn, far: far}, nil
}

// What ends a transfer that is larger than allowed.
var (
	errTooMuch = errors.New("the agent's commits are larger than allowed")
	errRefs    = errors.New("the agent has more refs than can be looked at")
)

// maxListed bounds what a server may say before it is asked for anything: the
// list of its refs, of which git would make a file each.
const maxListed = 1 << 20

// asking notes when a client wants something, by the word for it in every
// version of git's protocol. Git writes a request at once.
type asking struct {
	io.Writer
	done atomic.Bool
}

// Write implements io.Writer.
func (a *asking) Write(p []byte) (int, error) {
	if !a.done.Load() && bytes.Contains(p, []byte("want ")) {
		a.done.Store(true)
	}
	return a.Writer.Write(p)
}

// listing ends a transfer whose server goes on and on before it is asked.
type listing struct {
	io.Writer
	asked *asking
	said  int
}

// Write implements io.Writer.
func (l *listing) Write(p []byte) (int, error) {
	if l.said += len(p); l.said > maxListed && !l.asked.done.Load() {
		return 0, errRefs
	}
	return l.Writer.Write(p)
}

// transfer connects a server of git's protocol with `git fetch`, counting what
// the server sends.
type transfer struct {
	serve func(ctx context.Context, conn *os.File) error
	fetch func(ctx context.Context, conn *os.File) error
	limit int64
}

// run runs both ends. Whichever way one ends, the other sees its connection
// end, and both are waited for.
func (t *transfer) run(ctx context.Context) error {
	server, err := newLink()
	if err != nil {
		return err
	}
	client, err := newLink()
	if err != nil {
		return errors.Join(err, server.near.Close(), server.far.Close())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		closeQuietly(server.near)
		closeQuietly(client.near)
	})
	defer stop()
	var served, fetched error
	var g errgroup.Group
	g.Go(func() error {
		served = t.serve(ctx, server.far)
		return server.far.Close()
	})
	g.Go(func() error {
		fetched = t.fetch(ctx, client.far)
		return client.far.Close()
	})
	asked := &asking{Writer: server.near}
	g.Go(func() error { // what the client asks
		_, err := io.Copy(asked, client.near)
		halfClose(server.near)
		return ignoreClosed(err)
	})
	g.Go(func() error { // what the server sends
		n, err := io.Copy(&listing{Writer: client.near, asked: asked}, io.LimitReader(server.near, t.limit+1))
		switch {
		case n > t.limit:
			cancel(errTooMuch)
		case errors.Is(err, errRefs):
			cancel(errRefs)
		}
		halfClose(client.near)
		return ignoreClosed(err)
	})
	pumped := g.Wait()
	closeQuietly(server.near)
	closeQuietly(client.near)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if fetched != nil || served != nil {
		return errors.Join(fetched, served)
	}
	return pumped
}

// closeQuietly closes a socket of which nothing is expected any more.
func closeQuietly(c io.Closer) { _ = c.Close() } // closing twice is what may fail

// halfClose tells the other side that no more comes; it may be gone already.
func halfClose(c *net.UnixConn) { _ = c.CloseWrite() }

// ignoreClosed drops what a copy says when an end has gone: its program tells
// better why.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		return nil
	}
	return err
}

// The bounds of what one import may bring.
const (
	maxImportBytes   = 4 << 30
	maxImportTime    = 15 * time.Minute
	maxImportCommits = 50_000
)

// fetchOver is the `git fetch` at the near end of a transfer: git's own fd
// transport, on descriptor 3.
func (d *door) fetchOver(ctx context.Context, c call, conn *os.File, option string, refspecs ...string) error {
	c.args = append([]string{
		"fetch", "-q", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules",
		"--update-head-ok", "--no-show-forced-updates", option, "fd::3",
	}, refspecs...)
	c.files = []*os.File{conn}
	c.config = map[string]string{
		"protocol.fd.allow": "always",
		// The refs of the repository that is borrowed from are not listed.
		"core.alternateRefsCommand":  "true",
		"fetch.unpackLimit":          "100",
		"fetch.negotiationAlgorithm": "default",
	}
	c.env = []string{"GIT_REFLOG_ACTION=agent-process: import"}
	_, err := d.run(ctx, c)
	return err
}

// receive fetches what the agent made into the quarantine, as refs/incoming/*.
//
// git installs a pack before it has judged all that is in it, and what is
// there is not judged again: a second try would let through what the first one
// refused. So each try that did not succeed costs the quarantine, also one that
// ended with this process.
func (w *Workspace) receive(ctx context.Context, start UploadPack) error {
	mark := w.path(receivingName)
	if _, err := os.Lstat(mark); !errors.Is(err, fs.ErrNotExist) {
		if err := errors.Join(err, RemoveTree(w.path(quarantineName))); err != nil {
			return err
		}
		if err := w.makeQuarantine(); err != nil {
			return err
		}
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return err
	}
	if err := w.fetch(ctx, start); err != nil {
		return err
	}
	return os.Remove(mark)
}

// fetch is the transfer of receive.
func (w *Workspace) fetch(ctx context.Context, start UploadPack) error {
	ctx, cancel := context.WithTimeoutCause(ctx, maxImportTime, fmt.Errorf("importing took longer than %s", maxImportTime))
	defer cancel()
	spec := w.uploadSpec()
	t := &transfer{
		limit: maxImportBytes,
		serve: func(ctx context.Context, conn *os.File) error { return start(ctx, spec, conn) },
		fetch: func(ctx context.Context, conn *os.File) error {
			return w.repo.git.fetchOver(ctx, w.quarantine(), conn, "--prune",
				"+refs/heads/*:refs/incoming/heads/*", "+refs/agent-process/*:refs/incoming/agent-process/*", "+refs/stas*:refs/incoming/stas*")
		},
	}
	return t.run(ctx)
}

// carry fetches refs from a repository of ours into that of to, over a pair of
// sockets too: no path is parsed, no url.*.insteadOf applies, and the owner of
// the repository need not be able to read ours.
func (r *Repository) carry(ctx context.Context, from string, to call, refspecs ...string) error {
	return r.carryWith(ctx, from, to, "--no-prune", refspecs...)
}

// carryWith is carry with an option of `git fetch`.
func (r *Repository) carryWith(ctx context.Context, from string, to call, option string, refspecs ...string) error {
	t := &transfer{
		limit: 2 * maxImportBytes,
		serve: func(ctx context.Context, conn *os.File) error {
			c := call{dir: filepath.Dir(from), args: []string{"upload-pack", "--strict", from}, ours: true}
			cmd := r.git.command(c)
			cmd.Stdin, cmd.Stdout = conn, conn
			return execx.Run(ctx, cmd)
		},
		fetch: func(ctx context.Context, conn *os.File) error {
			return r.git.fetchOver(ctx, to, conn, option, refspecs...)
		},
	}
	if err := t.run(ctx); err != nil {
		return fmt.Errorf("bring the agent's commits into %q (%s): %w", to.gitDir, strings.Join(refspecs, " "), err)
	}
	return nil
}
