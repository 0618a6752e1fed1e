package pidone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"agentprocess/internal/sandbox"
)

// drainTime is how long output is still taken after a program ended: a server
// it left behind may hold its output open for ever.
const drainTime = 250 * time.Millisecond

// started is PID 1's answer to an exec.
type started struct {
	message Message
	fds     []int
}

// process is a program in a sandbox.
type process struct {
	link   *Link
	id     int
	reply  chan started
	done   chan struct{} // closed when it ended
	exit   sandbox.Exit  // valid after done
	master *os.File      // of its terminal
	oomsAt int           // kills counted when it began

	outputs []*os.File // ends we read from
	copies  sync.WaitGroup
	mu      sync.Mutex
	copyErr error
}

var _ sandbox.Process = (*process)(nil)

// Exec starts a program, as sandbox.Sandbox has it.
func (x *Link) Exec(ctx context.Context, cmd sandbox.Command) (sandbox.Process, error) {
	if len(cmd.Argv) == 0 {
		return nil, errors.New("exec in sandbox: empty argv")
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("exec %q in sandbox: %w", cmd.Argv[0], err)
	}
	p := &process{link: x, reply: make(chan started, 1), done: make(chan struct{})}
	if err := p.start(ctx, cmd); err != nil {
		return nil, fmt.Errorf("exec %q in sandbox: %w", cmd.Argv[0], err)
	}
	return p, nil
}

// start starts the program and what goes with it.
func (p *process) start(ctx context.Context, cmd sandbox.Command) error {
	if !p.link.enter() {
		return errors.New("the sandbox is closed")
	}
	streams, err := newStdio(cmd, p.link.Owner)
	if err != nil {
		p.link.tasks.Done()
		return err
	}
	defer streams.closeTheirs()
	if err := p.link.launch(ctx, p, cmd, streams); err != nil {
		streams.closeOurs()
		p.link.tasks.Done()
		return err
	}
	p.copyStreams(cmd, streams)
	go func() {
		defer p.link.tasks.Done()
		p.follow(ctx)
	}()
	return nil
}

// launch asks PID 1 to start the program and waits for its answer.
func (x *Link) launch(ctx context.Context, p *process, cmd sandbox.Command, streams *stdioPipes) error {
	x.register(p)
	req := execRequest{Argv: cmd.Argv, Env: cmd.Env, Dir: cmd.Dir, Stdio: streams.have}
	if cmd.TTY != nil {
		req.TTY, req.Rows, req.Cols = true, cmd.TTY.Rows, cmd.TTY.Cols
	}
	if err := x.Wire.SendPayload(Message{Op: opExec, ID: p.id}, req, streams.descriptors()...); err != nil {
		x.forget(p.id)
		return errors.Join(err, x.ended())
	}
	select {
	case r := <-p.reply:
		return p.begin(r)
	case <-x.Init.Ended():
		x.forget(p.id)
		return errors.Join(errors.New("the sandbox ended"), x.ended())
	case <-ctx.Done():
		_ = x.Wire.Send(Message{Op: opSignal, ID: p.id, Signal: int(unix.SIGKILL)}) // ended is as good
		select {
		case r := <-p.reply: // soon: orders are taken one after the other
			CloseAll(r.fds...)
		case <-x.Init.Ended():
		}
		return ctx.Err()
	}
}

// begin takes PID 1's answer.
func (p *process) begin(r started) error {
	if r.message.Error != "" {
		CloseAll(r.fds...)
		if r.message.Errno != 0 {
			return &execError{r.message.Error, syscall.Errno(r.message.Errno)}
		}
		return errors.New(r.message.Error)
	}
	for i, fd := range r.fds {
		if i > 0 {
			CloseAll(fd)
			continue
		}
		if err := unix.SetNonblock(fd, true); err != nil {
			CloseAll(fd)
			return err
		}
		p.master = os.NewFile(uintptr(fd), "terminal")
	}
	return nil
}

// execError is why a program could not be started, as PID 1 told it.
type execError struct {
	text  string
	errno syscall.Errno
}

// Error implements error.
func (e *execError) Error() string { return e.text }

// Unwrap gives the cause.
func (e *execError) Unwrap() error { return e.errno }

// follow kills the program when its context ends, and ends with it.
func (p *process) follow(ctx context.Context) {
	select {
	case <-ctx.Done():
		_ = p.Signal(syscall.SIGKILL) // ended meanwhile is as good
		<-p.done
	case <-p.done:
	}
	deadline := time.Now().Add(drainTime)
	for _, f := range p.outputs {
		_ = f.SetReadDeadline(deadline) // closed already: nothing to bound
	}
}

// ended records the exit; the box calls it once, with its lock held.
func (p *process) ended(exit sandbox.Exit, ooms int) {
	p.exit = exit
	p.exit.OOM = ooms > p.oomsAt
	close(p.done)
}

// Wait implements sandbox.Process.
func (p *process) Wait() (sandbox.Exit, error) {
	<-p.done
	p.copies.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exit, p.copyErr
}

// Signal implements sandbox.Process.
func (p *process) Signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return os.ErrProcessDone
	default:
	}
	if err := p.link.Wire.Send(Message{Op: opSignal, ID: p.id, Signal: int(sig)}); err != nil {
		return errors.Join(os.ErrProcessDone, err)
	}
	return nil
}

// Resize implements sandbox.Process: the kernel tells the programs in front.
func (p *process) Resize(tty sandbox.TTY) error {
	if p.master == nil {
		return errors.New("resize: the program has no terminal")
	}
	raw, err := p.master.SyscallConn()
	if err != nil {
		return fmt.Errorf("resize: %w", err)
	}
	var ierr error
	err = raw.Control(func(fd uintptr) {
		ierr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: tty.Rows, Col: tty.Cols})
	})
	return errors.Join(err, ierr)
}

// copyStreams moves the program's data between pipes and what the caller gave.
func (p *process) copyStreams(cmd sandbox.Command, s *stdioPipes) {
	if p.master != nil {
		p.outputs = append(p.outputs, p.master)
		out := cmd.Stdout
		if out == nil {
			out = io.Discard
		}
		p.copies.Go(func() { p.copyOut(out, p.master) })
		if cmd.Stdin != nil {
			go feed(p.master, cmd.Stdin) // ends with stdin or the terminal; nobody can wait for a reader that blocks
		}
		return
	}
	if s.stdin != nil {
		go func() {
			feed(s.stdin, cmd.Stdin)
			_ = s.stdin.Close() // the program sees the end, or is gone
		}()
	}
	for _, out := range s.outputs {
		p.outputs = append(p.outputs, out.from)
		p.copies.Go(func() { p.copyOut(out.to, out.from) })
	}
}

// feed copies input until either side ends: a program that does not read it
// is no error.
func feed(to io.Writer, from io.Reader) { _, _ = io.Copy(to, from) }

// copyOut copies output until its end, or a while after the program's.
func (p *process) copyOut(to io.Writer, from *os.File) {
	_, err := io.Copy(to, from)
	_ = from.Close() // only read
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.EIO) {
		return // EIO is the end of a terminal
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.copyErr = errors.Join(p.copyErr, fmt.Errorf("copy output: %w", err))
}

// stdioPipes are the standard streams of one program.
type stdioPipes struct {
	sealed  bool // they are sockets
	owner   sandbox.Identity
	have    [3]bool
	theirs  []*os.File // what the program gets, in order
	borrow  map[*os.File]bool
	stdin   *os.File // our end
	outputs []output
}

// output is an end of ours and where it goes.
type output struct {
	from *os.File
	to   io.Writer
}

// newStdio makes the pipes of a command of owner's that has no terminal.
func newStdio(cmd sandbox.Command, owner sandbox.Identity) (*stdioPipes, error) {
	s := &stdioPipes{borrow: map[*os.File]bool{}, sealed: cmd.Sealed, owner: owner}
	if cmd.TTY != nil {
		return s, nil
	}
	if err := s.addInput(cmd.Stdin); err != nil {
		return nil, err
	}
	if err := s.addOutput(1, cmd.Stdout); err != nil {
		s.closeTheirs()
		s.closeOurs()
		return nil, err
	}
	if cmd.Stderr != nil && sameWriter(cmd.Stderr, cmd.Stdout) {
		s.have[2] = true
		s.theirs = append(s.theirs, s.theirs[len(s.theirs)-1])
		return s, nil
	}
	if err := s.addOutput(2, cmd.Stderr); err != nil {
		s.closeTheirs()
		s.closeOurs()
		return nil, err
	}
	return s, nil
}

// sameWriter reports whether both streams go to one writer: two copies would
// write to it at once.
func sameWriter(a, b io.Writer) bool {
	return a != nil && b != nil && reflect.TypeOf(a).Comparable() && reflect.TypeOf(b).Comparable() && a == b
}

func (s *stdioPipes) addInput(in io.Reader) error {
	if in == nil {
		return nil
	}
	s.have[0] = true
	if f, ok := in.(*os.File); ok {
		s.theirs, s.borrow[f] = append(s.theirs, f), true
		return nil
	}
	ours, theirs, err := s.pipe(false)
	if err != nil {
		return err
	}
	s.theirs, s.stdin = append(s.theirs, theirs), ours
	return nil
}

func (s *stdioPipes) addOutput(n int, out io.Writer) error {
	if out == nil {
		return nil
	}
	s.have[n] = true
	if f, ok := out.(*os.File); ok {
		s.theirs, s.borrow[f] = append(s.theirs, f), true
		return nil
	}
	ours, theirs, err := s.pipe(true)
	if err != nil {
		return err
	}
	s.theirs, s.outputs = append(s.theirs, theirs), append(s.outputs, output{ours, out})
	return nil
}

// pipe makes one stream: out of the program, or into it.
func (s *stdioPipes) pipe(out bool) (ours, theirs *os.File, err error) {
	if s.sealed {
		return socketPair()
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	// As the program's own it may be opened by a name, as shells do for
	// /dev/stderr. Where ids are mapped by somebody else it stays as it is.
	if os.Geteuid() == 0 {
		_ = r.Chown(s.owner.UID, s.owner.GID)
	}
	if out {
		return r, w, nil
	}
	return w, r, nil
}

// socketPair is two ends of a stream. Theirs blocks, as programs expect.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil { // so that a read of ours can end
		CloseAll(fds[:]...)
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "stream"), os.NewFile(uintptr(fds[1]), "stream"), nil
}

func (s *stdioPipes) descriptors() []int {
	fds := make([]int, len(s.theirs))
	for i, f := range s.theirs {
		fds[i] = int(f.Fd()) // a descriptor fits
	}
	return fds
}

// closeTheirs closes the ends the program has; the caller's own files stay.
func (s *stdioPipes) closeTheirs() {
	for _, f := range s.theirs {
		if !s.borrow[f] {
			_ = f.Close() // twice for a shared one; nothing was written here
		}
	}
}

func (s *stdioPipes) closeOurs() {
	if s.stdin != nil {
		_ = s.stdin.Close() // nothing was written
	}
	for _, o := range s.outputs {
		_ = o.from.Close() // only read
	}
}
