package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"agentprocess/internal/sandbox"
)

// A supervisor's door lets processes of the same person connect to a port of its
// sandbox's own loopback. It is a socket in the directory of the run, which
// nobody else can enter. One line is asked, and one answered:
//
//	hold            ok, and the connection stays open until the run ends
//	connect PORT    ok, and what follows is that connection's
//
// In the sandbox a program of ours, under its walls, makes the connection: no
// descriptor of the host goes in, and none of the sandbox's comes out.
const (
	doorName    = "door"
	askHold     = "hold"
	askConnect  = "connect "
	answerOK    = "ok"
	doorLine    = 64               // the most bytes of a line
	doorTime    = 10 * time.Second // the most time for a line
	mostThrough = 128              // connections at once
)

// door is one that is open.
type door struct {
	box      sandbox.Sandbox
	listener *net.UnixListener
	cancel   context.CancelFunc
	all      sync.WaitGroup
}

// unixAddress is the address of a socket in a directory. Such a name has 108
// bytes at most, so a long one goes by the descriptor of the directory.
func unixAddress(dir, name string) (addr *net.UnixAddr, done func(), err error) {
	path := filepath.Join(dir, name)
	if len(path) < 100 {
		return &net.UnixAddr{Name: path, Net: "unix"}, func() {}, nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	path = filepath.Join("/proc/self/fd", strconv.Itoa(int(d.Fd())), name)
	return &net.UnixAddr{Name: path, Net: "unix"}, func() { _ = d.Close() }, nil // only read
}

// openDoor opens the door of a run that is at work.
func openDoor(ctx context.Context, dir string, box sandbox.Sandbox) (*door, error) {
	addr, done, err := unixAddress(dir, doorName)
	if err != nil {
		return nil, fmt.Errorf("open the run for connections: %w", err)
	}
	defer done()
	l, err := net.ListenUnix("unix", addr)
	if err != nil {
		return nil, fmt.Errorf("open the run for connections: %w", err)
	}
	l.SetUnlinkOnClose(false) // it goes with the directory
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d := &door{box: box, listener: l, cancel: cancel}
	d.all.Go(func() { d.serve(ctx) })
	return d, nil
}

// close ends all that goes through and waits for it; nil does nothing.
func (d *door) close() {
	if d == nil {
		return
	}
	d.cancel()
	_ = d.listener.Close() // again does nothing
	d.all.Wait()
}

func (d *door) serve(ctx context.Context) {
	room := make(chan struct{}, mostThrough)
	for {
		conn, err := d.listener.AcceptUnix()
		if err != nil {
			return
		}
		select {
		case room <- struct{}{}:
			d.all.Go(func() {
				defer func() { <-room }()
				d.answer(ctx, conn)
			})
		default:
			_ = conn.Close() // whoever asked sees the end
		}
	}
}

// answer serves one that asks.
func (d *door) answer(ctx context.Context, conn *net.UnixConn) {
	defer func() { _ = conn.Close() }() // nothing is left to be said
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })() // ends what waits for it
	ask, err := readDoorLine(conn)
	if err != nil {
		return
	}
	if ask == askHold {
		if _, err := io.WriteString(conn, answerOK+"\n"); err == nil {
			_, _ = conn.Read(make([]byte, 1)) // until either end goes
		}
		return
	}
	text, ok := strings.CutPrefix(ask, askConnect)
	port, err := ParsePort(text)
	if !ok || err != nil {
		_, _ = io.WriteString(conn, "that is nothing to ask for\n") // as above
		return
	}
	if _, err := io.WriteString(conn, answerOK+"\n"); err != nil {
		return
	}
	proc, err := d.box.Exec(ctx, sandbox.Command{
		Argv: []string{sandbox.BinaryPath, sandbox.ConnectVerb, strconv.Itoa(int(port))}, Stdin: plainReader{conn}, Stdout: conn, Sealed: true,
	})
	if err != nil {
		return
	}
	_, _ = proc.Wait() // how it ended is seen by the end of the bytes
}

// plainReader has nothing but Read, so that no descriptor can be handed over.
type plainReader struct{ io.Reader }

// readDoorLine reads a line, and not a byte more.
func readDoorLine(conn net.Conn) (string, error) {
	if err := conn.SetReadDeadline(time.Now().Add(doorTime)); err != nil {
		return "", err
	}
	var line []byte
	for one := make([]byte, 1); len(line) < doorLine; {
		if _, err := io.ReadFull(conn, one); err != nil {
			return "", err
		}
		if one[0] == '\n' {
			return string(line), conn.SetReadDeadline(time.Time{})
		}
		line = append(line, one[0])
	}
	return "", errors.New("the line is too long")
}

// ask opens a connection through the door of a run.
func askDoor(ctx context.Context, dir, what string) (*net.UnixConn, error) {
	addr, done, err := unixAddress(dir, doorName)
	if err != nil {
		return nil, err
	}
	defer done()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", addr.Name)
	if err != nil {
		return nil, err
	}
	through, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%T is no unix socket", conn), conn.Close())
	}
	_, err = io.WriteString(through, what+"\n")
	answer := ""
	if err == nil {
		answer, err = readDoorLine(through)
	}
	if err == nil && answer != answerOK {
		err = fmt.Errorf("the run says %q", answer)
	}
	if err != nil {
		return nil, errors.Join(err, through.Close())
	}
	return through, nil
}

// ParsePort reads the number of a port that can be forwarded.
func ParsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	switch {
	case err != nil || n == 0:
		return 0, fmt.Errorf("port %q: want a number from 1 to 65535", text)
	case n == 53 || n == 3128 || n == 3129:
		return 0, fmt.Errorf("port %d is the gateway's own inside", n)
	}
	return uint16(n), nil
}

// notThere reports whether a run has no door, or one that nobody serves.
func notThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) || isRefused(err)
}
