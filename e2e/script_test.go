package e2e

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the expected output in scripts")

// TestScripts runs every script below testdata, one folder a subject; those of
// containers are TestDockerScripts.
func TestScripts(t *testing.T) {
	w := newWorld(t)
	dirs, err := filepath.Glob("testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		scripts, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
		if err != nil || len(scripts) == 0 || filepath.Base(dir) == "docker" {
			continue
		}
		t.Run(filepath.Base(dir), func(t *testing.T) {
			testscript.Run(t, testscript.Params{
				Dir: dir, Setup: func(env *testscript.Env) error { return setup(env, w) }, Cmds: commands(), UpdateScripts: *update, RequireExplicitExec: true,
				Condition: condition,
			})
		})
	}
}

// condition adds to testscript's own: [root].
func condition(cond string) (bool, error) {
	if cond == "root" {
		return os.Getuid() == 0, nil
	}
	return false, fmt.Errorf("unknown condition %q", cond)
}

// setup gives each script a home, a world and the built binary.
func setup(env *testscript.Env, w *world) error {
	home := filepath.Join(env.WorkDir, "home")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	gitconfig := "[user]\n\tname = Ada Lovelace\n\temail = ada@example.com\n[init]\n\tdefaultBranch = main\n[advice]\n\tdetachedHead = false\n"
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(gitconfig), 0o644); err != nil {
		return err
	}
	binary := filepath.Dir(os.Getenv(binaryVar))
	env.Vars = append(env.Vars,
		"HOME="+home, "PATH="+binary+string(os.PathListSeparator)+os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1",
		"XDG_CACHE_HOME="+sharedCache(), "HOST_GOCACHE="+hostGoCache(), "BINARY="+os.Getenv(binaryVar), "GIT="+gitPath(), "CLAUDE="+os.Getenv(claudeVar), "LANG=C.UTF-8", "TERM=dumb",
	)
	env.Values[apiKey{}] = &apis{}
	env.Defer(func() { w.check(env.T().(testing.TB)) })
	return nil
}

// sharedCache holds what all tests may share: pristine checkouts and the
// agent's program.
func sharedCache() string { return filepath.Join(os.Getenv(scratchVar), "cache") }

// gitPath is where git is, for scripts that narrow their PATH.
func gitPath() string {
	path, err := exec.LookPath("git")
	if err != nil {
		return ""
	}
	return path
}

// hostGoCache is where the compiler keeps what it has built already.
func hostGoCache() string {
	if dir := os.Getenv("GOCACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "go-build")
}

// apiKey is the key of a script's servers.
type apiKey struct{}

// commands are the verbs that scripts have besides testscript's.
func commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"repo":      cmdRepo,
		"api":       cmdAPI,
		"sees":      cmdSees,
		"serve":     cmdServe,
		"registry":  cmdRegistry,
		"corporate": cmdCorporate,
		"packages":  cmdPackages,
		"tools":     cmdTools,
		"exits":     cmdExits,
		"nobody":    cmdNobody,
		"token":     cmdToken,
		"trustall":  cmdTrustAll,
		"answer":    cmdAnswer,
		"until":     cmdUntil,
		"gate":      cmdGate,
		"stream":    cmdStream,
		"onlyread":  cmdOnlyRead,
		"told":      cmdTold,
		"heard":     cmdHeard,
	}
}

// cmdRepo makes the directory a git repository with one commit of all in it.
func cmdRepo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: repo DIR")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	for _, argv := range [][]string{{"init", "-q"}, {"add", "-A"}, {"commit", "-q", "--allow-empty", "-m", "base"}} {
		ts.Check(ts.Exec("git", append([]string{"-C", dir}, argv...)...))
	}
}

// cmdTrustAll agrees to all that the repository of the current directory brings
// along, by the digest of what was shown.
func cmdTrustAll(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: trustall")
	}
	// It ends with a status of its own while something is not trusted.
	if err := ts.Exec("agent-process", "trust", "--json"); err != nil {
		ts.Logf("trust --json: %v", err)
	}
	var report struct {
		Digest string `json:"digest"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &report))
	ts.Check(ts.Exec("agent-process", "trust", "--yes", report.Digest))
}

// answerTime bounds the wait for a question.
const answerTime = time.Minute

// cmdAnswer answers the next question from another terminal, as soon as there
// is one: answer allow|deny [REASON].
func cmdAnswer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 || len(args) > 2 {
		ts.Fatalf("usage: answer allow|deny [REASON]")
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(answerTime)
	for {
		ts.Check(ts.Exec("agent-process", "policy", "pending", "--json"))
		var questions []struct {
			ID string `json:"id"`
		}
		ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &questions))
		if len(questions) > 0 {
			ts.Check(ts.Exec("agent-process", append([]string{"policy", "answer", questions[0].ID}, args...)...))
			return
		}
		select {
		case <-tick.C:
		case <-end:
			ts.Fatalf("no question within %v", answerTime)
		}
	}
}

// cmdExits runs a command and checks its exit status: exits 3 agent-process ...
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS CMD ARGS...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}

// cmdNobody checks that nothing of ours is left: processes that carry the
// script's work directory, and mounts.
func cmdNobody(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: nobody")
	}
	if left := leftovers(ts.Getenv("WORK")); len(left) > 0 {
		ts.Fatalf("left behind:\n%s", strings.Join(left, "\n"))
	}
}

// leftovers are processes and mounts that belong to a directory.
func leftovers(dir string) []string {
	var left []string
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return []string{err.Error()}
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			left = append(left, "mount: "+strings.TrimSpace(line))
		}
	}
	procs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return []string{err.Error()}
	}
	for _, p := range procs {
		environ, err := os.ReadFile(p)
		if err != nil || !strings.Contains(string(environ), dir) || p == fmt.Sprintf("/proc/%d/environ", os.Getpid()) {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join(filepath.Dir(p), "cmdline"))
		if err == nil && len(cmdline) > 0 {
			left = append(left, "process: "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return left
}
