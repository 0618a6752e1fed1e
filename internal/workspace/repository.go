package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"agentprocess/internal/execx"
	"agentprocess/internal/sandbox"
)

// Config is what a Repository takes from its surroundings.
type Config struct {
	StateDir string           // for locks; 0700
	CacheDir string           // for pristine checkouts
	Environ  []string         // the user's environment: which repository, whose name
	Now      func() time.Time // in the user's time zone
}

// Repository is the user's repository.
type Repository struct {
	// GitDir is the git directory of the worktree that Open was called in.
	GitDir string
	// CommonDir is the git directory that all worktrees share.
	CommonDir string
	// Here is the top of the worktree that Open was called in, if any.
	Here string
	// Top is the main worktree, or the repository itself when it is bare.
	Top string
	// WorktreesDir is where worktrees of agents go; inside no worktree.
	WorktreesDir string
	// ObjectFormat is "sha1" or "sha256".
	ObjectFormat string
	// Bare is set when there is no main worktree.
	Bare bool

	cfg      Config
	settings settings
	git      *door
}

// The oldest git that has all we use.
const (
	minMajor = 2
	minMinor = 34
)

// Open finds the repository that dir is in and refuses with CodeRepository what
// agents cannot work with.
func Open(ctx context.Context, dir string, cfg Config) (*Repository, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open repository %q: %w", dir, err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("open repository: %w", err), "run this in a directory that exists")
	}
	r := &Repository{cfg: cfg}
	list, err := r.ask(ctx, dir)
	if err != nil {
		return nil, err
	}
	r.settings = parseSettings(list)
	if err := r.place(); err != nil {
		return nil, err
	}
	r.git = &door{path: absolutePath(cfg.Environ), filters: r.settings.filters(), cred: ownerCredential(r.CommonDir)}
	r.git.identity = r.Identity()
	return r, nil
}

// ask asks git all that Open has to know, at the same time: which version it
// is, which repository dir is in, and how it is configured. What is wrong with
// git itself is told first.
func (r *Repository) ask(ctx context.Context, dir string) (settings []byte, err error) {
	var version, unreadable error
	var wg sync.WaitGroup
	wg.Go(func() { version = checkVersion(ctx, r.cfg.Environ) })
	wg.Go(func() { settings, unreadable = r.asUser(ctx, dir, "config", "--list", "-z", "--show-scope") })
	undiscovered := r.discover(ctx, dir)
	wg.Wait()
	switch {
	case version != nil:
		return nil, version
	case undiscovered != nil:
		return nil, undiscovered
	case unreadable != nil:
		return nil, sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("read the configuration of %q: %w", r.CommonDir, unreadable), "run: git config --list")
	}
	return settings, nil
}

// asUser runs git as the user would: its answer depends on the user's own
// configuration, safe.directory above all. Only for commands that run nothing
// a repository configures.
func (r *Repository) asUser(ctx context.Context, dir string, args ...string) ([]byte, error) {
	return execx.Output(ctx, execx.Cmd{Argv: append([]string{"git"}, args...), Dir: dir, Env: userEnviron(r.cfg.Environ)})
}

// userEnviron is the user's environment without what would point git at
// another repository than the one of the directory: we may well be run by a
// hook or an alias.
func userEnviron(environ []string) []string {
	out := make([]string, 0, len(environ)+2)
	for _, kv := range environ {
		k, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(k, "GIT_") && !strings.HasPrefix(k, "GIT_CONFIG") && k != "GIT_CEILING_DIRECTORIES" && k != "GIT_DISCOVERY_ACROSS_FILESYSTEM" {
			continue
		}
		out = append(out, kv)
	}
	return append(out, "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0")
}

// versionPattern finds the version in the output of `git version`.
var versionPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(\d+)\.(\d+)`) })

func checkVersion(ctx context.Context, environ []string) error {
	out, err := execx.Output(ctx, execx.Cmd{Argv: []string{"git", "version"}, Env: userEnviron(environ)})
	if err != nil {
		return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("git does not run: %w", err), "install git")
	}
	m := versionPattern().FindStringSubmatch(string(out))
	if m == nil {
		return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("git version %q is not understood", strings.TrimSpace(string(out))), "install git")
	}
	major, errMajor := strconv.Atoi(m[1])
	minor, errMinor := strconv.Atoi(m[2])
	if errMajor == nil && errMinor == nil && (major > minMajor || major == minMajor && minor >= minMinor) {
		return nil
	}
	return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("git %s is too old", m[0]), fmt.Sprintf("install git %d.%d or newer", minMajor, minMinor))
}

// discover asks git which repository dir is in.
func (r *Repository) discover(ctx context.Context, dir string) error {
	out, err := r.asUser(ctx, dir, "rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir",
		"--show-object-format", "--is-inside-work-tree", "--show-cdup")
	if err != nil {
		return discoveryError(dir, err)
	}
	f := strings.Split(string(out), "\n")
	if len(f) < 4 {
		return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("repository %q: a path in it holds a line break", dir), "move the repository")
	}
	r.GitDir, r.CommonDir, r.ObjectFormat = filepath.Clean(f[0]), filepath.Clean(f[1]), f[2]
	if f[3] == "true" {
		r.Here = dir
		if len(f) > 4 {
			r.Here = filepath.Join(dir, f[4])
		}
	}
	return nil
}

func discoveryError(dir string, err error) error {
	msg := err.Error()
	switch {
	case strings.Contains(msg, "dubious ownership"):
		return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("%q belongs to another user", dir),
			"if you trust it: git config --global --add safe.directory "+shellQuote(dir))
	case strings.Contains(msg, "not a git repository"):
		return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("%q is not in a git repository", dir),
			`make it one: git init && git add -A && git commit -m "first commit"`)
	default:
		return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("open repository %q: %w", dir, err), "run: git -C "+shellQuote(dir)+" status")
	}
}

// place finds the main worktree and where worktrees of agents belong.
func (r *Repository) place() error {
	worktree := r.settings.local("core.worktree")
	switch {
	case r.settings.local("core.bare") == "true":
		r.Bare, r.Top = true, r.CommonDir
	case r.GitDir == r.CommonDir && r.Here != "":
		r.Top = r.Here
	case worktree != "" && filepath.IsAbs(worktree):
		r.Top = filepath.Clean(worktree)
	case worktree != "":
		r.Top = filepath.Join(r.CommonDir, worktree)
	case filepath.Base(r.CommonDir) == ".git":
		r.Top = filepath.Dir(r.CommonDir)
	default: // git directory and main worktree apart, and we came by a linked one
		r.Bare, r.Top = true, r.CommonDir
	}
	outer := r.Top
	// A submodule's worktrees would litter the repository around it.
	if before, _, found := strings.Cut(r.CommonDir, "/.git/modules/"); found {
		outer = before
	}
	registered, err := r.registered()
	if err != nil {
		return err
	}
	r.WorktreesDir = outside(filepath.Join(filepath.Dir(outer), "worktrees"), append(registered, r.registration(r.Top)))
	if r.WorktreesDir == "" {
		r.WorktreesDir = filepath.Join(r.cfg.StateDir, "worktrees", r.key())
	}
	return nil
}

func (r *Repository) registration(path string) registration { return registration{path: path} }

// outside moves dir, which ends in "worktrees", up until it is in none of the
// worktrees that are registered by hand; agents' own stand below dir and do
// not count. Empty when there is no such place.
func outside(dir string, taken []registration) string {
	for range taken {
		for _, t := range taken {
			if dir == t.path || strings.HasPrefix(dir, t.path+"/") {
				dir = filepath.Join(filepath.Dir(t.path), "worktrees")
			}
		}
	}
	for _, t := range taken {
		if t.path == "/" || strings.HasPrefix(dir, t.path+"/") {
			return ""
		}
	}
	return dir
}

// registration is one entry of the repository's worktrees.
type registration struct {
	admin string // the directory that registers it
	path  string // the worktree
	head  string // the ref it has checked out, empty when detached
}

// locked reports whether the user locked the worktree.
func (g registration) locked() bool {
	_, err := os.Lstat(filepath.Join(g.admin, "locked"))
	return err == nil
}

// registered reads the repository's linked worktrees, broken ones included.
func (r *Repository) registered() ([]registration, error) {
	dir := filepath.Join(r.CommonDir, "worktrees")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list worktrees: %w", err)
	}
	var list []registration
	for _, e := range entries {
		g := registration{admin: filepath.Join(dir, e.Name())}
		link, err := os.ReadFile(filepath.Join(g.admin, "gitdir"))
		if err != nil {
			continue // git ignores such an entry too, until it prunes it
		}
		dotGit := strings.TrimRight(string(link), "\n")
		if !filepath.IsAbs(dotGit) { // worktree.useRelativePaths
			dotGit = filepath.Join(g.admin, dotGit)
		}
		g.path = filepath.Dir(dotGit)
		g.head = headRef(g.admin)
		list = append(list, g)
	}
	return list, nil
}

// headRef is the ref that gitDir's HEAD names, empty when it is detached.
func headRef(gitDir string) string {
	head, err := os.ReadFile(filepath.Join(gitDir, "HEAD"))
	if err != nil {
		return ""
	}
	ref, _ := strings.CutPrefix(strings.TrimRight(string(head), "\n"), "ref: ")
	if !strings.HasPrefix(ref, "refs/") {
		return ""
	}
	return ref
}

// ownerCredential says as whom git must write into a repository: as its owner,
// when we are root (sudo), or its objects and refs would become root's and the
// owner's next commit would fail.
func ownerCredential(commonDir string) *syscall.Credential {
	info, err := os.Stat(commonDir)
	if err != nil || os.Geteuid() != 0 {
		return nil
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return nil
	}
	return &syscall.Credential{Uid: st.Uid, Gid: st.Gid}
}

// Branch is the branch of the agent called name.
func Branch(name string) string { return sandbox.BranchPrefix + name }

// branchRef is the full name of an agent's branch.
func branchRef(name string) string { return "refs/heads/" + Branch(name) }

// pinPrefix is where refs about one agent are kept.
func pinPrefix(name string) string { return "refs/agents/" + name + "/" }

// zero is the object id that stands for "no object".
func (r *Repository) zero() string {
	if r.ObjectFormat == "sha256" {
		return strings.Repeat("0", 64)
	}
	return strings.Repeat("0", 40)
}

// here is a call in the worktree that Open was called in.
func (r *Repository) here(args ...string) call { return call{gitDir: r.GitDir, args: args} }

// common is a call in the repository, whatever worktree.
func (r *Repository) common(args ...string) call { return call{gitDir: r.CommonDir, args: args} }

// shellQuote makes s one word for a shell, for hints.
func shellQuote(s string) string {
	if s != "" && strings.IndexFunc(s, func(c rune) bool {
		return !strings.ContainsRune("/._-+:@=", c) && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
