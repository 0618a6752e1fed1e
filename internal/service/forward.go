package service

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"

	"agentprocess/internal/sandbox"
)

// ForwardOptions say what of a running agent is forwarded.
type ForwardOptions struct {
	Dir, Name string
	Ports     []uint16
	// Listen is another port here, for one port; 0 is the same one.
	Listen uint16
	// Ready is told the addresses once they are open.
	Ready func([]Forwarded)
}

// Forwarded is a port of an agent and where it is here.
type Forwarded struct {
	Port    uint16 `json:"port"`
	Address string `json:"address"`
	URL     string `json:"url"`
}

// Forward opens ports of a running agent on a loopback address of this machine
// until ctx is done or the run ends.
func (s *Service) Forward(ctx context.Context, o ForwardOptions) error {
	run, err := s.find(ctx, o.Dir, o.Name)
	if err != nil {
		return err
	}
	if !running(run) {
		return sandbox.Fail(sandbox.CodeNotFound, fmt.Errorf("agent %q is not running", o.Name), "`agent-process resume "+run.Name+"` lets it go on")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := &forward{dir: filepath.Join(s.runs(), run.ID)}
	held, err := askDoor(ctx, f.dir, askHold)
	if err != nil {
		if notThere(err) {
			err = sandbox.Fail(sandbox.CodeBusy, fmt.Errorf("agent %q has not begun, or is about to end", o.Name), "try again in a moment")
		}
		return err
	}
	defer func() { _ = held.Close() }() // only read
	defer f.close()
	var all []Forwarded
	for _, port := range o.Ports {
		at := port
		if o.Listen != 0 {
			at = o.Listen
		}
		addr := netip.AddrPortFrom(loopback(run.Repository, run.Name), at)
		if err := f.listen(ctx, addr, port); err != nil {
			return err
		}
		all = append(all, Forwarded{Port: port, Address: addr.String(), URL: "http://" + addr.String() + "/"})
	}
	o.Ready(all)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = held.Read(make([]byte, 1)) // its end is what is waited for
	}()
	select {
	case <-ctx.Done():
	case <-ended:
	}
	return nil
}

// loopback is the address of an agent: the same each time, and not that of
// another agent, so that all may serve on one port. Where only one address is
// loopback, it is that.
func loopback(repository, name string) netip.Addr {
	if runtime.GOOS != "linux" {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	h := sha256.Sum256([]byte(repository + "\x00" + name))
	return netip.AddrFrom4([4]byte{127, 64 + h[0]%64, h[1], 1 + h[2]%254})
}

// forward is ports that are open.
type forward struct {
	dir       string
	listeners []net.Listener
	all       sync.WaitGroup
}

func (f *forward) listen(ctx context.Context, addr netip.AddrPort, port uint16) error {
	if !addr.Addr().IsLoopback() { // never, whatever an address is made of
		return fmt.Errorf("%s is no loopback address", addr)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp4", addr.String())
	switch {
	case errors.Is(err, fs.ErrPermission):
		return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("open %s: %w", addr, err), "choose another port here: --listen 8080")
	case errors.Is(err, syscall.EADDRINUSE):
		return sandbox.Fail(sandbox.CodeBusy, fmt.Errorf("open %s: %w", addr, err), "it is forwarded already, or choose another port here: --listen 8080")
	case err != nil:
		return fmt.Errorf("open %s: %w", addr, err)
	}
	f.listeners = append(f.listeners, l)
	f.all.Go(func() { f.accept(ctx, l, port) })
	return nil
}

// close ends all that is forwarded and waits for it.
func (f *forward) close() {
	for _, l := range f.listeners {
		_ = l.Close() // again does nothing
	}
	f.all.Wait()
}

func (f *forward) accept(ctx context.Context, l net.Listener, port uint16) {
	room := make(chan struct{}, mostThrough)
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		room <- struct{}{}
		f.all.Go(func() {
			defer func() { <-room }()
			f.through(ctx, conn, port)
		})
	}
}

// through copies between a connection here and one of the agent's.
func (f *forward) through(ctx context.Context, conn net.Conn, port uint16) {
	defer conn.Close()
	inside, err := askDoor(ctx, f.dir, fmt.Sprintf("%s%d", askConnect, port))
	if err != nil {
		return // whoever connected sees the end
	}
	defer func() { _ = inside.Close() }()                                          // whoever copied saw the end
	defer context.AfterFunc(ctx, func() { _, _ = conn.Close(), inside.Close() })() // ends the copying
	go func() {
		_, _ = io.Copy(inside, conn) // either end may go at any time
		_ = inside.CloseWrite()
	}()
	_, _ = io.Copy(conn, inside) // as above
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
