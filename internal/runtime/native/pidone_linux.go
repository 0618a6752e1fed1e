package native

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

// pidOne is PID 1 of a sandbox at work: it starts programs from its locked
// thread and reaps everything.
type pidOne struct {
	wire     *wire
	landlock int
	open     chan struct{} // closed when programs may be started
	served   chan error
	// forked wakes the reaper when there is a child again.
	forked chan struct{}
	oomFD  int // our own oom_score_adj

	mu      sync.Mutex
	running map[int]int // pid to id of the main processes
}

// newPidOne ends the set-up: after it nothing here has a capability. No program
// is started before run.
func newPidOne(w *wire, cfg *initConfig, lim *innerLimits) (*pidOne, error) {
	p := &pidOne{wire: w, open: make(chan struct{}), served: make(chan error, 1), forked: make(chan struct{}, 1), running: map[int]int{}}
	fd, err := unix.Open("/proc/self/oom_score_adj", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, step("proc", err)
	}
	p.oomFD = fd
	if err := lim.apply(); err != nil {
		return nil, step("limits", err)
	}
	unix.Umask(0o022)
	locked := make(chan error, 1)
	go p.serve(cfg, lim, locked)
	if err := <-locked; err != nil {
		return nil, err
	}
	if err := dropAllCapabilities(); err != nil {
		return nil, step("capabilities", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, step("dumpable", err)
	}
	return p, nil
}

// run takes orders. It returns when the supervisor is gone, and PID 1 with it.
// watchMemory, in bytes, is a limit that nobody else enforces; 0 is none.
func (p *pidOne) run(watchMemory int64) error {
	startThreads(spareThreads)
	if err := resetSignals(); err != nil {
		return step("signals", err)
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
func (p *pidOne) serve(cfg *initConfig, lim *innerLimits, locked chan<- error) {
	runtime.LockOSThread() // and never unlocked: the thread is not fit for anything else
	abi, err := lockThread(writablePaths(cfg), lim)
	p.landlock = abi
	locked <- err
	if err != nil {
		return
	}
	<-p.open
	for {
		m, fds, err := p.wire.recv()
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
			closeAll(fds...)
			p.signal(m)
		default:
			closeAll(fds...)
			p.served <- fmt.Errorf("unknown operation %q", m.Op)
			return
		}
	}
}

// signal sends a signal to the process group of a program that still runs.
func (p *pidOne) signal(m message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pid, id := range p.running {
		if id == m.ID {
			_ = unix.Kill(-pid, unix.Signal(m.Signal)) // gone meanwhile is as good
		}
	}
}

// reap waits for every child there is.
func (p *pidOne) reap() {
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

func (p *pidOne) exited(pid int, status unix.WaitStatus) {
	p.mu.Lock()
	id, ok := p.running[pid]
	delete(p.running, pid)
	p.mu.Unlock()
	if !ok {
		return // an orphan
	}
	m := message{Op: opExited, ID: id, Code: status.ExitStatus()}
	if status.Signaled() {
		m.Signal = int(status.Signal())
		m.Code = 128 + m.Signal
	}
	_ = p.wire.send(m) // with the supervisor gone serve ends us
}
