package hook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// dial connects to the endpoint. While others flood it, its backlog is full,
// and a connect that does not block is told to try again, for ever: then it
// stands in the kernel's line instead.
func dial(ctx context.Context, path string, deadline time.Time) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if !errors.Is(err, unix.EAGAIN) {
		return conn, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close() //nolint:errcheck // net.FileConn has a copy
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return nil, fmt.Errorf("connect to %q: %w", path, os.ErrDeadlineExceeded)
		}
		wait := unix.NsecToTimeval(left.Nanoseconds())
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait); err != nil {
			return nil, fmt.Errorf("bound connect: %w", err)
		}
		err := unix.Connect(fd, &unix.SockaddrUnix{Name: path})
		switch {
		case err == nil:
			return net.FileConn(f)
		case !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN):
			return nil, fmt.Errorf("connect to %q: %w", path, err)
		}
	}
}
