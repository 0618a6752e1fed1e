package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"agentprocess/internal/runtime/contained"
	"agentprocess/internal/runtime/pidone"
	"agentprocess/internal/sandbox"
)

// life is a container from its creation to its end.
type life struct {
	engine *engine
	name   string
	dir    string
	image  *rootImage
	// volumes were made beforehand.
	volumes []string
	ctx     context.Context // of the start, without its end
	wire    *pidone.Wire    // nil until PID 1 has connected
	once    sync.Once
	done    chan struct{} // closed when it ended
	err     error         // valid after done
}

var _ pidone.Init = (*life)(nil)

// End implements pidone.Init. The end of the control channel is the end of PID
// 1; then the engine forgets the container.
func (l *life) End() {
	l.once.Do(func() {
		defer close(l.done)
		if l.wire != nil {
			l.wire.Shut()
		}
		ctx, cancel := context.WithTimeout(l.ctx, removeTime)
		defer cancel()
		l.err = l.engine.remove(ctx, l.name)
		for _, name := range l.volumes {
			if _, err := l.engine.VolumeRemove(ctx, name, client.VolumeRemoveOptions{}); err != nil && !notFound(err) {
				l.err = errors.Join(l.err, fmt.Errorf("remove volume %q: %w", name, err))
			}
		}
		if l.err == nil {
			l.err = removeBoxDir(l.dir)
		}
	})
	<-l.done
}

// Ended implements pidone.Init.
func (l *life) Ended() <-chan struct{} { return l.done }

// Err implements pidone.Init.
func (l *life) Err() error { return l.err }

// control is the socket by which PID 1 finds the supervisor. It is there until
// PID 1 has connected: nothing of the image runs before that.
type control struct {
	dir      string
	listener *net.UnixListener
}

// listen makes the directory and the socket. Who runs on this machine cannot
// reach it, for what is above the directory; PID 1 can, as any user.
func listen(dir string) (*control, error) {
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o755)); err != nil { //nolint:gosec // G302: its parent is shut
		return nil, fmt.Errorf("make control socket: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("make control socket: %w", err)
	}
	defer func() { _ = d.Close() }() // only read
	// By descriptor: a unix socket's name has 108 bytes.
	name := "/proc/self/fd/" + strconv.Itoa(int(d.Fd())) + "/" + filepath.Base(contained.ControlSocket)
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: name, Net: "unixpacket"})
	if err != nil {
		return nil, fmt.Errorf("make control socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(name, 0o666); err != nil { //nolint:gosec // G302: as above
		return nil, errors.Join(fmt.Errorf("make control socket: %w", err), l.Close())
	}
	return &control{dir: dir, listener: l}, nil
}

// accept waits for PID 1; it gives its process id here, 0 when it has none.
func (c *control) accept(ctx context.Context, l *life) (*pidone.Wire, int, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startTime, errors.New("the container's init did not connect"))
	defer cancel()
	ended := make(chan string, 1)
	go func() {
		if why := l.watchStart(ctx); why != "" {
			ended <- why
			cancel()
		}
	}()
	stop := context.AfterFunc(ctx, c.close)
	defer stop()
	conn, err := c.listener.AcceptUnix()
	if err != nil {
		select {
		case why := <-ended:
			return nil, 0, sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("start container: %s", why), "run doctor")
		default:
		}
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, 0, fmt.Errorf("start container: %w", err)
	}
	c.close()
	if err := os.Remove(filepath.Join(c.dir, filepath.Base(contained.ControlSocket))); err != nil {
		return nil, 0, errors.Join(err, conn.Close())
	}
	return wireOf(conn)
}

// watchStart says why a container ended before its init connected.
func (l *life) watchStart(ctx context.Context) string {
	wait := l.engine.ContainerWait(ctx, l.name, client.ContainerWaitOptions{Condition: "not-running"})
	select {
	case r := <-wait.Result:
		return fmt.Sprintf("its init ended with status %d before it connected", r.StatusCode)
	case err := <-wait.Error:
		if ctx.Err() != nil {
			return ""
		}
		return err.Error()
	}
}

// close ends the listening; again does nothing.
func (c *control) close() { _ = c.listener.Close() } // nothing waits to be written

// wireOf takes the descriptor of a connection, and who is at the other end.
func wireOf(conn *net.UnixConn) (*pidone.Wire, int, error) {
	f, err := conn.File()
	err = errors.Join(err, conn.Close())
	if err != nil {
		return nil, 0, fmt.Errorf("control channel: %w", err)
	}
	defer func() { _ = f.Close() }() // duplicated below
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("control channel: %w", err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		pidone.CloseAll(fd)
		return nil, 0, fmt.Errorf("control channel: %w", err)
	}
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		pidone.CloseAll(fd)
		return nil, 0, fmt.Errorf("control channel: %w", err)
	}
	return pidone.NewWire(fd), int(peer.Pid), nil
}

// startError says why the engine made no container.
func (e *engine) startError(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("%s: %w", what, err), "`"+e.runs+"` shows what the engine lacks")
}
