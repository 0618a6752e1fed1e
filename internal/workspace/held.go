package workspace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"agentprocess/internal/inspect"
	"agentprocess/internal/sandbox"
)

// Held is the work of one run that was refused because it changes what is
// outside the run's scope, or because the inspection of an import cut it out of
// the commits. It is in a repository of ours, beside the runs, and
// outlives run, branch and [Repository.Trash]: until [Repository.ReleaseHeld]
// or [Repository.DiscardHeld].
type Held struct {
	Name  string   `json:"name"`
	Run   string   `json:"run"` // the base name of the run directory
	Scope []string `json:"scope"`
	Base  string   `json:"base"`
	// From is the last commit before Tip that was not refused.
	From string `json:"from"`
	// Tip has everything that was refused of the branch, and of the tree; empty
	// when it is only other branches, or when the agent took it back.
	Tip string `json:"tip"`
	// Uncommitted is set when Tip is a commit that we made, with what the agent
	// changed outside the scope and did not commit, or with what was cut.
	Uncommitted bool `json:"uncommitted"`
	// Cut are files that the inspection took out of the agent's commits. Tip has
	// them, in a commit that we made.
	Cut []HeldFile `json:"cut,omitempty"`
	// Commits are those that were refused, parents first, as many as fit; Count
	// is how many there are.
	Commits []HeldCommit `json:"commits"`
	Count   int          `json:"count"`
	// More are other branches of the agent, and its stash, that were refused.
	More []HeldRef `json:"more"`
	// Before are earlier tips, which the agent rewrote or took back since.
	Before []HeldRef `json:"before"`
	Time   time.Time `json:"time"`
	// GitDir is the repository where all this is, and Look the command that
	// shows it, with nothing but git; empty without a Tip.
	GitDir string `json:"-"`
	Look   string `json:"-"`
}

// HeldCommit is a commit that was refused.
type HeldCommit struct {
	ID      string `json:"id"`
	Subject string `json:"subject"`
	// Outside are the first of the Count paths that it changes outside the
	// scope; none when it is refused for what it is built on.
	Outside []string `json:"outside"`
	Count   int      `json:"count"`
}

// HeldFile is a file that was taken out of commits.
type HeldFile struct {
	Path   string       `json:"path"`
	Kind   inspect.Kind `json:"kind"`
	Reason string       `json:"reason"`
}

// HeldRef is a further ref that keeps refused work.
type HeldRef struct {
	Name string `json:"name"` // as the agent called it, such as "heads/try"
	Ref  string `json:"ref"`  // in the repository where it is held
	Tip  string `json:"tip"`
}

// Names in the directory where refused work is.
const (
	heldFile    = "held.json"
	heldTip     = "refs/held/tip"
	heldNew     = "refs/held/incoming"
	heldMore    = "refs/held/more/"
	heldBefore  = "refs/held/before/"
	heldMaking  = ".new-"
	heldRemoved = ".removed-"
)

// heldDir is where refused work of the repository's agents is.
func (r *Repository) heldDir() string { return filepath.Join(r.cfg.StateDir, "held", r.key()) }

// heldPin is the ref that keeps the base of refused work from being collected:
// what is refused borrows from it.
func heldPin(name, run string) string { return "refs/agents/" + heldName + "/" + name + "/" + run }

// run is the name of the run, which is that of its directory.
func (w *Workspace) run() string { return filepath.Base(w.runDir) }

// runPattern is what a run with a scope may be called: it becomes part of a ref.
var runPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`) })

func validRun(run string) error {
	if !runPattern().MatchString(run) || strings.HasSuffix(run, ".lock") {
		return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("%q is no name of a run", run), "")
	}
	return nil
}

// Held lists refused work, oldest first: that of the agents called name, or of
// all when it is empty.
func (r *Repository) Held(name string) ([]Held, error) {
	entries, err := os.ReadDir(r.heldDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list what is held: %w", err)
	}
	var list []Held
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue // on its way in or out
		}
		h, ok, err := r.heldOf(e.Name())
		if err != nil {
			return nil, err
		}
		if ok && (name == "" || h.Name == name) {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(a, b Held) int { return a.Time.Compare(b.Time) })
	return list, nil
}

// Held is what was refused of this workspace, and whether anything was.
func (w *Workspace) Held() (Held, bool, error) { return w.repo.heldOf(w.run()) }

// heldOf reads what is held of one run.
func (r *Repository) heldOf(run string) (Held, bool, error) {
	dir := filepath.Join(r.heldDir(), run)
	data, err := os.ReadFile(filepath.Join(dir, heldFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Held{}, false, nil
	}
	var h Held
	if err == nil {
		err = json.Unmarshal(data, &h)
	}
	if err != nil {
		return Held{}, false, fmt.Errorf("read what is held in %q: %w", dir, err)
	}
	return h.located(dir), true, nil
}

// located says where h is.
func (h Held) located(dir string) Held {
	h.GitDir = dir
	if h.Tip != "" {
		h.Look = "git --git-dir=" + shellQuote(dir) + " log -p " + h.From + ".." + h.Tip
	}
	return h
}

// call is a run of git where h is.
func (h Held) call(args ...string) call { return call{gitDir: h.GitDir, args: args, ours: true} }

// DiffHeld writes the patch of what is held, from the last commit that was not
// refused. Like that of Diff, it is the agent's text.
func (r *Repository) DiffHeld(ctx context.Context, h Held, out io.Writer) error {
	if h.Tip == "" {
		return nil
	}
	c := h.call(safeDiff("-r", "-p", "-M", "--full-index", h.From, h.Tip)...)
	c.stdout = out
	if err := r.git.runInto(ctx, c); err != nil {
		return fmt.Errorf("diff %s..%s: %w", h.From, h.Tip, err)
	}
	return nil
}
