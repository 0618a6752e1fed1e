package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"agentprocess/internal/execx"
	"agentprocess/internal/sandbox"
)

// ImportResult says what an import brought home.
type ImportResult struct {
	// Tip is the agent's branch now.
	Tip string
	// Changed is set when Tip is another than before.
	Changed bool
	// Stat counts what the branch changes against the base.
	Stat sandbox.DiffStat
	// Flagged are changed paths to look at before the branch is used.
	Flagged []Flag
	// Dropped are paths whose changes were taken out of the commits.
	Dropped []string
	// Rebased is set when the base is not an ancestor of Tip.
	Rebased bool
	// Replaced is the ref that keeps the tip before, when this one does not
	// descend from it: the agent amended or rebased.
	Replaced string
	// Diverged is set when a person moved the branch: it was left alone, and
	// Tip is at refs/agents/<name>/imported.
	Diverged bool
	// Kept are further refs that the agent made: other branches, its stash.
	Kept []string
	// Held is what was refused, because it changes what is outside the scope or
	// because the inspection cut it, and where it is; nil when nothing is.
	Held *Held
}

// maxKept bounds how many refs besides the branch are brought home.
const maxKept = 64

// Import brings the agent's commits home: served inside a fresh sandbox,
// received in quarantine, cleaned, inspected, and then packed for the user's
// repository. It fails with ErrGitDir when what is served is of no use.
func (w *Workspace) Import(ctx context.Context, start UploadPack) (ImportResult, error) {
	if err := w.receive(ctx, start); err != nil {
		if ctx.Err() != nil {
			return ImportResult{}, context.Cause(ctx)
		}
		return ImportResult{}, fmt.Errorf("receive the commits of %q: %w", w.rec.Name, errors.Join(err, ErrGitDir))
	}
	in, err := w.incoming(ctx)
	if err != nil {
		return ImportResult{}, err
	}
	rw := newRewriter(w)
	if err := rw.run(ctx, in.tips()); err != nil {
		return ImportResult{}, fmt.Errorf("inspect the commits of %q: %w", w.rec.Name, err)
	}
	refused, err := w.refused(ctx, in, rw)
	if err != nil {
		return ImportResult{}, fmt.Errorf("compare the commits of %q with what they may bring: %w", w.rec.Name, err)
	}
	result := ImportResult{Tip: in.tip, Dropped: rw.dropped}
	if err := w.inspect(ctx, rw.examiner, &result); err != nil {
		return ImportResult{}, fmt.Errorf("inspect the commits of %q: %w", w.rec.Name, err)
	}
	err = w.repo.locked(ctx, func() error {
		if result.Held, err = w.hold(ctx, refused); err != nil {
			return fmt.Errorf("hold what was refused of %q: %w", w.rec.Name, err)
		}
		return w.bringHome(ctx, in, &result)
	})
	return result, err
}

// incoming is what the quarantine received.
type incoming struct {
	tip  string
	more map[string]string // other refs below pinPrefix: name to id
}

// incoming reads the refs that were received.
func (w *Workspace) incoming(ctx context.Context) (*incoming, error) {
	const prefix = "refs/incoming/"
	out, err := w.repo.git.run(ctx, w.quarantine("for-each-ref", "--format=%(objecttype) %(objectname) %(refname)", prefix))
	if err != nil {
		return nil, fmt.Errorf("list what was received: %w", err)
	}
	refs, kinds, err := parseTypedRefs(out)
	if err != nil {
		return nil, err
	}
	branch := prefix + "heads/" + Branch(w.rec.Name)
	in := &incoming{more: map[string]string{}}
	head := refs[prefix+"agent-process/head"]
	if err := onlyCommits(kinds, head, refs[branch]); err != nil {
		return nil, err
	}
	if in.tip, err = w.received(ctx, head, refs[branch]); err != nil {
		return nil, err
	}
	for ref, id := range refs {
		name := strings.TrimPrefix(ref, prefix)
		if (strings.HasPrefix(name, "heads/") || name == "stash") && id != in.tip && id != w.rec.Base.Commit {
			in.more[name] = id
		}
	}
	if id := refs[prefix+outsideName]; id != "" && !w.scope.Everything() {
		in.more[outsideName] = id
	}
	if len(in.more) > maxKept {
		return nil, fmt.Errorf("the agent made %d branches, more than %d", len(in.more), maxKept)
	}
	return in, onlyCommits(kinds, in.tips()...)
}

// parseTypedRefs reads lines of "type id refname", with the type by id.
func parseTypedRefs(out []byte) (refs, kinds map[string]string, err error) {
	var lines bytes.Buffer
	kinds = map[string]string{}
	for line := range strings.Lines(string(out)) {
		kind, rest, _ := strings.Cut(line, " ")
		id, _, _ := strings.Cut(rest, " ")
		kinds[id] = kind
		lines.WriteString(rest)
	}
	refs, err = parseRefs(lines.Bytes())
	return refs, kinds, err
}

// received chooses the tip: what HEAD was at the last Commit, or the branch
// when that went on from there since.
func (w *Workspace) received(ctx context.Context, head, branch string) (string, error) {
	switch {
	case head == "" && branch == "":
		return "", fmt.Errorf("branch %q was not served: %w", Branch(w.rec.Name), ErrGitDir)
	case head == "" || branch == "" || head == branch:
		return firstOf(head, branch), nil
	}
	on, err := w.isAncestor(ctx, head, branch)
	if err != nil {
		return "", fmt.Errorf("compare what was received: %w", err)
	}
	if on {
		return branch, nil
	}
	return head, nil
}

// onlyCommits refuses refs of branches that name something else than a commit.
func onlyCommits(kinds map[string]string, ids ...string) error {
	for _, id := range ids {
		if kind := kinds[id]; id != "" && kind != "commit" {
			return fmt.Errorf("a branch of the agent is a %s: %w", kind, ErrGitDir)
		}
	}
	return nil
}

func (in *incoming) tips() []string {
	tips := []string{in.tip}
	for _, id := range in.more {
		tips = append(tips, id)
	}
	slices.Sort(tips)
	return slices.Compact(tips)
}

// rename puts each commit's successor in its place.
func (in *incoming) rename(became func(string) string) {
	in.tip = became(in.tip)
	for name, id := range in.more {
		in.more[name] = became(id)
	}
}

// inspect compares the tip with the base.
func (w *Workspace) inspect(ctx context.Context, x *examiner, result *ImportResult) (err error) {
	d, base := w.repo.git, w.rec.Base.Commit
	result.Stat, result.Flagged, result.Rebased, err = d.inspectMore(ctx, w.quarantine(), base, result.Tip, x.flagged)
	return err
}

// inspect says what tip changes against base, in the repository of c, and what
// of it a person should look at.
func (d *door) inspect(ctx context.Context, c call, base, tip string) (sandbox.DiffStat, []Flag, error) {
	stat, list, _, err := d.inspectMore(ctx, c, base, tip, func([]change) []Flag { return nil })
	return stat, list, err
}

// inspectMore is inspect with further things to look at. Rebased is set when
// base is not an ancestor of tip.
func (d *door) inspectMore(ctx context.Context, c call, base, tip string, more func([]change) []Flag) (stat sandbox.DiffStat, list []Flag, rebased bool, err error) {
	var e *diffEntry
	var ahead, behind int
	g, both := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		e, err = d.diff(both, c, base, tip)
		return err
	})
	g.Go(func() (err error) {
		ahead, behind, err = d.apart(both, c, base, tip)
		return err
	})
	if err := g.Wait(); err != nil {
		return stat, nil, false, err
	}
	stat = e.stat()
	stat.Commits = ahead
	links, err := d.escapingLinks(ctx, c, e.changes)
	return stat, slices.Concat(flags(e.changes), links, more(e.changes)), behind > 0, err
}

// apart counts the commits that tip has and base has not, and the other way
// round.
func (d *door) apart(ctx context.Context, c call, base, tip string) (ahead, behind int, err error) {
	c.args = []string{"rev-list", "--count", "--left-right", base + "..." + tip, "--"}
	out, err := d.line(ctx, c)
	if err != nil {
		return 0, 0, fmt.Errorf("count commits %s..%s: %w", base, tip, err)
	}
	left, right, _ := strings.Cut(out, "\t")
	behind, errLeft := strconv.Atoi(left)
	ahead, errRight := strconv.Atoi(right)
	return ahead, behind, errors.Join(errLeft, errRight)
}

// maxLinks bounds how many symbolic links of one import are read.
const maxLinks = 1000

// escapingLinks flags new symbolic links that lead out of the tree.
func (d *door) escapingLinks(ctx context.Context, c call, changes []change) ([]Flag, error) {
	var list []Flag
	links := 0
	for _, ch := range changes {
		if ch.newMode != linkMode {
			continue
		}
		if links++; links > maxLinks {
			return append(list, Flag{Path: ch.path, Reason: fmt.Sprintf("is one of more than %d links, which were not looked at", maxLinks)}), nil
		}
		buf := &head{limit: 4096}
		c.args, c.stdout = []string{"cat-file", "blob", ch.newID}, buf
		if err := d.runInto(ctx, c); err != nil {
			return nil, err
		}
		if target := buf.buf.String(); leaves(ch.path, target) {
			list = append(list, Flag{Path: ch.path, Reason: linkReason(target)})
		}
	}
	return list, nil
}

// leaves reports whether a link at path leads out of the tree, or into a git
// directory. One that goes up after it went down is taken for leaving: what it
// goes down by may be a link itself.
func leaves(path, target string) bool {
	if !staysInside(path, target) {
		return true
	}
	up := true
	for c := range strings.SplitSeq(target, "/") {
		if strings.EqualFold(c, ".git") || c == ".." && !up {
			return true
		}
		up = up && (c == ".." || c == "." || c == "")
	}
	return false
}

// linkReason says where a link leads.
func linkReason(target string) string {
	return fmt.Sprintf("is a link to %q, outside the tree", target)
}

func (w *Workspace) isAncestor(ctx context.Context, a, b string) (bool, error) {
	return w.repo.git.isAncestor(ctx, w.quarantine(), a, b)
}

// isAncestor reports whether b has a in its history, in the repository of c.
func (d *door) isAncestor(ctx context.Context, c call, a, b string) (bool, error) {
	c.args = []string{"merge-base", "--is-ancestor", a, b}
	_, err := d.run(ctx, c)
	if execx.ExitCode(err) == 1 {
		return false, nil
	}
	return err == nil, err
}

// bringHome copies into the user's repository and then moves all refs, the
// agent's branch among them, in one step. The repository's lock is held.
func (w *Workspace) bringHome(ctx context.Context, in *incoming, result *ImportResult) error {
	name, pins := w.rec.Name, pinPrefix(w.rec.Name)
	refs, err := w.repo.refs(ctx, branchRef(name), strings.TrimSuffix(pins, "/"))
	if err != nil {
		return err
	}
	var script strings.Builder
	var want []string
	pin := func(ref, id string) {
		if refs[ref] != id {
			fmt.Fprintf(&script, "update %s %s\n", ref, id)
			want = append(want, id)
		}
	}
	pin(pins+"imported", in.tip)
	for ref, id := range in.more {
		pin(pins+ref, id)
		result.Kept = append(result.Kept, pins+ref)
	}
	slices.Sort(result.Kept)
	move, err := w.moveBranch(ctx, refs, result)
	if err != nil {
		return err
	}
	script.WriteString(move)
	if script.Len() > 0 {
		keep, err := w.publish(ctx, want, slices.Collect(maps.Values(refs)))
		if err == nil {
			err = w.repo.updateRefs(ctx, fmt.Sprintf("agent-process: import %d commits of %s", result.Stat.Commits, name), script.String())
		}
		if keep != "" { // a ref holds it now, or nobody wants it
			err = errors.Join(err, os.Remove(keep))
		}
		if err != nil {
			return err
		}
	}
	return w.update(func(r *record) { r.Tip = result.Tip })
}

// moveBranch says how the agent's branch moves to the new tip, if it is where we
// left it: commits that a person put on it are not ours to drop.
func (w *Workspace) moveBranch(ctx context.Context, refs map[string]string, result *ImportResult) (script string, err error) {
	name, old, last := w.rec.Name, refs[branchRef(w.rec.Name)], w.Tip()
	result.Changed = result.Tip != last
	if old != "" && old == w.rec.Signed && result.Tip == last { // nothing came since
		result.Tip = old
		return "", nil
	}
	switch old {
	case result.Tip: // also when a crash kept us from noting that it moved
	case last, w.rec.Signed, "":
		script = "update " + branchRef(name) + " " + result.Tip + " " + firstOf(old, w.repo.zero()) + "\n"
	default:
		result.Diverged = true
	}
	if old != "" && !result.Diverged && old != result.Tip && old != w.rec.Base.Commit {
		ancestor, err := w.isAncestor(ctx, old, result.Tip)
		if err != nil {
			return "", err
		}
		if !ancestor {
			result.Replaced = freeRef(refs, pinPrefix(name)+"imported-")
			script += "create " + result.Replaced + " " + old + "\n"
		}
	}
	return script, nil
}

// freeRef is prefix with the first number that no ref has yet.
func freeRef(refs map[string]string, prefix string) string {
	for n := 1; ; n++ {
		ref := fmt.Sprintf("%s%d", prefix, n)
		if _, taken := refs[ref]; !taken {
			return ref
		}
	}
}
