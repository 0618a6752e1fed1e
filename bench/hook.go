package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"agentprocess/internal/execx"
)

const (
	// hookVerb makes the bench the agent that calls hooks, inside a sandbox.
	hookVerb = "hook-load"
	// hookAgents is how many agents call at once.
	hookAgents = 20
	// hookSettle is how long all agents have until the first of them calls, in
	// starts of one.
	hookSettle = 30
	// hookAlone is how long one agent calls alone.
	hookAlone = 8 * time.Second
	// hookWindow is how long each contender has before the next one's turn.
	hookWindow = 2 * time.Second
	// hookTurns is how often each contender has its turn, in either way.
	hookTurns = 3
	// hookPace is how often an agent calls when they call independently, and
	// hookBurst when all call at the same moment.
	hookPace  = 200 * time.Millisecond
	hookBurst = 500 * time.Millisecond
)

// The ways in which calls come.
const (
	wayAlone = "alone"
	wayPaced = "20 agents, each 5 times a second"
	wayBurst = "20 agents at the same moment"
)

// hookContender is a program that could be an agent's hook.
type hookContender struct {
	Name string
	argv []string
	exit int  // what it ends with
	mute bool // gets nothing on stdin
}

// hookContenders are the programs; inside, ours is at a fixed place.
func hookContenders() []hookContender {
	ours := []string{"/opt/agent-process/agent-process", "hook"}
	list := []hookContender{
		{Name: "agent-process hook", argv: ours},
		{Name: "bash hook that allows all", argv: []string{"/bin/bash", "-c", "cat >/dev/null; exit 0"}},
		{Name: "agent-process hook, start alone", argv: ours, exit: 2, mute: true}, // asks nobody: there is no question
	}
	if node, err := exec.LookPath("node"); err == nil {
		read := "process.stdin.resume();process.stdin.on('end',()=>process.exit(0))"
		list = append(list, hookContender{Name: "node hook that allows all", argv: []string{node, "-e", read}})
	}
	return list
}

// hookTimes is what one agent measured: how the calls came, whose they were,
// and how long they took.
type hookTimes struct {
	Way, Name string
	Times     []time.Duration
	Errors    int
}

// hookVerdict measures a whole verdict from the agent's side: start of the hook
// process, question, decision, record, answer, end. The agents are real runs
// with their own supervisors and the one database.
func (b *bench) hookVerdict(ctx context.Context) error {
	if _, err := exec.LookPath("node"); err != nil {
		fmt.Fprintln(os.Stderr, "bench: the node hook is left out:", err)
	}
	dir, err := b.repository(ctx, 50)
	if err != nil {
		return err
	}
	if err := b.addSelf(ctx, dir); err != nil {
		return err
	}
	one, err := b.untilEnd(ctx, dir)
	if err != nil {
		return err
	}
	begin := time.Now().Add(5*time.Second + hookSettle*one)
	outputs := make([][]byte, hookAgents)
	failures := make([]error, hookAgents)
	var all sync.WaitGroup
	for i := range hookAgents {
		all.Go(func() {
			outputs[i], failures[i] = execx.Output(ctx, execx.Cmd{
				Argv: []string{
					b.binary, "start", "hook" + strconv.Itoa(i), "call", "--agent", "exec", "--json", "--",
					"./bench-agent", hookVerb, strconv.Itoa(i), strconv.FormatInt(begin.UnixNano(), 10),
				},
				Dir: dir, Env: b.env(),
			})
			if execx.ExitCode(failures[i]) == 3 { // no changes, which is right
				failures[i] = nil
			}
		})
	}
	all.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	return reportHooks(outputs)
}

// untilEnd is how long an agent takes that does nothing.
func (b *bench) untilEnd(ctx context.Context, dir string) (time.Duration, error) {
	start := time.Now()
	_, err := execx.Output(ctx, execx.Cmd{
		Argv: []string{b.binary, "start", "hooks", "nothing", "--agent", "exec", "--json", "--", "/bin/true"}, Dir: dir, Env: b.env(),
	})
	if execx.ExitCode(err) == 3 {
		err = nil
	}
	return time.Since(start), err
}

// addSelf commits this program to the repository, so that agents have it.
func (b *bench) addSelf(ctx context.Context, dir string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"cp", exe, filepath.Join(dir, "bench-agent")},
		{"git", "add", "bench-agent"},
		{"git", "commit", "-q", "-m", "agent"},
	} {
		if err := execx.Run(ctx, execx.Cmd{Argv: args, Dir: dir, Env: b.env()}); err != nil {
			return err
		}
	}
	return nil
}

// callHooks is the agent: number args[0] of those that begin at args[1].
func callHooks(ctx context.Context, args []string) error {
	index, err1 := strconv.Atoi(args[0])
	nano, err2 := strconv.ParseInt(args[1], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	a := hookAgent{index: index, seen: map[string]*hookTimes{}}
	at := time.Unix(0, nano)
	if index == 0 {
		until(ctx, at)
		for range 60 { // bounded by hookAlone too
			for _, c := range hookContenders() {
				if time.Since(at) < hookAlone {
					a.call(ctx, wayAlone, c)
				}
			}
		}
	}
	at = at.Add(hookAlone)
	for range hookTurns {
		for _, c := range hookContenders() {
			a.window(ctx, c, hookWay{wayPaced, at, hookPace, rand.N(hookPace)})
			a.window(ctx, c, hookWay{wayBurst, at.Add(hookWindow), hookBurst, 0})
			at = at.Add(2 * hookWindow)
		}
	}
	for _, t := range a.seen {
		line, err := json.Marshal(t)
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", line)
	}
	return nil
}

// hookAgent is one agent that measures.
type hookAgent struct {
	index, calls int
	seen         map[string]*hookTimes
}

// hookWay is how calls come in one window.
type hookWay struct {
	name         string
	at           time.Time
	pace, offset time.Duration
}

// window calls c for a window. The last stretch is left for calls that take
// long.
func (a *hookAgent) window(ctx context.Context, c hookContender, w hookWay) {
	for next := w.at.Add(w.offset); next.Before(w.at.Add(hookWindow - hookPace)); next = next.Add(w.pace) {
		if time.Since(next) < w.pace { // what was missed is not made up for
			until(ctx, next)
			a.call(ctx, w.name, c)
		}
	}
}

// until waits until at.
func until(ctx context.Context, at time.Time) {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// call runs a hook as the CLI does, to its end.
func (a *hookAgent) call(ctx context.Context, way string, c hookContender) {
	a.calls++
	t := a.seen[way+c.Name]
	if t == nil {
		t = &hookTimes{Way: way, Name: c.Name}
		a.seen[way+c.Name] = t
	}
	cmd := execx.Cmd{Argv: c.argv, Env: os.Environ()}
	if !c.mute {
		cmd.Stdin = strings.NewReader(fmt.Sprintf(`{"session_id":"bench","transcript_path":"/home/agent/.claude/projects/x/bench.jsonl","cwd":"/","permission_mode":"bypassPermissions",`+
			`"hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"go test ./... | tail -20","description":"Run the tests"},"tool_use_id":"toolu_bench_%d_%d"}`, a.index, a.calls))
	}
	start := time.Now()
	err := execx.Run(ctx, cmd)
	took := time.Since(start)
	if err != nil && execx.ExitCode(err) != c.exit || err == nil && c.exit != 0 {
		t.Errors++
		return
	}
	t.Times = append(t.Times, took)
}

// reportHooks prints what the agents measured, and whether it is enough.
func reportHooks(outputs [][]byte) error {
	merged := map[string]*hookTimes{}
	for _, out := range outputs {
		for line := range strings.Lines(string(out)) {
			var e struct {
				Kind string                `json:"kind"`
				Data struct{ Text string } `json:"data"`
			}
			var t hookTimes
			if json.Unmarshal([]byte(line), &e) != nil || e.Kind != "output" || json.Unmarshal([]byte(e.Data.Text), &t) != nil {
				continue
			}
			m := merged[t.Way+t.Name]
			if m == nil {
				m = &hookTimes{}
				merged[t.Way+t.Name] = m
			}
			m.Times, m.Errors = append(m.Times, t.Times...), m.Errors+t.Errors
		}
	}
	contenders := hookContenders()
	for _, way := range []string{wayAlone, wayPaced, wayBurst} {
		fmt.Printf("\nhook verdict, whole processes inside: %s\n", way)
		reference := merged[way+contenders[1].Name]
		for _, c := range contenders {
			t := merged[way+c.Name]
			if t == nil || reference == nil || len(t.Times)*len(reference.Times) == 0 {
				return fmt.Errorf("%s: no measurements of %s: is this machine too busy?", way, c.Name)
			}
			fmt.Printf("%34s  median %5s ms  p95 %5s ms  x bash %.2f  %d runs", c.Name, ms(quantile(t.Times, 50)), ms(quantile(t.Times, 95)),
				float64(quantile(t.Times, 50))/float64(quantile(reference.Times, 50)), len(t.Times))
			if t.Errors > 0 {
				fmt.Printf("  %d FAILED", t.Errors)
			}
			fmt.Println()
		}
	}
	inMS := func(way string, i, q int) float64 {
		return float64(quantile(merged[way+contenders[i].Name].Times, q)) / float64(time.Millisecond)
	}
	verdict("the client's start, ms", inMS(wayAlone, 2, 50), 5)
	verdict("a verdict with 20 agents, p95 ms", inMS(wayPaced, 0, 95), 20)
	verdict("the same against a bash hook's p95 (ratio; on a busy machine the number that counts)", inMS(wayPaced, 0, 95)/inMS(wayPaced, 1, 95), 3)
	verdict("against a bash hook, alone (ratio)", inMS(wayAlone, 0, 50)/inMS(wayAlone, 1, 50), 3)
	return nil
}

// quantile is the q-th of a hundred parts of times.
func quantile(times []time.Duration, q int) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[(len(sorted)-1)*q/100]
}
