package projecthook

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"agentprocess/internal/sandbox"
)

// The hooks there are.
const (
	PreAny     = "pre-any"     // before each tool call
	PreBash    = "pre-bash"    // before a shell command
	PreWrites  = "pre-writes"  // before a call that writes files
	PostWrites = "post-writes" // after a call that wrote files
	PostStop   = "post-stop"   // when the agent says that it is done
)

// Names are the names of all hooks.
func Names() []string { return []string{PreAny, PreBash, PreWrites, PostWrites, PostStop} }

// Dir is where a project keeps its hooks.
const Dir = ".agent-process/hooks"

// insideDir is where they stand inside, read-only.
const insideDir = "/opt/agent-process/hooks"

// What a hook may use when its settings do not say.
const (
	defaultTime   = 10 * time.Second
	defaultMemory = 256 << 20
	defaultPIDs   = 128
	// post-stop runs a project's tests.
	stopTime   = 10 * time.Minute
	stopMemory = 2 << 30
	stopPIDs   = 1024
	// What a hook may add to the disk where its tree can be written.
	defaultDisk = 256 << 20
	stopDisk    = 8 << 30
)

// slots is how many hooks of one run may run at once; more wait.
const slots = 8

// maxFiles bounds the hooks of a project together: they are written to memory
// for each call.
const maxFiles = 8 << 20

// File is a hook as the base commit has it.
type File struct {
	Name string // below Dir
	Data []byte
	Mode uint32 // as git has it: 0o100755, or permission bits alone
}

// Settings are what a project's policy says of one hook. Zero values are the
// defaults.
type Settings struct {
	// Observe lets the hook watch only: it may fail, and never denies.
	Observe     bool
	Timeout     time.Duration
	MemoryBytes int64
	PIDs        int64
}

// Layer is a pair of empty directories of ours for an overlay that a hook may
// write to; the zero value asks for a view that nobody can write to.
type Layer struct{ Upper, Work string }

// View gives the mounts that show the agent's tree, at the path where the agent
// has it, with what it changed so far.
type View func(Layer) ([]sandbox.Mount, error)

// Options are what a Runner needs.
type Options struct {
	Runtime  sandbox.Runtime
	Identity sandbox.Identity // the agent's, whose files they are
	Home     string           // inside; empty and its own
	ToolPath string           // see sandbox.Spec
	Files    []File
	About    About
	// Settings are those of a hook by name; nil means the defaults for all.
	Settings func(name string) Settings
	View     View
	// Scratch is a directory of this run on the host, on a file system that an
	// overlay can write to and out of the agent's reach. Layers are made in it.
	Scratch string
}

// Runner runs the hooks of one project for one run. It is safe for concurrent
// use.
type Runner struct {
	o     Options
	files map[string]File
	free  chan string // ids of sandboxes
}

// New makes a Runner, or says what is wrong with the files.
func New(o Options) (*Runner, error) {
	switch {
	case o.Runtime == nil, o.View == nil:
		return nil, errors.New("project hooks: a runtime and a view of the tree are needed")
	case !filepath.IsAbs(o.About.Workspace):
		return nil, fmt.Errorf("project hooks: workspace %q is not an absolute path", o.About.Workspace)
	}
	r := &Runner{o: o, files: map[string]File{}, free: make(chan string, slots)}
	total := 0
	for _, f := range o.Files {
		if err := r.add(f); err != nil {
			return nil, err
		}
		total += len(f.Data)
	}
	if total > maxFiles {
		return nil, sandbox.Fail(sandbox.CodePolicy, fmt.Errorf("%s: %d bytes in all, at most %d may be", Dir, total, maxFiles),
			"keep hooks small: they may call programs that this machine has on PATH")
	}
	for _, id := range Boxes(o.About.Run) {
		r.free <- id
	}
	return r, nil
}

// add takes one file of the directory.
func (r *Runner) add(f File) error {
	if !slices.Contains(Names(), f.Name) {
		return sandbox.Fail(sandbox.CodePolicy, fmt.Errorf("%s: %q is no hook", Dir, f.Name),
			"a hook has one of these names, without an ending: "+strings.Join(Names(), ", "))
	}
	if kind := f.Mode &^ 0o777; kind != 0 && kind != 0o100000 {
		return sandbox.Fail(sandbox.CodePolicy, fmt.Errorf("%s: %q is no regular file (mode %o)", Dir, f.Name, f.Mode),
			"commit the program itself, not a link to it")
	}
	if _, twice := r.files[f.Name]; twice {
		return sandbox.Fail(sandbox.CodePolicy, fmt.Errorf("%s: %q is there twice", Dir, f.Name), "")
	}
	r.files[f.Name] = f
	return nil
}

// Has reports whether the project has the hook.
func (r *Runner) Has(name string) bool {
	_, ok := r.files[name]
	return ok
}

// Boxes are the ids of the sandboxes that hooks of a run may be in, for
// Runtime.Cleanup after a crash.
func Boxes(run string) []string {
	ids := make([]string, slots)
	for i := range ids {
		ids[i] = run + "-hook-" + strconv.Itoa(i)
	}
	return ids
}

// Longest is how long the hooks of these names may take one after the other,
// the starts of their sandboxes included.
func (r *Runner) Longest(names []string) time.Duration {
	var sum time.Duration
	for _, n := range names {
		if r.Has(n) {
			sum += startTime + r.settings(n).Timeout
		}
	}
	return sum
}

// settings are those of a hook with the defaults filled in.
func (r *Runner) settings(name string) Settings {
	d := Settings{Timeout: defaultTime, MemoryBytes: defaultMemory, PIDs: defaultPIDs}
	if name == PostStop {
		d = Settings{Timeout: stopTime, MemoryBytes: stopMemory, PIDs: stopPIDs}
	}
	var s Settings
	if r.o.Settings != nil {
		s = r.o.Settings(name)
	}
	return Settings{
		Observe: s.Observe, Timeout: cmp.Or(max(s.Timeout, 0), d.Timeout),
		MemoryBytes: cmp.Or(max(s.MemoryBytes, 0), d.MemoryBytes), PIDs: cmp.Or(max(s.PIDs, 0), d.PIDs),
	}
}

// spec is the sandbox of one call.
func (r *Runner) spec(id, name string, s Settings, mounts []sandbox.Mount) sandbox.Spec {
	spec := sandbox.Spec{
		ID: id, Identity: r.o.Identity, Hostname: "hook", Home: r.home(), Mounts: mounts,
		ToolPath: r.o.ToolPath, Network: sandbox.NetworkNone,
		Limits: sandbox.Limits{MemoryBytes: s.MemoryBytes, PIDs: s.PIDs},
	}
	switch name {
	case PostWrites:
		spec.Limits.DiskBytes = defaultDisk
	case PostStop:
		spec.Limits.DiskBytes = stopDisk
	}
	for _, n := range slices.Sorted(maps.Keys(r.files)) {
		f := r.files[n]
		spec.Files = append(spec.Files, sandbox.File{Path: path.Join(insideDir, n), Data: f.Data, Mode: 0o444 | f.Mode&0o111})
	}
	return spec
}

func (r *Runner) home() string { return cmp.Or(r.o.Home, "/home/agent") }

// environ is the whole environment of a hook. The agent's is not in it. What
// git would execute out of the agent's own configuration is switched off, as
// far as that can be done from outside.
func (r *Runner) environ(name, toolPath string) []string {
	return []string{
		"PATH=" + toolPath, "HOME=" + r.home(), "TMPDIR=/tmp", "LANG=C.UTF-8",
		"AGENT_PROCESS_HOOK=" + name, "AGENT_PROCESS_WORKSPACE=" + r.o.About.Workspace,
		"GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_COUNT=2",
		"GIT_CONFIG_KEY_0=core.fsmonitor", "GIT_CONFIG_VALUE_0=false",
		"GIT_CONFIG_KEY_1=core.hooksPath", "GIT_CONFIG_VALUE_1=/dev/null",
	}
}
