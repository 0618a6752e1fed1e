package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"agentprocess/internal/execx"
)

// idleAgents is how many agents the memory section keeps at once.
const idleAgents = 10

// idleMemory measures what an agent that does nothing costs: the supervisor
// and its sandbox, without the agent's own process.
func (b *bench) idleMemory(ctx context.Context) error {
	dir, err := b.repository(ctx, 100)
	if err != nil {
		return err
	}
	var procs []*execx.Process
	defer func() {
		for _, p := range procs {
			_ = p.Signal(syscall.SIGINT) // it may have ended by itself
			_ = p.Wait()                 // stopped: its exit status says so
		}
	}()
	var total int64
	for i := range idleAgents {
		marker := filepath.Join(b.dir, "idle-"+strconv.Itoa(i))
		events, err := os.OpenFile(marker, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		p, err := execx.Start(ctx, execx.Cmd{
			Argv: []string{b.binary, "start", "idle" + strconv.Itoa(i), "wait", "--agent", "exec", "--json", "--", "/bin/sh", "-c", "echo ready; exec sleep 300"},
			Dir:  dir, Env: b.env(), Stdout: events,
		})
		if err != nil {
			return errors.Join(err, events.Close())
		}
		procs = append(procs, p)
		if err := errors.Join(waitFor(ctx, marker, `"ready"`), events.Close()); err != nil {
			return err
		}
	}
	for _, p := range procs {
		pss, err := treePSS(p.PID())
		if err != nil {
			return err
		}
		total += pss
	}
	perAgent := float64(total) / idleAgents / (1 << 20)
	fmt.Printf("\nmemory of %d idle agents: %.1f MiB PSS each, supervisor and sandbox\n", idleAgents, perAgent)
	verdict("MiB PSS per idle agent", perAgent, 25)
	return nil
}

// waitFor waits, at most 20 s, until a file holds a text.
func waitFor(ctx context.Context, path, text string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.Contains(string(data), text) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%q never said %s", path, text)
		case <-tick.C:
		}
	}
}

// treePSS adds up the proportional set sizes of a process and its
// descendants, in bytes, leaving out the agent itself (sleep).
func treePSS(pid int) (int64, error) {
	var sum int64
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err == nil && strings.TrimSpace(string(comm)) != "sleep" {
		sum, err = pss(pid)
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return 0, nil // a git that has done its work meanwhile
	}
	if err != nil {
		return 0, err
	}
	children, err := children(pid)
	if err != nil {
		return 0, err
	}
	for _, child := range children {
		s, err := treePSS(child)
		if err != nil {
			return 0, err
		}
		sum += s
	}
	return sum, nil
}

// pss is the proportional set size of one process, in bytes (proc(5)).
func pss(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no Pss of process %d", pid)
}

// children lists a process's children, those of all its threads.
func children(pid int) ([]int, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for field := range strings.FieldsSeq(string(data)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				return nil, err
			}
			pids = append(pids, child)
		}
	}
	return pids, nil
}
