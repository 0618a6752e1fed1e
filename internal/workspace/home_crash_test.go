//go:build linux

package workspace

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"agentprocess/internal/sandbox"
)

// homeSpec is what the helper "home" is told.
type homeSpec struct {
	Dir, StateDir, CacheDir string
	Env                     []string
	How                     How // or "apply", "apply-index", "checkout"
}

func (s homeSpec) run(ctx context.Context, r *Repository) error {
	switch s.How {
	case howRemove, howRewind, howUndo:
		return s.deed(ctx, r)
	case howResolve:
		return s.rebase(ctx, r)
	case "apply", "apply-index":
		_, err := r.Apply(ctx, ApplyOptions{Name: "docs", Index: s.How == "apply-index"})
		return err
	case "checkout":
		_, err := r.Checkout(ctx, "docs")
		return err
	default:
		_, err := r.Merge(ctx, MergeOptions{Name: "docs", How: s.How, Message: Message{Subject: "Merge"}})
		return err
	}
}

// homeMain is a merge in a process of its own, to be killed.
func homeMain() error {
	var s homeSpec
	if err := json.Unmarshal([]byte(os.Getenv("HOME_SPEC")), &s); err != nil {
		return err
	}
	ctx := context.Background()
	r, err := Open(ctx, s.Dir, Config{StateDir: s.StateDir, CacheDir: s.CacheDir, Environ: s.Env, Now: testTime})
	if err != nil {
		return err
	}
	return s.run(ctx, r)
}

// homeKillingGit is a git that kills whoever calls it at the n-th call that writes:
// after it has done its work, or, with half, in the midst of writing files.
const homeKillingGit = `#!/bin/sh
case " $* " in
*" fast-import "*|*" update-index "*|*" read-tree "*|*" update-ref "*|*" symbolic-ref "*) ;;
*) exec %[1]q "$@" ;;
esac
echo "$*" >> %[2]q
if [ "$(wc -l < %[2]q)" -ne %[3]d ]; then exec %[1]q "$@"; fi
if %[4]t; then
	printf 'package changed\n' > %[5]q/main.go
	rm %[5]q/gone.txt
else
	%[1]q "$@"
fi
kill -9 $PPID
`

// The supervisor of a merge is killed after each step that writes, and in the
// midst of writing files: nothing of the person's is lost, the next try brings
// all of the work home, and undo takes all of it back.
func TestKilledOnTheWayHome(t *testing.T) {
	t.Parallel()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	template := homeFixture(t)
	situations()["advanced"](template)
	situations()["dirty-disjoint"](template)
	for _, how := range []How{HowMerge, "apply", "checkout"} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			for step, killed := 1, true; killed; step++ {
				if step > 20 {
					t.Fatalf("%s does not come to an end", how)
				}
				var last string
				killed, last = template.copy(t).killHome(t, git, how, step, false)
				if killed && strings.Contains(last, " read-tree -m -u ") {
					template.copy(t).killHome(t, git, how, step, true)
				}
			}
		})
	}
}

// killHome kills one command at a step, and checks what is left. It says
// whether there was such a step, and the call of git that was it.
func (f *fixture) killHome(t *testing.T, git string, how How, step int, half bool) (killed bool, last string) {
	t.Helper()
	shim, log := filepath.Join(f.root, "shim"), filepath.Join(f.root, "calls")
	if err := os.Mkdir(shim, 0o755); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf(homeKillingGit, git, log, step, half, f.dir)
	if err := os.WriteFile(filepath.Join(shim, "git"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	before, mine, branch := withoutJournal(f.everything()), f.mine(), f.git("rev-parse", "agent--docs")
	spec := homeSpec{Dir: f.dir, StateDir: f.cfg.StateDir, CacheDir: f.cfg.CacheDir, How: how}
	killed = f.runKilled(t, spec, shim)
	calls, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(calls)), "\n")
	last = lines[len(lines)-1]
	if got := f.mine(); got != mine {
		t.Errorf("killed after %s: what is the person's was\n%s\nand is\n%s", last, mine, got)
	}
	if got := f.git("rev-parse", "agent--docs"); got != branch {
		t.Errorf("killed after %s: the branch is at %s", last, got)
	}
	f.recoverHome(t, spec, strconv.Quote(last), before)
	return killed, last
}

// runKilled runs spec in a process of its own, whose git is the one in a
// directory, and says whether that killed it.
func (f *fixture) runKilled(t *testing.T, spec homeSpec, bin string) (killed bool) {
	t.Helper()
	path := "PATH=" + bin + ":" + os.Getenv("PATH")
	spec.Env = append([]string{path}, f.env[1:]...)
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = []string{helperEnv + "=home", "HOME_SPEC=" + string(data), path}
	out, err := cmd.CombinedOutput()
	killed = err != nil && cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	if err != nil && !killed {
		t.Fatalf("%v: %s", err, out)
	}
	return killed
}

// recoverHome does it again, and takes it back.
func (f *fixture) recoverHome(t *testing.T, spec homeSpec, last, before string) {
	t.Helper()
	r := f.open(f.dir)
	err := spec.run(t.Context(), r)
	if applied := spec.How == "apply" && sandbox.ErrorCode(err) == sandbox.CodeConflict; err != nil && !applied { // it was done
		t.Fatalf("killed after %s: once more: %v", last, err)
	}
	f.hasWork()
	if spec.How == "checkout" {
		f.git("switch", "-q", "-")
	} else if _, err := r.Undo(t.Context(), 0, false, nil); err != nil {
		t.Fatalf("killed after %s: undo: %v", last, err)
	}
	if got := withoutJournal(f.everything()); got != before {
		t.Errorf("killed after %s: after undo:\n%s\nwant\n%s", last, got, before)
	}
}
