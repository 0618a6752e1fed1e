package workspace

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"agentprocess/internal/inspect"
	"agentprocess/internal/sandbox"
)

// DefaultObjects is where the host's objects appear inside.
const DefaultObjects = "/opt/agent-process/objects"

// fallbackDir is where the tree appears when the place of the worktree is
// taken by the system inside.
const fallbackDir = "/workspace"

// Options say what workspace to prepare.
type Options struct {
	Name string
	Base Base
	// Start is where the agent goes on from, when that is not the base: what its
	// branch has already.
	Start  Base
	RunDir string           // of this run alone, not readable by others
	Owner  sandbox.Identity // who the agent is inside
	// Overlay puts the agent's changes over a shared checkout; otherwise the
	// tree is checked out for this run.
	Overlay bool
	// Objects is where the host's objects appear inside; empty means
	// DefaultObjects.
	Objects string
	// Strict gives the agent the objects of the base commit and its history
	// instead of all objects of the repository: no stash, no other branch. It
	// costs the time to pack them, and is chosen by itself when Owner could not
	// read the repository's objects.
	Strict bool
	// Depth, above 0, is Strict with that many commits of the history.
	Depth int
	// Rebases is where the agent's work began until now, when it is to rebase its
	// branch onto Base; empty when it is not.
	Rebases string
	// NoVerify leaves the project's pre-commit hook aside.
	NoVerify bool
	// NoInclude leaves .worktreeinclude aside.
	NoInclude bool
	// Scope bounds what may be changed, as ParseScope has it; none is
	// everything. What is outside does not reach the repository: see Held.
	Scope []string
	// Inspect says what is done about what an import finds.
	Inspect inspect.Policy
}

// Workspace is what one agent works in.
type Workspace struct {
	// Included says what .worktreeinclude brought along.
	Included Included
	// Notices are things a person should know about this workspace.
	Notices []string

	repo     *Repository
	runDir   string
	entries  int // in the tree as prepared
	pristine *pristine
	scope    Scope // of rec.Scope

	mu  sync.Mutex // guards rec.Tip and rec.Worktree, and saving
	rec record

	worktreeMu sync.Mutex // one thing at a time is done to the worktree
}

// record is what must outlive the process; RunDir/workspace.json, out of the
// agent's reach.
type record struct {
	homecoming
	Name     string           `json:"name"`
	Base     Base             `json:"base"`
	Start    Base             `json:"start"`
	Owner    sandbox.Identity `json:"owner"`
	Overlay  bool             `json:"overlay"`
	Strict   bool             `json:"strict"`
	Depth    int              `json:"depth,omitempty"`
	Dir      string           `json:"dir"`
	Objects  []string         `json:"objects"`  // on the host
	Inside   string           `json:"inside"`   // where they appear
	Pristine string           `json:"pristine"` // key of the shared checkout
	Private  string           `json:"private"`  // name of the private git directory
	Included []string         `json:"included"` // files that must not be committed
	Tip      string           `json:"tip"`      // last published
	Rescues  int              `json:"rescues"`
	Worktree worktreeRecord   `json:"worktree"`
	Scope    []string         `json:"scope,omitempty"`
	Inspect  inspect.Policy   `json:"inspect"`
	Programs []string         `json:"programs,omitempty"` // of the tree, which the person's git runs
}

// homecoming is what is particular about how the work comes home.
type homecoming struct {
	Rebases   string `json:"rebases,omitempty"`    // see Options
	Signed    string `json:"signed,omitempty"`     // what Tip became when it was signed
	PreCommit bool   `json:"pre_commit,omitempty"` // the agent's commits go through the project's hook
}

// worktreeRecord says what the worktree on the host holds.
type worktreeRecord struct {
	Tip string `json:"tip"` // commit that its files are of, empty before there is one
}

// names in a run directory.
const (
	recordFile     = "workspace.json"
	quarantineName = "quarantine"
	receivingName  = "receiving" // there while the quarantine is not to be trusted
	privateName    = "git"
	treeName       = "tree"
	upperName      = "upper"
	workName       = "work"
	emptyName      = "empty"
)

// Prepare makes an agent's private clone and tree in o.RunDir. When it fails,
// remove the run directory with RemoveTree.
func (r *Repository) Prepare(ctx context.Context, o Options) (*Workspace, error) {
	w := &Workspace{repo: r, runDir: o.RunDir}
	if err := w.describe(o); err != nil {
		return nil, err
	}
	if err := w.build(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the workspace of %q: %w", o.Name, err), w.Close())
	}
	return w, nil
}

// describe decides what the workspace will be.
func (w *Workspace) describe(o Options) error {
	if euid := os.Geteuid(); euid != 0 && o.Owner.UID != euid {
		return fmt.Errorf("prepare the workspace of %q: uid %d cannot make files of uid %d", o.Name, euid, o.Owner.UID)
	}
	objects, err := w.repo.objectDirs()
	if err != nil {
		return err
	}
	if w.scope, err = ParseScope(o.Scope); err != nil {
		return err
	}
	if o.Start.Commit == "" {
		o.Start = o.Base
	}
	w.rec = record{
		Name: o.Name, Base: o.Base, Start: o.Start, Owner: o.Owner, Overlay: o.Overlay, Strict: o.Strict || o.Depth > 0, Depth: o.Depth,
		homecoming: homecoming{Rebases: o.Rebases, PreCommit: !o.NoVerify && len(w.repo.preCommit()) > 0},
		Dir:        insideDir(w.repo.WorktreePath(o.Name)), Objects: objects, Inside: firstOf(o.Objects, DefaultObjects),
		Private: privateName, Tip: o.Start.Commit, Scope: o.Scope, Inspect: o.Inspect, Programs: w.repo.hostPrograms(),
	}
	if !w.rec.Strict && w.mustChown() && !readableBy(objects, o.Owner) {
		w.rec.Strict = true
		w.Notices = append(w.Notices, fmt.Sprintf("uid %d cannot read the objects of %q, so those it needs were copied", o.Owner.UID, w.repo.CommonDir))
	}
	if o.Overlay {
		w.rec.Pristine = pristineKey(w.repo.ObjectFormat, o.Start.Tree, o.Owner)
	}
	return nil
}

func (w *Workspace) build(ctx context.Context, o Options) error {
	if err := os.MkdirAll(w.runDir, 0o700); err != nil {
		return err
	}
	if err := w.makeQuarantine(); err != nil {
		return err
	}
	index, err := w.makeTree(ctx)
	if err != nil {
		return err
	}
	if !o.NoInclude {
		if w.Included, err = w.include(ctx); err != nil {
			return err
		}
		w.rec.Included = w.Included.Copied
	}
	if err := w.makePrivate(ctx, index); err != nil {
		return err
	}
	if err := os.WriteFile(w.path(emptyName), nil, 0o600); err != nil {
		return err
	}
	if err := w.own(w.path(emptyName)); err != nil {
		return err
	}
	return w.update(func(*record) {})
}

// path is a path in the run directory.
func (w *Workspace) path(name ...string) string {
	return filepath.Join(append([]string{w.runDir}, name...)...)
}

// mustChown reports whether what we write must be given to the agent.
func (w *Workspace) mustChown() bool { return os.Geteuid() == 0 && w.rec.Owner.UID != 0 }

// makeQuarantine makes the repository of ours that borrows the host's objects:
// trees are checked out from it, and what agents send is received in it.
func (w *Workspace) makeQuarantine() error {
	shallow, err := w.repo.shallow()
	if err != nil {
		return err
	}
	return writeGitDir(w.path(quarantineName), gitDirSpec{
		format: w.repo.ObjectFormat, bare: true, head: "refs/heads/none",
		refs:       map[string]string{"refs/base/commit": w.rec.Base.Commit, "refs/base/start": w.rec.Start.Commit},
		alternates: w.rec.Objects, shallow: shallow,
	})
}

// quarantine is a call in the quarantine.
func (w *Workspace) quarantine(args ...string) call {
	return call{gitDir: w.path(quarantineName), args: args, ours: true}
}

// makeTree makes the agent's tree and gives the index that fits it.
func (w *Workspace) makeTree(ctx context.Context) (index string, err error) {
	if !w.rec.Overlay {
		if err := w.checkout(ctx, w.runDir); err != nil {
			return "", err
		}
		return w.path("index"), w.makeMountPoint(w.path(treeName))
	}
	if err := w.openPristine(ctx); err != nil {
		return "", err
	}
	for _, name := range []string{upperName, workName} {
		if err := os.Mkdir(w.path(name), 0o755); err != nil { //nolint:gosec // the root of the tree as the agent sees it
			return "", err
		}
		if err := w.own(w.path(name)); err != nil {
			return "", err
		}
	}
	return w.pristine.index(), w.makeMountPoint(w.path(upperName))
}

func (w *Workspace) openPristine(ctx context.Context) (err error) {
	w.pristine, err = openPristine(ctx, w.repo.cfg.CacheDir, w.rec.Pristine, func(dir string) error {
		return w.checkout(ctx, dir)
	})
	return err
}

// makeMountPoint makes the directory that the private git directory is mounted
// on.
func (w *Workspace) makeMountPoint(tree string) error {
	path := filepath.Join(tree, ".git")
	if err := os.Mkdir(path, 0o755); err != nil { //nolint:gosec // a mount point, empty
		return err
	}
	return w.own(path)
}

// own gives one path of ours to the agent.
func (w *Workspace) own(path string) error {
	if !w.mustChown() {
		return nil
	}
	return os.Lchown(path, w.rec.Owner.UID, w.rec.Owner.GID)
}

// makePrivate makes the private git directory at the published tip.
func (w *Workspace) makePrivate(ctx context.Context, index string) error {
	shallow, err := w.repo.shallow()
	if err != nil {
		return err
	}
	dir := w.path(w.rec.Private)
	spec := gitDirSpec{
		format: w.repo.ObjectFormat, head: branchRef(w.rec.Name),
		refs:     map[string]string{branchRef(w.rec.Name): w.Tip()},
		identity: w.repo.Identity(), shallow: shallow, exclude: w.excludes(),
		trailer: "Agent: " + w.rec.Name,
	}
	if w.rec.PreCommit {
		spec.preCommit = w.repo.preCommit()
	}
	for i := range w.rec.Objects {
		if !w.rec.Strict {
			spec.alternates = append(spec.alternates, w.insideObjects(i))
		}
	}
	if w.rec.Rebases != "" {
		spec.refs[ontoRef], spec.refs[fromRef] = w.rec.Base.Commit, w.rec.Rebases
	}
	if w.rec.Depth > 0 {
		spec.refs = nil // they come with their objects
	}
	if err := writeGitDir(dir, spec); err != nil {
		return err
	}
	if err := w.copyHistory(ctx, dir); err != nil {
		return fmt.Errorf("copy the objects of %s: %w", w.Tip(), err)
	}
	// The copy is as young as it looks: files of the same second are "racy" to
	// git, which then compares content. To date it later would hide an agent's
	// very first edit.
	if err := copyFile(filepath.Join(dir, "index"), index); err != nil {
		return err
	}
	if w.entries, err = countEntries(index); err != nil {
		return err
	}
	if !w.mustChown() {
		return nil
	}
	return chownTree(dir, w.rec.Owner)
}

// copyHistory gives the private git directory the objects that it may have, if
// it does not borrow all of the host's.
func (w *Workspace) copyHistory(ctx context.Context, dir string) error {
	switch {
	case w.rec.Depth > 0:
		return w.copyRecent(ctx, dir)
	case w.rec.Strict:
		// In a partial clone some objects are missing, and nobody misses them.
		c := w.quarantine("pack-objects", "--revs", "-q", "--missing=allow-any", filepath.Join(dir, "objects", "pack", "pack"))
		c.stdin = strings.NewReader(w.Tip() + "\n" + w.ground() + "\n")
		return w.repo.git.runInto(ctx, c)
	default:
		return nil
	}
}

// copyRecent fetches as much of the history as the agent may have.
func (w *Workspace) copyRecent(ctx context.Context, dir string) error {
	depth, err := w.deep(ctx)
	if err != nil {
		return err
	}
	const private = "refs/private/"
	script := "update " + private + "tip " + w.Tip() + "\n"
	refspecs := []string{"+" + private + "tip:" + branchRef(w.rec.Name)}
	if w.rec.Rebases != "" {
		script += "update " + private + "onto " + w.rec.Base.Commit + "\nupdate " + private + "from " + w.rec.Rebases + "\n"
		refspecs = append(refspecs, "+"+private+"onto:"+ontoRef, "+"+private+"from:"+fromRef)
	}
	c := w.quarantine("update-ref", "--stdin")
	c.stdin = strings.NewReader(script)
	if _, err := w.repo.git.run(ctx, c); err != nil {
		return err
	}
	to := call{gitDir: dir, ours: true}
	return w.repo.carryWith(ctx, w.path(quarantineName), to, "--depth="+strconv.Itoa(depth), refspecs...)
}

// excludes are the patterns of info/exclude inside.
func (w *Workspace) excludes() []string {
	patterns := []string{".claude/"}
	for _, p := range w.rec.Included {
		patterns = append(patterns, "/"+escapePattern(p))
	}
	return patterns
}

// escapePattern makes a path a gitignore pattern that matches it alone.
func escapePattern(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if strings.IndexByte(`\*?[! #`, c) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// insideObjects is where the i-th object directory appears inside.
func (w *Workspace) insideObjects(i int) string {
	return w.rec.Inside + "/" + strconv.Itoa(i)
}

// Dir is the absolute path of the tree inside.
func (w *Workspace) Dir() string { return w.rec.Dir }

// Entries is how many files the tree had when it was prepared.
func (w *Workspace) Entries() int { return w.entries }

// countEntries reads how many entries an index of ours has: the third word of
// its header (gitformat-index(5)).
func countEntries(index string) (int, error) {
	f, err := os.Open(index)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // only read
	var header [12]byte
	if _, err := io.ReadFull(f, header[:]); err != nil {
		return 0, fmt.Errorf("read %q: %w", index, err)
	}
	return int(binary.BigEndian.Uint32(header[8:])), nil
}

// Name is the agent's name.
func (w *Workspace) Name() string { return w.rec.Name }

// Base is where the agent started.
func (w *Workspace) Base() Base { return w.rec.Base }

// Tip is the last commit that was published as the agent's branch.
func (w *Workspace) Tip() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rec.Tip
}

// update changes the record and saves it.
func (w *Workspace) update(f func(*record)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.rec)
	return w.save()
}

// Mounts are what a sandbox needs for the workspace, parents before children.
// They change with Rescue.
func (w *Workspace) Mounts() []sandbox.Mount {
	tree := sandbox.Mount{Kind: sandbox.MountBind, Source: w.path(treeName), Target: w.rec.Dir}
	if w.rec.Overlay {
		tree = sandbox.Mount{
			Kind: sandbox.MountOverlay, Lower: w.pristine.tree(), Upper: w.path(upperName), Work: w.path(workName), Target: w.rec.Dir,
		}
	}
	git := sandbox.Mount{Kind: sandbox.MountBind, Source: w.path(w.rec.Private), Target: w.rec.Dir + "/.git"}
	return append([]sandbox.Mount{tree, git}, w.objectMounts()...)
}

// objectMounts are the host's objects, read-only. An alternates file among them
// names paths of the host, which are nothing inside, and git would complain of
// each in every command: an empty file covers it.
func (w *Workspace) objectMounts() []sandbox.Mount {
	if w.rec.Strict {
		return nil
	}
	var mounts []sandbox.Mount
	for i, dir := range w.rec.Objects {
		mounts = append(mounts, sandbox.Mount{Kind: sandbox.MountBind, Source: dir, Target: w.insideObjects(i), ReadOnly: true, NoExec: true})
		if _, err := os.Stat(filepath.Join(dir, "info", "alternates")); err == nil {
			mounts = append(mounts, sandbox.Mount{
				Kind: sandbox.MountBind, Source: w.path(emptyName), Target: w.insideObjects(i) + "/info/alternates", ReadOnly: true, NoExec: true,
			})
		}
	}
	return mounts
}

// insideDir is where a tree that stands at path on the host appears inside: at
// the same path, so that what an agent says of it is true outside too, unless
// the sandbox's own system directories are there.
func insideDir(path string) string {
	for _, dir := range []string{
		"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/proc",
		"/dev", "/sys", "/run", "/boot", "/opt", "/nix", "/snap",
	} {
		if path == dir || strings.HasPrefix(path, dir+"/") {
			return fallbackDir
		}
	}
	return path
}

// Reopen takes up a workspace that another process prepared and left, after a
// crash or to go on.
func (r *Repository) Reopen(ctx context.Context, runDir string) (*Workspace, error) {
	w := &Workspace{repo: r, runDir: runDir}
	data, err := os.ReadFile(w.path(recordFile))
	if err != nil {
		return nil, fmt.Errorf("reopen workspace: %w", err)
	}
	if err := json.Unmarshal(data, &w.rec); err != nil {
		return nil, fmt.Errorf("reopen workspace %q: %w", w.path(recordFile), err)
	}
	w.Included.Copied = w.rec.Included
	if w.rec.Start.Commit == "" { // written before there was a difference
		w.rec.Start = w.rec.Base
	}
	if w.scope, err = ParseScope(w.rec.Scope); err != nil {
		return nil, fmt.Errorf("reopen workspace %q: %w", w.path(recordFile), err)
	}
	if w.rec.Overlay {
		if err := w.openPristine(ctx); err != nil {
			return nil, fmt.Errorf("reopen workspace %q: %w", runDir, err)
		}
	}
	return w, nil
}

// save writes the record in one step; w.mu is held.
func (w *Workspace) save() error {
	data, err := json.MarshalIndent(w.rec, "", "\t")
	if err != nil {
		return fmt.Errorf("save workspace: %w", err)
	}
	temp := w.path(recordFile + ".new")
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return fmt.Errorf("save workspace: %w", err)
	}
	if err := os.Rename(temp, w.path(recordFile)); err != nil {
		return fmt.Errorf("save workspace: %w", err)
	}
	return nil
}

// Close lets go of the shared checkout; files stay. The sandboxes that use the
// workspace must be closed before.
func (w *Workspace) Close() error {
	if w.pristine == nil {
		return nil
	}
	lock := w.pristine.lock
	w.pristine.lock = nil
	return lock.unlock()
}
