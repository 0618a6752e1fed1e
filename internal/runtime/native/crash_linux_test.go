package native_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"agentprocess/internal/runtime/native"
	"agentprocess/internal/runtime/runtimetest"
	"agentprocess/internal/sandbox"
)

// superviseVerb makes the test binary a supervisor that is to be killed.
const superviseVerb = "__supervise"

// supervise starts a sandbox with programs that would live for ever, says the
// host process id of its PID 1, and waits to be killed.
func supervise(args []string) (bool, int) {
	if len(args) != 4 || args[1] != superviseVerb {
		return false, 0
	}
	ctx := context.Background()
	rt := native.New(native.Config{StateDir: args[2]})
	id, err := native.DefaultIdentity()
	if err != nil {
		return true, 3
	}
	return true, runtimetest.Supervise(ctx, rt, sandbox.Spec{ID: args[3], Identity: id, Home: "/home/agent", Network: sandbox.NetworkGateway})
}

// children are the host process ids of a process's children.
func children(pid int) []int {
	var all []int
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	for _, name := range stats {
		data, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(data), ") ")
		f := strings.Fields(rest)
		if len(f) > 1 && f[1] == strconv.Itoa(pid) {
			if child, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
				all = append(all, child)
			}
		}
	}
	return all
}

// alive reports whether a process runs: one that is dead and not yet reaped by
// the host's init does not.
func alive(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

func TestSupervisorKilled(t *testing.T) {
	newRuntime(t) // or skip
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	state, id := t.TempDir(), "killed-"+strconv.Itoa(os.Getpid())
	proc, _ := runtimetest.Supervisor(t, superviseVerb, state, id)
	inits := children(proc.PID())
	if len(inits) != 1 {
		t.Fatalf("supervisor has children %v", inits)
	}
	all := inits
	for i := 0; i < len(all); i++ {
		all = append(all, children(all[i])...)
	}
	if len(all) < 3 {
		t.Fatalf("only %v run", all)
	}
	before := time.Now()
	if err := proc.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = proc.Wait() // killed
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for _, pid := range all {
		for alive(pid) {
			select {
			case <-ctx.Done():
				t.Fatalf("process %d of %v is left", pid, all)
			case <-tick.C:
			}
		}
	}
	t.Logf("%d processes gone after %v", len(all), time.Since(before))
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), sandbox.RunDir) {
		t.Errorf("mounts are left: %v", err)
	}
	for range 2 {
		if err := native.New(native.Config{StateDir: state}).Cleanup(ctx, id); err != nil {
			t.Error(err)
		}
	}
	left, err := os.ReadDir(state)
	if err != nil || len(left) > 0 {
		t.Errorf("state is left: %v, %v", left, err)
	}
	err = filepath.WalkDir("/sys/fs/cgroup", func(name string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, "agent-process-"+id) {
			t.Errorf("cgroup %q is left", name)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestManyAtOnce starts 20 sandboxes at the same instant.
func TestManyAtOnce(t *testing.T) {
	rt, id := newRuntime(t)
	done := make(chan error, 20)
	for i := range cap(done) {
		go func() {
			done <- runtimetest.Once(t.Context(), runtimetest.Subject{Runtime: rt, Identity: id}, "many-"+strconv.Itoa(os.Getpid())+"-"+strconv.Itoa(i))
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
