package service

import (
	"errors"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"agentprocess/internal/sandbox"
)

// program is a process that does what a test says; it implements
// sandbox.Process.
type program struct {
	onSignal func(p *program, sig syscall.Signal) error
	mu       sync.Mutex
	signals  []syscall.Signal
	exit     sandbox.Exit
	err      error
	ended    chan struct{}
}

func newProgram(onSignal func(*program, syscall.Signal) error) *program {
	return &program{onSignal: onSignal, ended: make(chan struct{})}
}

func (p *program) Wait() (sandbox.Exit, error) {
	<-p.ended
	return p.exit, p.err
}

func (p *program) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	p.signals = append(p.signals, sig)
	p.mu.Unlock()
	return p.onSignal(p, sig)
}

func (p *program) Resize(sandbox.TTY) error { return nil }

// end ends the program; the first end counts.
func (p *program) end(exit sandbox.Exit, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.ended:
	default:
		p.exit, p.err = exit, err
		close(p.ended)
	}
}

func obeys(p *program, _ syscall.Signal) error {
	p.end(sandbox.Exit{Code: 130, Signal: syscall.SIGINT}, nil)
	return nil
}

func ignores(*program, syscall.Signal) error { return nil }

func unreachable(*program, syscall.Signal) error { return syscall.ESRCH }

func TestSupervisor(t *testing.T) {
	const never = time.Hour // after which a program ends by itself
	lost, bypassed := errors.New("connection lost"), errors.New("Bash ran unjudged")
	killed := sandbox.Exit{Code: 137, Signal: syscall.SIGKILL}
	tests := []struct {
		name     string
		onSignal func(*program, syscall.Signal) error
		lasts    time.Duration
		exit     sandbox.Exit
		err      error
		timeout  time.Duration
		stops    []time.Duration
		breaks   time.Duration // when a protection breaks; 0 is never
		hopeless time.Duration // from when on it is; 0 is never
		want     ending
		after    time.Duration // the program lasted this long
		asked    int           // how often it was asked to end
	}{
		{name: "ends by itself", onSignal: ignores, lasts: time.Minute, exit: sandbox.Exit{Code: 3}, want: ending{exit: sandbox.Exit{Code: 3}}, after: time.Minute},
		{name: "is lost", onSignal: ignores, lasts: time.Minute, err: lost, want: ending{err: lost}, after: time.Minute},
		{
			name: "obeys the time limit", onSignal: obeys, lasts: never, timeout: time.Minute, after: time.Minute, asked: 1,
			want: ending{exit: sandbox.Exit{Code: 130, Signal: syscall.SIGINT}, outcome: sandbox.OutcomeTimedOut, reason: "the time limit was reached"},
		},
		{
			name: "ignores the time limit", onSignal: ignores, lasts: never, timeout: time.Minute, after: time.Minute + graceTime, asked: 1,
			want: ending{exit: killed, outcome: sandbox.OutcomeTimedOut, reason: "the time limit was reached"},
		},
		{
			name: "obeys a person", onSignal: obeys, lasts: never, stops: []time.Duration{time.Second}, after: time.Second, asked: 1,
			want: ending{exit: sandbox.Exit{Code: 130, Signal: syscall.SIGINT}, outcome: sandbox.OutcomeStopped, reason: "stopped by a person"},
		},
		{
			name: "ignores a person", onSignal: ignores, lasts: never, stops: []time.Duration{time.Second}, after: time.Second + graceTime, asked: 1,
			want: ending{exit: killed, outcome: sandbox.OutcomeStopped, reason: "stopped by a person"},
		},
		{
			name: "ignores a person who insists", onSignal: ignores, lasts: never, stops: []time.Duration{time.Second, 3 * time.Second}, after: 3 * time.Second, asked: 1,
			want: ending{exit: killed, outcome: sandbox.OutcomeStopped, reason: "stopped by a person"},
		},
		{
			name: "cannot be asked", onSignal: unreachable, lasts: never, stops: []time.Duration{time.Second}, after: time.Second, asked: 1,
			want: ending{exit: killed, outcome: sandbox.OutcomeStopped, reason: "stopped by a person"},
		},
		{
			name: "gets round a protection", onSignal: ignores, lasts: never, breaks: time.Second, after: time.Second,
			want: ending{exit: killed, outcome: sandbox.OutcomePolicyBroken, reason: bypassed.Error()},
		},
		{
			name: "loses a protection while it stops", onSignal: ignores, lasts: never, stops: []time.Duration{time.Second}, breaks: 2 * time.Second, after: 2 * time.Second, asked: 1,
			want: ending{exit: killed, outcome: sandbox.OutcomePolicyBroken, reason: "Bash ran unjudged"},
		},
		{
			name: "has no credential that works", onSignal: obeys, lasts: never, hopeless: 90 * time.Second, after: 90 * time.Second, asked: 1,
			want: ending{exit: sandbox.Exit{Code: 130, Signal: syscall.SIGINT}, outcome: sandbox.OutcomeFailed, reason: needsAuth},
		},
		{
			name: "is hopeless and asked once", onSignal: ignores, lasts: never, hopeless: time.Second, after: time.Second + graceTime, asked: 1,
			want: ending{exit: killed, outcome: sandbox.OutcomeFailed, reason: needsAuth},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				p := newProgram(tt.onSignal)
				defer time.AfterFunc(tt.lasts, func() { p.end(tt.exit, tt.err) }).Stop()
				control, broken := NewControl(), make(chan error, 1)
				for _, at := range tt.stops {
					defer time.AfterFunc(at, control.Stop).Stop()
				}
				if tt.breaks > 0 {
					defer time.AfterFunc(tt.breaks, func() { broken <- bypassed }).Stop()
				}
				v := &supervisor{
					proc: p, kill: func() { p.end(killed, nil) }, timeout: after(tt.timeout), asked: control.asked(), broken: broken,
					hopeless: func() bool { return tt.hopeless > 0 && time.Since(begin) >= tt.hopeless },
				}
				if got := v.watch(); got != tt.want {
					t.Errorf("watch() = %+v, want %+v", got, tt.want)
				}
				if got := time.Since(begin); got != tt.after {
					t.Errorf("it lasted %s, want %s", got, tt.after)
				}
				if len(p.signals) != tt.asked {
					t.Errorf("it was signalled %v, want %d times", p.signals, tt.asked)
				}
			})
		})
	}
}

func TestControl(t *testing.T) {
	var none *Control
	if none.asked() != nil {
		t.Error("no Control asks for a stop")
	}
	c := NewControl()
	for range 5 {
		c.Stop() // never blocks
	}
	if got := len(c.asked()); got != 2 {
		t.Errorf("five stops count as %d, want 2", got)
	}
}
