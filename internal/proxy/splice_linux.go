package proxy

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// spliceSize is how much is moved at once, which is how large pipes are made.
const spliceSize = 1 << 20

// pipe is where bytes are while the kernel moves them between sockets.
type pipe struct{ r, w int }

func newPipe() *pipe {
	var fds [2]int
	if unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return nil
	}
	_, err := unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, spliceSize)
	discard(err) // a smaller pipe works too
	return &pipe{fds[0], fds[1]}
}

func (p *pipe) close() {
	discard(unix.Close(p.r))
	discard(unix.Close(p.w))
}

// splicer moves bytes from one socket to another without seeing them. It has
// a pipe only while there is something to move.
type splicer struct {
	pipes    *pipes
	src, dst syscall.RawConn
	in, out  func(fd uintptr) bool
	pipe     *pipe
	scarce   bool // there was no pipe
	left     int  // in the pipe
	n        int
	err      error
}

func newSplicer(p *pipes, dst, src *net.TCPConn) (*splicer, error) {
	from, err1 := src.SyscallConn()
	to, err2 := dst.SyscallConn()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	s := &splicer{pipes: p, src: from, dst: to}
	s.in, s.out = s.fill, s.drain
	return s, nil
}

// move waits until there is something to read and passes it on. It gives how
// much that was, with the error of the rest if there is one, 0 at the end of the stream; scarce is set instead when there
// is no pipe to be had.
func (s *splicer) move() (n int, scarce bool, err error) {
	s.scarce, s.n, s.err = false, 0, nil
	if err := s.src.Read(s.in); err != nil {
		return 0, false, err
	}
	if s.scarce {
		return 0, true, nil
	}
	if s.n > 0 && s.err == nil {
		s.left = s.n
		if err := s.dst.Write(s.out); err != nil && s.err == nil {
			s.err = err
		}
	}
	passed := s.n - s.left
	s.pipes.give(s.pipe, s.left == 0)
	s.pipe, s.left = nil, 0
	return passed, false, s.err
}

// fill takes a pipe and fills it, or gives it back when there is nothing yet.
func (s *splicer) fill(fd uintptr) bool {
	if s.pipe = s.pipes.take(); s.pipe == nil {
		s.scarce = true
		return true
	}
	s.n, s.err = splice(int(fd), s.pipe.w, spliceSize)
	if errors.Is(s.err, unix.EAGAIN) {
		s.pipes.give(s.pipe, true)
		s.pipe = nil
		return false
	}
	return true
}

// drain empties the pipe as far as the socket takes it.
func (s *splicer) drain(fd uintptr) bool {
	for s.left > 0 {
		n, err := splice(s.pipe.r, int(fd), s.left)
		if errors.Is(err, unix.EAGAIN) {
			return false
		}
		if err != nil {
			s.err = err
			return true
		}
		s.left -= n
	}
	return true
}

func splice(from, to, most int) (int, error) {
	for {
		n, err := unix.Splice(from, nil, to, nil, most, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if !errors.Is(err, unix.EINTR) {
			return int(max(n, 0)), err
		}
	}
}
