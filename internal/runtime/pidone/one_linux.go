package pidone

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// spareThreads are started before any program runs: one that is needed later
// may be refused when the agent has used up its processes, and Go does not
// survive that.
const spareThreads = 3

// One is PID 1 of a sandbox at work: it starts programs from its locked
// thread and reaps everything.
type One struct {
	wire     *Wire
	landlock int
	open     chan struct{} // closed when programs may be started
	served   chan error
	// forked wakes the reaper when there is a child again.
	forked chan struct{}
	oomFD  int // our own oom_score_adj

	mu      sync.Mutex
	running map[int]int // pid to id of the main processes
}

// Setup is what a runtime says of the sandbox that its PID 1 stands in.
type Setup struct {
	// Writable is where programs may write, as far as the mounts go too.
	Writable []string
	Limits   Limits
	// CgroupNamespace hides, with a namespace of their own, which cgroup
	// programs are in.
	CgroupNamespace bool
}

// New ends the set-up: after it nothing here has a capability. No program
// is started before Run.
func New(w *Wire, s Setup) (*One, error) {
	p := &One{wire: w, open: make(chan struct{}), served: make(chan error, 1), forked: make(chan struct{}, 1), running: map[int]int{}}
	fd, err := unix.Open("/proc/self/oom_score_adj", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, Step("proc", err)
	}
	p.oomFD = fd
	if err := s.Limits.apply(); err != nil {
		return nil, Step("limits", err)
	}
	unix.Umask(0o022)
	locked := make(chan error, 1)
	go p.serve(s, locked)
	if err := <-locked; err != nil {
		return nil, err
	}
	if err := dropAllCapabilities(); err != nil {
		return nil, Step("capabilities", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, Step("dumpable", err)
	}
	return p, nil
}

// Run says that the sandbox stands, with its network, and takes orders. It returns when the supervisor is gone, and PID 1 with it.
// watchMemory, in bytes, is a limit that nobody else enforces; 0 is none.
func (p *One) Run(net *Network, watchMemory int64) error {
	report := Report{LandlockABI: p.landlock, Redirect: net.Redirect, Sockets: net.Names, Notes: net.Notes}
	if err := p.wire.Send(Message{Op: OpReady, Report: &report}, net.Files...); err != nil {
		return Step("control channel", err)
	}
	CloseAll(net.Files...)
	// While the supervisor takes that in.
	startThreads(spareThreads)
	if err := resetSignals(); err != nil {
		return Step("signals", err)
	}
	go p.reap()
	if watchMemory > 0 {
		go p.watchMemory(watchMemory)
	}
	close(p.open)
	return <-p.served
}

// startThreads makes the Go runtime own n more threads.
func startThreads(n int) {
	var ready, done sync.WaitGroup
	release := make(chan struct{})
	ready.Add(n)
	for range n {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			<-release
		})
	}
	ready.Wait()
	close(release)
	done.Wait()
}

// serve locks its thread down and takes orders until the channel ends.
func (p *One) serve(s Setup, locked chan<- error) {
	runtime.LockOSThread() // and never unlocked: the thread is not fit for anything else
	abi, err := lockThread(s)
	p.landlock = abi
	locked <- err
	if err != nil {
		return
	}
	<-p.open
	for {
		m, fds, err := p.wire.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			p.served <- err
			return
		}
		switch m.Op {
		case opExec:
			p.exec(m, fds)
		case opSignal:
			CloseAll(fds...)
			p.signal(m)
		default:
			CloseAll(fds...)
			p.served <- fmt.Errorf("unknown operation %q", m.Op)
			return
		}
	}
}

// signal sends a signal to the process group of a program that still runs.
func (p *One) signal(m Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pid, id := range p.running {
		if id == m.ID {
			_ = unix.Kill(-pid, unix.Signal(m.Signal)) // gone meanwhile is as good
		}
	}
}

// reap waits for every child there is.
func (p *One) reap() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.ECHILD):
			<-p.forked
		case err == nil && (status.Exited() || status.Signaled()):
			p.exited(pid, status)
		}
	}
}

func (p *One) exited(pid int, status unix.WaitStatus) {
	p.mu.Lock()
	id, ok := p.running[pid]
	delete(p.running, pid)
	p.mu.Unlock()
	if !ok {
		return // an orphan
	}
	m := Message{Op: opExited, ID: id, Code: status.ExitStatus()}
	if status.Signaled() {
		m.Signal = int(status.Signal())
		m.Code = 128 + m.Signal
	}
	_ = p.wire.Send(m) // with the supervisor gone serve ends us
}
