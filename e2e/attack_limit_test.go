package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"agentprocess/internal/sandbox"
)

// TestAttackLimits uses up what there is to use up.
func TestAttackLimits(t *testing.T) { //nolint:tparallel // alone: where its world listens, no other can
	w := newWorld(t)
	for _, tt := range []struct {
		name, says string
		flags      []string
		run        string
		limit      string // must be named with what enforces it
		outcome    sandbox.Outcome
		reason     string
		status     int
	}{
		{
			"memory", saysMemory,
			[]string{"--memory", "128MB"},
			`exec ./probe __attack memory 600`,
			"memory", sandbox.OutcomeOutOfMemory, `--memory`, 9,
		},
		{
			"memory, by a child", saysMemory,
			[]string{"--memory", "128MB"},
			`touch work.txt; ./probe __attack memory 600; exit 1`,
			"memory", sandbox.OutcomeOutOfMemory, `--memory`, 9,
		},
		{
			"processes", saysLimits,
			[]string{"--pids", "64"},
			`touch work.txt; ./probe __attack processes 500`,
			"pids", sandbox.OutcomeDone, ``, 0,
		},
		{
			"fork bomb", saysLimits,
			[]string{"--pids", "64", "--timeout", "2s"},
			`touch work.txt; (f() { f | f & }; f) 2>/dev/null & exec sleep 60`,
			"pids", sandbox.OutcomeTimedOut, `time limit`, 7,
		},
		{
			"disk", saysLimits,
			[]string{"--disk", "16MB"},
			`for i in 1 2 3 4 5 6 7 8 9; do head -c 4000000 /dev/zero > big$i; done; sleep 60`,
			"disk", sandbox.OutcomeFailed, `--disk`, 5,
		},
		{
			"disk, in the home", saysLimits,
			[]string{"--disk", "16MB"},
			`for i in 1 2 3 4 5 6 7 8 9; do head -c 4000000 /dev/zero > ~/big$i; done; sleep 60`,
			"disk", sandbox.OutcomeFailed, `--disk`, 5,
		},
		{
			"disk, in the git directory", saysLimits,
			[]string{"--disk", "16MB"},
			`for i in 1 2 3 4 5 6 7 8 9; do head -c 4000000 /dev/urandom | git hash-object -w --stdin; done; sleep 60`,
			"disk", sandbox.OutcomeFailed, `--disk`, 5,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newAttacked(t, nil)
			r := h.begin("hog", tt.flags, "sh", "-c", tt.run)
			inside := func() []int { return descendants(r.cmd.Process.Pid) }
			before := inside()
			r.end()
			got := r.outcome()
			if got.Outcome != tt.outcome || !strings.Contains(got.Reason, tt.reason) || r.status != tt.status {
				t.Errorf("%s: status %d, outcome %q: %s\n%s%s", tt.says, r.status, got.Outcome, got.Reason, r.transcript(), r.stderr.String())
			}
			if strings.Contains(tt.run, "work.txt") {
				h.git("show", "agent--hog:work.txt")
			}
			if detail := r.phase("sandbox"); !strings.Contains(detail, tt.limit+" by ") {
				t.Errorf("%s: it says %q", saysLimits, detail)
			}
			eventually(t, time.Second, "all processes are gone", func() []string { return alive(before) })
		})
	}
	t.Cleanup(func() { w.check(t) })
}

// TestAttackProcessors burns processors: less than it burns without a limit is
// no proof, so that the ratio is held against the limit itself.
func TestAttackProcessors(t *testing.T) {
	h := newAttacked(t, nil)
	r := h.start("burn", []string{"--cpus", "0.5"}, "./probe", "burn")
	detail := r.phase("sandbox")
	by := regexp.MustCompile(`cpus by ([^,]+)`).FindStringSubmatch(detail)
	if by == nil {
		t.Fatalf("%s: it says %q", saysLimits, detail)
	}
	m := regexp.MustCompile(`percent: (\d+)`).FindStringSubmatch(r.transcript())
	if m == nil {
		t.Fatalf("output %q", r.transcript())
	}
	used, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	most := 70 // half a processor, and what a period rounds up
	if !strings.Contains(by[1], "cgroup") {
		most = 130 // whole processors are all that can be had without
	}
	if used > most {
		t.Errorf("%s: %d%% of a processor were used with --cpus 0.5 (by %s)", saysLimits, used, by[1])
	}
}

// TestAttackSupervisorDies kills the supervisor under agents that do all they
// can to outlive it.
func TestAttackSupervisorDies(t *testing.T) { //nolint:tparallel // alone: where its world listens, no other can
	w := newWorld(t)
	for _, tt := range []struct{ name, run string }{
		{"an agent that waits", `touch work.txt; echo ready; sleep 1000`},
		{"daemons", `touch work.txt; (setsid sh -c 'trap "" HUP TERM INT; sleep 1000' </dev/null >/dev/null 2>&1 &); (nohup sh -c '(sleep 1000 &)' >/dev/null 2>&1 &); trap "" HUP TERM INT PIPE; echo ready; while :; do sleep 1; done`},
		{"many processes", `touch work.txt; for i in $(seq 100); do setsid sleep 1000 </dev/null >/dev/null 2>&1 & done; echo ready; sleep 1000`},
		{"a server and its clients", `touch work.txt; ./probe serve tcp 127.0.0.1:8080 & ./probe serve unix @neighbour >/dev/null & echo ready; wait`},
		{"a stopped agent", `touch work.txt; echo ready; kill -STOP $$`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newAttacked(t, nil)
			r := h.begin("orphan", nil, "sh", "-c", tt.run)
			r.waitFor("ready")
			family := descendants(r.cmd.Process.Pid)
			if len(family) < 2 {
				t.Fatalf("%d processes below the supervisor", len(family))
			}
			if err := r.cmd.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			for e := range r.lines { // until the output ends
				r.events = append(r.events, e)
			}
			eventually(t, time.Second, saysDeath, func() []string { return append(alive(family), mountsOf(h.dir)...) })
			_ = r.cmd.Wait() // killed above
			r.cancel()
			if out := h.product("cleanup"); !strings.Contains(out, "orphan") {
				t.Errorf("cleanup says %q", out)
			}
			h.git("show", "agent--orphan:work.txt")
			if out := h.git("worktree", "list"); strings.Contains(out, "orphan") {
				t.Errorf("worktrees: %s", out)
			}
			if left := leftovers(h.dir); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
	t.Cleanup(func() { w.check(t) })
}

// TestAttackNeighbour lets one agent look for another that runs at the same
// time on the same repository.
func TestAttackNeighbour(t *testing.T) {
	w := newWorld(t)
	h := newAttacked(t, nil)
	const secret = "secret of a neighbour"
	first := h.begin("first", nil, "sh", "-c", `
for d in /tmp /var/tmp /dev/shm /run "$HOME" .; do echo "`+secret+`" > $d/neighbour; done
./probe serve unix /tmp/neighbour.sock & ./probe serve unix @neighbour & ./probe serve tcp 127.0.0.1:8080 &
./probe serve tcp 127.0.0.1:8081 | sed -u 's/^/all /'`)
	first.waitFor("all serving")
	pid := strconv.Itoa(descendants(first.cmd.Process.Pid)[0])
	_, _ = h.assault("second", []string{"--env", "HOSTDIR=" + h.dir, "--env", "OTHER=" + pid}, []attack{
		{saysPrivate, "files of a neighbour", `for d in /tmp /var/tmp /dev/shm /run "$HOME" .; do [ -e $d/neighbour ] && echo $d; done; grep -rl "secret of a neigh""bour" /tmp /var/tmp /dev/shm /run /home . 2>/dev/null | grep -v attacks.json; echo end`, `end`},
		{saysPrivate, "tree of a neighbour", `ls "$HOSTDIR/worktrees" | grep -v -x second; ls -d "$HOSTDIR/worktrees/first" "$HOSTDIR/home/.local/state"`, ""},
		{saysPrivate, "sockets of a neighbour", `./probe raw unix /tmp/neighbour.sock x || ./probe raw unix @neighbour x || ./probe raw tcp 127.0.0.1:8080 x || ./probe raw tcp 127.0.0.1:8081 x`, ""},
		{saysNamespaces, "processes of a neighbour", `kill -9 "$OTHER" || cat /proc/*/cmdline | tr '\0' ' ' | grep -E 'serve (unix|tcp)'`, ""},
		{saysHostGit, "branch of a neighbour", `git branch -a | grep first || git show agent--first:neighbour`, ""},
	})
	if err := first.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if got := first.end().outcome(); got.Outcome != sandbox.OutcomeStopped {
		t.Errorf("the neighbour: %+v\n%s", got, first.stderr.String())
	}
	if got := h.git("show", "agent--first:neighbour"); got != secret {
		t.Errorf("the neighbour's work: %q", got)
	}
	w.check(t)
}

// descendants are the processes below one, children first.
func descendants(pid int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, name := range stats {
		data, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		_, after, _ := strings.Cut(string(data), ") ")
		fields := strings.Fields(after)
		id, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil || len(fields) < 2 || fields[0] == "Z" {
			continue
		}
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			children[parent] = append(children[parent], id)
		}
	}
	var all []int
	for queue := children[pid]; len(queue) > 0; queue = queue[1:] {
		all = append(all, queue[0])
		queue = append(queue, children[queue[0]]...)
	}
	return all
}

// alive says which of some processes are still there.
func alive(pids []int) []string {
	var left []string
	for _, pid := range pids {
		if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !strings.Contains(string(data), ") Z ") {
			left = append(left, "process: "+string(data))
		}
	}
	return left
}

// mountsOf are the mounts of any process that have to do with a directory.
func mountsOf(dir string) []string {
	var left []string
	names, _ := filepath.Glob("/proc/[0-9]*/mountinfo") // the pattern is well-formed
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(data), dir) {
			left = append(left, name)
		}
	}
	return left
}
