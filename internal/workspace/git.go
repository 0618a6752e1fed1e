package workspace

import (
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"agentprocess/internal/execx"
)

// door is the only way to git: an argv of ours, in an environment of ours.
type door struct {
	path     string              // PATH for git's own children
	identity Identity            // whom reflogs name
	filters  []string            // filter drivers configured on the host, to be blanked
	cred     *syscall.Credential // set when we are root and the repository is somebody's
}

// call is one run of git.
type call struct {
	gitDir   string
	workTree string
	index    string            // GIT_INDEX_FILE; empty means the repository's own
	dir      string            // working directory; empty means gitDir
	args     []string          // the subcommand and what follows
	config   map[string]string // on top of the door's own
	env      []string
	stdin    io.Reader
	stdout   io.Writer // nil: the output is returned
	files    []*os.File
	// ours is set for repositories that belong to us and not to the user: then
	// git runs as ourselves.
	ours bool
}

// safeConfig is set, above any configuration file, in every run of git: nothing
// a repository configures may run a program or reach the network.
func safeConfig() map[string]string {
	return map[string]string{
		"core.hooksPath":           "/dev/null",
		"core.fsmonitor":           "false",
		"core.attributesFile":      "/dev/null",
		"core.untrackedCache":      "false",
		"core.filesRefLockTimeout": "10000", // a user's own `git fetch` may hold a lock: wait, do not fail
		"core.packedRefsTimeout":   "10000",
		"safe.bareRepository":      "explicit",
		"safe.directory":           "*", // who may be opened was decided by the user's own git in Open
		"submodule.recurse":        "false",
		"gc.auto":                  "0",
		"maintenance.auto":         "false",
		"log.showSignature":        "false",
		"transfer.fsckObjects":     "true",
		"fetch.fsckObjects":        "true",
		"fetch.writeCommitGraph":   "false",
		"protocol.allow":           "never",
	}
}

// run runs git to its end and gives what it printed.
func (d *door) run(ctx context.Context, c call) ([]byte, error) {
	cmd := d.command(c)
	if c.stdout != nil {
		return nil, execx.Run(ctx, cmd)
	}
	return execx.Output(ctx, cmd)
}

// line runs git and gives its output without the last line break.
func (d *door) line(ctx context.Context, c call) (string, error) {
	out, err := d.run(ctx, c)
	return strings.TrimRight(string(out), "\n"), err
}

func (d *door) command(c call) execx.Cmd {
	argv := []string{"git"}
	if c.gitDir != "" {
		argv = append(argv, "--git-dir="+c.gitDir)
	}
	if c.workTree != "" {
		argv = append(argv, "--work-tree="+c.workTree)
	}
	cmd := execx.Cmd{
		Argv:       append(argv, c.args...),
		Dir:        c.dir,
		Env:        d.environ(c),
		Stdin:      c.stdin,
		Stdout:     c.stdout,
		ExtraFiles: c.files,
	}
	if cmd.Dir == "" {
		cmd.Dir = c.gitDir
	}
	if d.cred != nil && !c.ours {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: d.cred}
	}
	return cmd
}

// environ is the whole environment of a run of git. Configuration goes in by
// GIT_CONFIG_COUNT and not by -c, because a driver's name may hold a '='.
func (d *door) environ(c call) []string {
	env := []string{
		"PATH=" + d.path,
		"HOME=/nonexistent",
		"LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_OPTIONAL_LOCKS=0",
		"GIT_NO_REPLACE_OBJECTS=1",
		"GIT_LFS_SKIP_SMUDGE=1",
		"GIT_COMMITTER_NAME=" + d.identity.Name,
		"GIT_COMMITTER_EMAIL=" + d.identity.Email,
	}
	if c.index != "" {
		env = append(env, "GIT_INDEX_FILE="+c.index)
	}
	config := safeConfig()
	for _, f := range d.filters {
		for _, k := range []string{"clean", "smudge", "process"} {
			config["filter."+f+"."+k] = ""
		}
		config["filter."+f+".required"] = "false"
	}
	maps.Copy(config, c.config)
	return append(append(env, configEnv(config)...), c.env...)
}

// configEnv spells configuration as environment (git-config(1), GIT_CONFIG_COUNT).
func configEnv(config map[string]string) []string {
	env := []string{"GIT_CONFIG_COUNT=" + strconv.Itoa(len(config))}
	for i, k := range slices.Sorted(maps.Keys(config)) {
		n := strconv.Itoa(i)
		env = append(env, "GIT_CONFIG_KEY_"+n+"="+k, "GIT_CONFIG_VALUE_"+n+"="+config[k])
	}
	return env
}

// retries bounds how often a run is repeated that met somebody else's lock.
const retries = 8

// retry is run for commands that write refs or registrations of the user's
// repository, where the user's own git may be at work at the same time.
func (d *door) retry(ctx context.Context, c call, stdin string) error {
	wait := 20 * time.Millisecond
	for try := 1; ; try++ {
		c.stdin = strings.NewReader(stdin)
		_, err := d.run(ctx, c)
		if err == nil || try == retries || !contended(err) {
			return err
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
		wait *= 2
	}
}

// contended reports whether git gave up because of somebody else's lock file,
// or because a directory was swept away under it.
func contended(err error) bool {
	msg := err.Error()
	if strings.Contains(msg, "cannot lock ref") && strings.Contains(msg, "No such file or directory") {
		return true
	}
	for _, s := range []string{".lock': File exists", "nable to create", "could not lock config file"} {
		if strings.Contains(msg, s) {
			return true
		}
	}
	return false
}

// pause waits, or ends with ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// absolutePath is the PATH of environ without its relative entries, which would
// name programs by where we happen to stand.
func absolutePath(environ []string) string {
	dirs := slices.DeleteFunc(filepath.SplitList(lookup(environ, "PATH")), func(d string) bool { return !filepath.IsAbs(d) })
	if len(dirs) == 0 {
		return "/usr/local/bin:/usr/bin:/bin"
	}
	return strings.Join(dirs, string(filepath.ListSeparator))
}

// lookup is the value of key in an environment; the last entry wins.
func lookup(environ []string, key string) string {
	for _, kv := range slices.Backward(environ) {
		if v, ok := strings.CutPrefix(kv, key+"="); ok {
			return v
		}
	}
	return ""
}
