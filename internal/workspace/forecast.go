package workspace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Forecast says how the work of agents would come home, without touching
// anything.
type Forecast struct {
	Onto   string    `json:"onto"`
	Agents []Outlook `json:"agents"` // with commits, by name
	// Order are agents that can be merged one after the other without a
	// conflict; Later are the others, which are to be resolved after them.
	Order []string `json:"order"`
	Later []string `json:"later"`
}

// Outlook is what is in the way of one agent's work.
type Outlook struct {
	Name string `json:"name"`
	Tip  string `json:"tip"`
	// Landed is set when all of it is in Onto: "merged" or "squashed".
	Landed    string   `json:"landed,omitempty"`
	Conflicts []string `json:"conflicts"` // paths, with Onto
	With      []Clash  `json:"with"`      // with other agents
}

// Clash are the paths in which an agent's work is in conflict with another's.
type Clash struct {
	Name  string   `json:"name"`
	Paths []string `json:"paths"`
}

// Of gives the outlook of an agent.
func (out Forecast) Of(name string) (Outlook, bool) {
	i := slices.IndexFunc(out.Agents, func(o Outlook) bool { return o.Name == name })
	if i < 0 {
		return Outlook{}, false
	}
	return out.Agents[i], true
}

// The words for work that is there already.
const (
	LandedMerged   = "merged"
	LandedSquashed = "squashed"
)

// forecaster is one forecast that is being made.
type forecaster struct {
	r       *Repository
	head    string
	tree    string // of head
	agents  []Agent
	trees   []string            // of each agent's base and tip, in turn
	paths   []map[string]bool   // that each changes, and the directories above
	changes []map[string]change // by path
	loose   []bool              // it renames: what it touches cannot be told by paths
	alone   []bool              // it shares its base with others, and nothing else
	known   map[string]mergeResult
	used    map[string]mergeResult
}

// Forecast merges, in memory, each agent's work with what is checked out here
// and with the work of every other agent that touches the same paths. What was
// merged before is remembered by the ids of the commits.
func (r *Repository) Forecast(ctx context.Context) (Forecast, error) {
	var out Forecast
	f := &forecaster{r: r, known: r.readForecasts(), used: map[string]mergeResult{}}
	if err := f.look(ctx); err != nil {
		return out, fmt.Errorf("forecast the merges of %q: %w", r.CommonDir, err)
	}
	if len(f.agents) == 0 {
		return out, nil
	}
	out, err := f.run(ctx)
	if err != nil {
		return out, fmt.Errorf("forecast the merges of %q: %w", r.CommonDir, err)
	}
	r.writeForecasts(f.used)
	out.plan(f)
	return out, nil
}

// look finds the agents with work, what is checked out, and what each touches.
func (f *forecaster) look(ctx context.Context) error {
	list, err := f.r.agentList(ctx)
	if err != nil || !slices.ContainsFunc(list.agents, func(a Agent) bool { return a.Base != "" }) {
		return err
	}
	commits, err := f.r.countCommits(ctx, list.agents)
	if err != nil {
		return err
	}
	for i, a := range list.agents {
		if a.Base != "" && commits[i] > 0 {
			f.agents = append(f.agents, a)
			f.trees = append(f.trees, strings.Fields(list.pairs[i])...)
		}
	}
	if len(f.agents) == 0 {
		return nil
	}
	out, err := f.r.git.line(ctx, f.r.here("show", "-s", "--no-show-signature", "--format=%H%n%T", "HEAD"))
	if err != nil {
		return err
	}
	head, tree, ok := strings.Cut(out, "\n")
	if !ok || !isObjectID(head) || !isObjectID(tree) {
		return fmt.Errorf("git says %q of HEAD", out)
	}
	f.head, f.tree = head, tree
	return errors.Join(f.touched(ctx), f.lineage(ctx))
}

// touched compares pairs of trees, base and tip of each agent.
func (f *forecaster) touched(ctx context.Context) error {
	var in strings.Builder
	for pair := range slices.Chunk(f.trees, 2) {
		in.WriteString(pair[0] + " " + pair[1] + "\n")
	}
	c := f.r.common(safeDiff("-r", "-z", "-M", "-l1000", "--raw", "--no-abbrev", "--stdin")...)
	c.stdin = strings.NewReader(in.String())
	out, err := f.r.git.run(ctx, c)
	if err != nil {
		return err
	}
	entries, err := parseDiff(out)
	if err != nil {
		return err
	}
	byPair := map[string]*diffEntry{}
	for _, e := range entries {
		byPair[e.id] = e
	}
	for pair := range slices.Chunk(f.trees, 2) {
		paths, changes, loose := map[string]bool{}, map[string]change{}, false
		if e := byPair[pair[0]+" "+pair[1]]; e != nil {
			for _, c := range e.changes {
				changes[c.path] = c
				loose = loose || c.from != ""
				for p := c.path; p != "."; p = path.Dir(p) {
					paths[p] = paths[p] || p == c.path
				}
			}
		}
		f.paths, f.changes, f.loose = append(f.paths, paths), append(f.changes, changes), append(f.loose, loose)
	}
	return nil
}

// apart reports whether two agents cannot be in conflict: their paths differ,
// and none is a directory of the other's.
func (f *forecaster) apart(i, j int) bool {
	if f.loose[i] || f.loose[j] {
		return false
	}
	for p, file := range f.paths[i] {
		if other, both := f.paths[j][p]; both && (file || other) {
			return false
		}
	}
	return true
}

// run merges all pairs that can be in conflict.
func (f *forecaster) run(ctx context.Context) (Forecast, error) {
	out := Forecast{Onto: f.onto(ctx)}
	merged, err := f.r.refsMergedInto(ctx, f.head)
	if err != nil {
		return out, err
	}
	based := map[string]bool{}
	var withHead []mergePair
	var pairs []agentPair
	for i, a := range f.agents {
		out.Agents = append(out.Agents, Outlook{Name: a.Name, Tip: a.Tip, Conflicts: []string{}, With: []Clash{}})
		if merged[branchRef(a.Name)] {
			out.Agents[i].Landed = LandedMerged
			continue
		}
		if _, asked := based[a.Base]; !asked {
			if based[a.Base], err = f.r.git.isAncestor(ctx, f.r.common(), a.Base, f.head); err != nil {
				return out, err
			}
		}
		if p := f.withHead(a, based[a.Base]); a.Base == f.head && f.alone[i] { // it only has to follow
			f.used[p.key()] = mergeResult{tree: f.trees[2*i+1]}
		} else {
			withHead = append(withHead, p)
		}
		for j := range i {
			if out.Agents[j].Landed == "" && !f.apart(j, i) {
				pairs = append(pairs, agentPair{j, i})
			}
		}
	}
	if err := f.merge(ctx, withHead, pairs); err != nil {
		return out, err
	}
	return out, f.judge(ctx, &out, based)
}

func (f *forecaster) withHead(a Agent, based bool) mergePair {
	p := mergePair{ours: f.head, theirs: a.Tip}
	if !based {
		p.base = a.Base
	}
	return p
}

// onto is what is checked out, in a word.
func (f *forecaster) onto(ctx context.Context) string {
	name, err := f.r.git.line(ctx, f.r.here("symbolic-ref", "-q", "--short", "HEAD"))
	if err != nil { // it is detached
		return "HEAD"
	}
	return name
}

func (p mergePair) key() string { return strings.TrimSpace(p.ours + " " + p.theirs + " " + p.base) }

// merge finds what is not known yet: the merges with HEAD, of which the trees
// are wanted too, and the pairs that cannot be decided by lines.
func (f *forecaster) merge(ctx context.Context, withHead []mergePair, pairs []agentPair) (err error) {
	todo := slices.DeleteFunc(withHead, f.remembers)
	pairs = slices.DeleteFunc(pairs, func(p agentPair) bool { return f.remembers(f.merging(p)) })
	if len(pairs) > 0 {
		if pairs, err = f.byLines(ctx, pairs); err != nil {
			return err
		}
	}
	for _, p := range pairs {
		todo = append(todo, f.merging(p))
	}
	if len(todo) == 0 {
		return nil
	}
	s, err := f.r.newScratch()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	results, err := f.r.mergeTrees(ctx, s, todo)
	if err != nil {
		return err
	}
	for i, p := range todo {
		f.used[p.key()] = results[i]
	}
	return nil
}

// remembers reports whether a merge was made last time.
func (f *forecaster) remembers(p mergePair) bool {
	m, ok := f.known[p.key()]
	if ok {
		f.used[p.key()] = m
	}
	return ok
}

// judge reads the merges: one with HEAD that gives the tree of HEAD brings
// nothing, so that all of it is there.
func (f *forecaster) judge(ctx context.Context, out *Forecast, based map[string]bool) error {
	for i, a := range f.agents {
		o := &out.Agents[i]
		if o.Landed != "" {
			continue
		}
		m := f.used[f.withHead(a, based[a.Base]).key()]
		o.Conflicts = append(o.Conflicts, m.conflicts...)
		switch {
		case len(m.conflicts) == 0 && m.tree == f.tree:
			o.Landed = LandedSquashed
		case len(m.conflicts) > 0 && based[a.Base]:
			squashed, err := f.r.squashed(ctx, a, f.head)
			if err != nil {
				return err
			}
			if squashed {
				o.Landed, o.Conflicts = LandedSquashed, []string{}
			}
		}
	}
	for i, a := range f.agents {
		for j := range i {
			m := f.used[f.key(agentPair{j, i})]
			if len(m.conflicts) == 0 || out.Agents[i].Landed != "" || out.Agents[j].Landed != "" {
				continue
			}
			out.Agents[i].With = append(out.Agents[i].With, Clash{Name: f.agents[j].Name, Paths: m.conflicts})
			out.Agents[j].With = append(out.Agents[j].With, Clash{Name: a.Name, Paths: m.conflicts})
		}
	}
	return nil
}

// plan proposes an order: always the one next that is in the way of the fewest,
// and of two alike the smaller one.
func (out *Forecast) plan(f *forecaster) {
	out.Order, out.Later = []string{}, []string{}
	size := map[string]int{}
	left := map[string]Outlook{}
	for i, o := range out.Agents {
		size[o.Name] = len(f.changes[i])
		switch {
		case o.Landed != "":
		case len(o.Conflicts) > 0:
			out.Later = append(out.Later, o.Name)
		default:
			left[o.Name] = o
		}
	}
	degree := func(o Outlook) int {
		n := 0
		for _, c := range o.With {
			if _, open := left[c.Name]; open {
				n++
			}
		}
		return n
	}
	for len(left) > 0 {
		names := slices.Sorted(maps.Keys(left))
		slices.SortStableFunc(names, func(a, b string) int {
			if d := degree(left[a]) - degree(left[b]); d != 0 {
				return d
			}
			return size[a] - size[b]
		})
		next := left[names[0]]
		out.Order = append(out.Order, next.Name)
		delete(left, next.Name)
		for _, c := range next.With {
			if _, open := left[c.Name]; open {
				out.Later = append(out.Later, c.Name)
				delete(left, c.Name)
			}
		}
	}
}

// refsMergedInto are the branches of agents whose commits head has.
func (r *Repository) refsMergedInto(ctx context.Context, head string) (map[string]bool, error) {
	out, err := r.git.run(ctx, r.common("for-each-ref", "--merged="+head, "--format=%(objectname) %(refname)", branchRef("*")))
	if err != nil {
		return nil, err
	}
	refs, err := parseRefs(out)
	merged := map[string]bool{}
	for ref := range refs {
		merged[ref] = true
	}
	return merged, err
}

// rememberedMerge is a merge in the file of them.
type rememberedMerge struct {
	Tree      string   `json:"tree"`
	Conflicts []string `json:"conflicts,omitempty"`
}

func (r *Repository) forecastFile() string {
	return filepath.Join(r.cfg.StateDir, "forecast", r.key()+".json")
}

// readForecasts reads what was merged last time. A file that cannot be read is
// as good as none.
func (r *Repository) readForecasts() map[string]mergeResult {
	known := map[string]mergeResult{}
	var list map[string]rememberedMerge
	data, err := os.ReadFile(r.forecastFile())
	if err != nil || json.Unmarshal(data, &list) != nil {
		return known
	}
	for key, m := range list {
		known[key] = mergeResult{tree: m.Tree, conflicts: m.Conflicts}
	}
	return known
}

// writeForecasts remembers what was used this time, and nothing else, so that
// the file does not grow. That it cannot costs time, nothing else.
func (r *Repository) writeForecasts(used map[string]mergeResult) {
	list := make(map[string]rememberedMerge, len(used))
	for key, m := range used {
		list[key] = rememberedMerge{Tree: m.tree, Conflicts: m.conflicts}
	}
	data, err := json.Marshal(list)
	if err != nil || os.MkdirAll(filepath.Dir(r.forecastFile()), 0o700) != nil {
		return
	}
	temp := fmt.Sprintf("%s.%d", r.forecastFile(), os.Getpid())
	if os.WriteFile(temp, data, 0o600) != nil || os.Rename(temp, r.forecastFile()) != nil {
		_ = os.Remove(temp) // it is small, and the next one replaces it
	}
}
