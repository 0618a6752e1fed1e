package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"agentprocess/internal/execx"
)

// workScript is an agent that looks at its tree, and then changes 100 files and
// commits them.
const workScript = `a=$(date +%s%N); git status --porcelain; b=$(date +%s%N); echo "status $((b - a))"
for i in $(seq 0 99); do echo changed > d$i/f${i}00; done; git add -A; git commit -qm changed`

// workspaceRows measures, on 20,000 files of 400 MB, what one more agent costs
// beside `git worktree add`: its workspace, its first look at the tree, bringing
// its commit home, and disk.
func (b *bench) workspaceRows(ctx context.Context) error {
	const files = 20_000
	dir, err := b.repository(ctx, files)
	if err != nil {
		return err
	}
	var status, imported contender
	count := 0
	ready := &contender{name: "workspace ready", once: func(ctx context.Context) (time.Duration, error) {
		count++
		run, err := b.oneRun(ctx, dir, "ws"+strconv.Itoa(count))
		if err == nil && count > 1 { // the first one fills the cache
			status.times, imported.times = append(status.times, run.status), append(imported.times, run.saved)
		}
		return run.workspace, err
	}}
	peer := b.worktreeAdd(dir, files)
	peer.rounds, ready.rounds = 3, min(b.rounds, 10)
	race(ctx, b.rounds, []*contender{peer, ready})
	if err := errors.Join(peer.err, ready.err); err != nil {
		return err
	}
	status.name, imported.name = "first git status inside", "commit of 100 files brought home"
	table("one more agent, 20,000 files of 400 MB", ready, []*contender{peer, ready, &status, &imported})
	disk, err := b.diskOfAgent(ctx, dir)
	if err != nil {
		return err
	}
	fmt.Printf("disk of one more agent before it writes: %.2f MB\n", float64(disk)/(1<<20))
	verdict("workspace beside git worktree add", float64(ready.median())/float64(peer.median()), 1.0/50)
	verdict("first git status inside, ms", float64(status.median())/float64(time.Millisecond), 500)
	verdict("import of a 100-file change, ms", float64(imported.median())/float64(time.Millisecond), 300)
	verdict("MB of disk of one more agent", float64(disk)/(1<<20), 5)
	return nil
}

// agentRun is how long the parts of a run took.
type agentRun struct{ workspace, status, saved time.Duration }

// oneRun runs the work script and reads its record.
func (b *bench) oneRun(ctx context.Context, dir, name string) (agentRun, error) {
	var run agentRun
	out, err := execx.Output(ctx, execx.Cmd{
		Argv: []string{b.binary, "start", name, "change 100 files", "--agent", "exec", "--json", "--", "/bin/sh", "-ec", workScript},
		Dir:  dir, Env: b.env(),
	})
	if err != nil {
		return run, err
	}
	for line := range strings.Lines(string(out)) {
		var e struct {
			Kind string `json:"kind"`
			Data struct {
				Name, Text string
				Duration   time.Duration `json:"duration_ns"`
				Stat       struct{ Files int }
			} `json:"data"`
		}
		if json.Unmarshal([]byte(line), &e) != nil {
			continue
		}
		switch {
		case e.Kind == "phase" && e.Data.Name == "workspace":
			run.workspace = e.Data.Duration
		case e.Kind == "phase" && e.Data.Name == "saved":
			run.saved = e.Data.Duration
		case e.Kind == "output" && strings.HasPrefix(e.Data.Text, "status "):
			ns, err := strconv.ParseInt(strings.TrimSpace(strings.TrimPrefix(e.Data.Text, "status ")), 10, 64)
			if err != nil {
				return run, err
			}
			run.status = time.Duration(ns)
		case e.Kind == "commit" && e.Data.Stat.Files != 100:
			return run, fmt.Errorf("%d files came home", e.Data.Stat.Files)
		}
	}
	if run.workspace == 0 || run.status == 0 || run.saved == 0 {
		return run, fmt.Errorf("the record of %s lacks a part: %+v", name, run)
	}
	return run, nil
}

// diskOfAgent is what the run directory of an agent takes that has done nothing.
func (b *bench) diskOfAgent(ctx context.Context, dir string) (size int64, err error) {
	marker := filepath.Join(b.dir, "disk")
	events, err := os.OpenFile(marker, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return 0, err
	}
	p, err := execx.Start(ctx, execx.Cmd{
		Argv: []string{b.binary, "start", "disk", "wait", "--agent", "exec", "--json", "--", "/bin/sh", "-c", "echo ready; exec sleep 300"},
		Dir:  dir, Env: b.env(), Stdout: events,
	})
	if err != nil {
		return 0, errors.Join(err, events.Close())
	}
	defer func() {
		_ = p.Signal(syscall.SIGINT) // it may have ended by itself
		_ = p.Wait()                 // stopped: its exit status says so
	}()
	if err := errors.Join(waitFor(ctx, marker, `"ready"`), events.Close()); err != nil {
		return 0, err
	}
	runs := filepath.Join(b.dir, "home", ".local", "state", "agent-process", "runs")
	err = filepath.WalkDir(runs, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			size += st.Blocks * 512
		}
		return nil
	})
	if err == nil && size == 0 {
		err = fmt.Errorf("no run directory in %q", runs)
	}
	return size, err
}
