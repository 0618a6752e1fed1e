package workspace

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// agentPair are two agents of a forecast, by their places in its list.
type agentPair struct{ i, j int }

// The bounds of what is compared by lines; beyond them git merges.
const (
	maxLinePaths = 4000      // paths in one command line
	maxPathBytes = 256 << 10 // of the system's 2 MB for one (execve(2))
)

// byLines decides pairs without merging whole trees: two agents that began at
// the same commit, and changed the same text files, are in conflict where the
// lines they changed touch. One comparison per agent decides all its pairs. It
// gives back the pairs that only a merge can tell.
func (f *forecaster) byLines(ctx context.Context, pairs []agentPair) (unclear []agentPair, err error) {
	shared := map[agentPair][]string{} // paths that both changed, to be compared by lines
	need := map[string]bool{}
	involved := map[int]bool{}
	for _, p := range pairs {
		paths, ok := f.textPaths(p)
		if !ok || !f.alone[p.i] || !f.alone[p.j] || f.agents[p.i].Base != f.agents[p.j].Base {
			unclear = append(unclear, p)
			continue
		}
		shared[p] = paths
		for _, path := range paths {
			need[path], involved[p.i], involved[p.j] = true, true, true
		}
	}
	hunks, err := f.hunks(ctx, slices.Sorted(maps.Keys(involved)), slices.Sorted(maps.Keys(need)))
	if err != nil {
		return nil, err
	}
	for _, p := range slices.SortedFunc(maps.Keys(shared), comparePairs) {
		if conflicts, ok := f.clashes(p, shared[p], hunks); ok {
			f.used[f.key(p)] = mergeResult{conflicts: conflicts}
		} else {
			unclear = append(unclear, p)
		}
	}
	return unclear, nil
}

func comparePairs(a, b agentPair) int {
	if a.i != b.i {
		return a.i - b.i
	}
	return a.j - b.j
}

// key is what is remembered of a pair.
func (f *forecaster) key(p agentPair) string { return f.merging(p).key() }

func (f *forecaster) merging(p agentPair) mergePair {
	return mergePair{ours: f.agents[p.i].Tip, theirs: f.agents[p.j].Tip}
}

// textPaths lists the files that both agents of a pair changed, each in its own
// way; ok is unset when one is more than a file with other lines.
func (f *forecaster) textPaths(p agentPair) (paths []string, ok bool) {
	if f.loose[p.i] || f.loose[p.j] {
		return nil, false
	}
	for path, ours := range f.changes[p.i] {
		theirs, both := f.changes[p.j][path]
		switch {
		case !both && f.hasAbove(p.j, path):
			return nil, false
		case !both:
		case ours.newID == theirs.newID && ours.newMode == theirs.newMode:
		case ours.otherLines() && theirs.otherLines() && ours.oldID == theirs.oldID:
			paths = append(paths, path)
		default:
			return nil, false
		}
	}
	for path := range f.changes[p.j] {
		if f.hasAbove(p.i, path) {
			return nil, false
		}
	}
	return paths, true
}

// hasAbove reports whether path is a directory of something the agent changed.
func (f *forecaster) hasAbove(agent int, path string) bool {
	file, there := f.paths[agent][path]
	return there && !file
}

// otherLines reports whether the change is of a file's content alone.
func (c change) otherLines() bool {
	return c.status == 'M' && c.oldMode == c.newMode && (c.newMode == fileMode || c.newMode == execMode)
}

// clashes lists the paths in which two agents changed lines that touch.
func (f *forecaster) clashes(p agentPair, paths []string, hunks map[blobPair][]hunk) (conflicts []string, ok bool) {
	for _, path := range paths {
		ours, theirs := hunks[f.changes[p.i][path].blobs()], hunks[f.changes[p.j][path].blobs()]
		if len(ours) == 0 || len(theirs) == 0 {
			return nil, false // no text, or not compared
		}
		switch meet(ours, theirs) {
		case linesClash:
			conflicts = append(conflicts, path)
		case linesUnclear:
			return nil, false
		case linesApart:
		}
	}
	slices.Sort(conflicts)
	return conflicts, true
}

func (c change) blobs() blobPair { return blobPair{c.oldID, c.newID} }

// hunks compares base and tip of agents at paths, on all processors. Where an
// attribute says how a file is merged, it is left out.
func (f *forecaster) hunks(ctx context.Context, agents []int, paths []string) (map[blobPair][]hunk, error) {
	size := 0
	for _, p := range paths {
		size += len(p) + 1
	}
	if len(paths) == 0 || len(paths) > maxLinePaths || size > maxPathBytes {
		return nil, nil
	}
	plain, err := f.r.withoutDriver(ctx, paths)
	if err != nil || len(plain) == 0 {
		return nil, err
	}
	all := map[blobPair][]hunk{}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	for part := range slices.Chunk(agents, (len(agents)-1)/runtime.GOMAXPROCS(0)+1) {
		g.Go(func() error {
			some, err := f.compare(ctx, part, plain)
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(all, some)
			return err
		})
	}
	return all, g.Wait()
}

// compare is one run of git for hunks.
func (f *forecaster) compare(ctx context.Context, agents []int, paths []string) (map[blobPair][]hunk, error) {
	var in strings.Builder
	for _, i := range agents {
		in.WriteString(f.trees[2*i] + " " + f.trees[2*i+1] + "\n")
	}
	// As `git merge-tree` compares: its default algorithm, no heuristic.
	args := safeDiff("-r", "-p", "-U0", "--full-index", "--no-renames", "--diff-algorithm=histogram", "--no-indent-heuristic", "--stdin", "--")
	c := f.r.inTree(append([]string{"--literal-pathspecs"}, append(args, paths...)...)...)
	c.stdin = strings.NewReader(in.String())
	out, err := f.r.git.run(ctx, c)
	if err != nil {
		return nil, err
	}
	return parseHunks(out)
}

// withoutDriver leaves out the paths for which an attribute names how they are
// merged.
func (r *Repository) withoutDriver(ctx context.Context, paths []string) ([]string, error) {
	c := r.inTree("check-attr", "-z", "--stdin", "merge")
	c.stdin = strings.NewReader(strings.Join(paths, "\x00") + "\x00")
	out, err := r.git.run(ctx, c)
	if err != nil {
		return nil, err
	}
	fields := splitPaths(out)
	if len(fields) != 3*len(paths) {
		return nil, errors.New("git check-attr told of other paths than it was asked")
	}
	var plain []string
	for f := range slices.Chunk(fields, 3) { // path, attribute, value
		if f[2] == "unspecified" {
			plain = append(plain, f[0])
		}
	}
	return plain, nil
}

// lineage finds the agents whose commits all stand on their base, and on nothing
// that another agent has too: what two of them share is then their base alone.
func (f *forecaster) lineage(ctx context.Context) error {
	var in strings.Builder
	for _, a := range f.agents {
		in.WriteString(a.Tip + "\n^" + a.Base + "\n")
	}
	c := f.r.common("rev-list", "--parents", "--stdin")
	c.stdin = strings.NewReader(in.String())
	out, err := f.r.git.run(ctx, c)
	if err != nil {
		return err
	}
	commits, err := parseCommits(out)
	if err != nil {
		return err
	}
	parents := map[string][]string{}
	for _, c := range commits {
		parents[c.id] = c.parents
	}
	owner := map[string]int{}
	f.alone = make([]bool, len(f.agents))
	for i, a := range f.agents {
		based, strange := false, false
		for todo := []string{a.Tip}; len(todo) > 0; {
			id := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			other, seen := owner[id]
			_, own := parents[id]
			switch {
			case id == a.Base:
				based = true
			case !own: // it stands on something else as well
				strange = true
			case seen && other != i:
				strange, f.alone[other] = true, false
			case !seen:
				owner[id] = i
				todo = append(todo, parents[id]...)
			}
		}
		f.alone[i] = based && !strange
	}
	return nil
}
