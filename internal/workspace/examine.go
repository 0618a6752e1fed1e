package workspace

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"agentprocess/internal/inspect"
)

// entry is what stands at a path of a tree: nothing when the mode is noMode.
type entry struct{ mode, id string }

// verdict is what is wrong with a change.
type verdict struct {
	kind   inspect.Kind
	action inspect.Action
	reason string
}

// cuts reports whether the change is taken out of the commit.
func (v verdict) cuts() bool { return v.action == inspect.Hold || v.action == inspect.Refuse }

// place is a file as a commit has it; verdicts are about these alone, and so
// the same in every import.
type place struct {
	path string
	entry
}

// examiner judges what an agent's commits bring, before any of it is in the
// person's repository.
type examiner struct {
	w       *Workspace
	policy  inspect.Policy
	scanner *inspect.Scanner
	rules   []flagRule

	sizes    map[string]int64 // of blobs
	verdicts map[place]verdict
	base     map[string]entry // the tree that the work is built on, once it is needed
}

func newExaminer(w *Workspace) *examiner {
	return &examiner{
		w: w, policy: w.rec.Inspect, scanner: inspect.NewScanner(w.rec.Inspect), rules: flagRules(),
		sizes: map[string]int64{}, verdicts: map[place]verdict{},
	}
}

// examine judges all new sides of changes.
func (x *examiner) examine(ctx context.Context, changes []change) error {
	contents := map[string][]place{} // blobs to be read, and where they are
	var blobs []string
	for _, c := range changes {
		p := place{c.path, entry{c.newMode, c.newID}}
		if _, done := x.verdicts[p]; done || c.newMode == noMode {
			continue
		}
		x.verdicts[p] = x.byName(p)
		if c.newMode == gitlinkMode {
			continue
		}
		if contents[c.newID] == nil {
			blobs = append(blobs, c.newID)
		}
		contents[c.newID] = append(contents[c.newID], p)
	}
	if len(blobs) == 0 {
		return nil
	}
	if err := x.measure(ctx, blobs); err != nil {
		return err
	}
	return x.read(ctx, blobs, contents)
}

// note keeps a verdict, unless there is a stricter one.
func (x *examiner) note(p place, kind inspect.Kind, reason string) {
	v := verdict{kind: kind, action: x.policy.Action(kind), reason: reason}
	old := x.verdicts[p]
	rank := func(a inspect.Action) int { return slices.Index(inspect.Actions(), a) }
	if old.kind == "" || rank(v.action) > rank(old.action) {
		x.verdicts[p] = v
	}
}

// byName judges a file without its content.
func (x *examiner) byName(p place) verdict {
	var list []verdict
	add := func(kind inspect.Kind, reason string) {
		list = append(list, verdict{kind: kind, action: x.policy.Action(kind), reason: reason})
	}
	if rule := flagRuleOf(x.rules, p.path); rule.reason != "" {
		add(rule.kind, rule.reason)
	}
	if what := x.w.runsOnHost(p.path); what != "" {
		add(inspect.GitPrograms, what)
	}
	switch p.mode {
	case gitlinkMode:
		add(inspect.Submodules, reasonGitlink)
	case execMode:
		add(inspect.Executables, "is executable")
	}
	worst := verdict{}
	for _, v := range list {
		if worst.kind == "" || slices.Index(inspect.Actions(), v.action) > slices.Index(inspect.Actions(), worst.action) {
			worst = v
		}
	}
	return worst
}

// measure asks for the sizes of blobs, all in one run.
func (x *examiner) measure(ctx context.Context, blobs []string) error {
	c := x.w.quarantine("cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)")
	c.stdin = strings.NewReader(strings.Join(blobs, "\n") + "\n")
	out, err := x.w.repo.git.run(ctx, c)
	if err != nil {
		return fmt.Errorf("measure the agent's files: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) == 2 && f[1] == "missing" { // of a partial clone: the agent cannot have changed it
			continue
		}
		if len(f) != 3 || !isObjectID(f[0]) || f[1] != "blob" {
			return fmt.Errorf("object line %q is not understood", line)
		}
		size, err := strconv.ParseInt(f[2], 10, 64)
		if err != nil {
			return fmt.Errorf("object line %q: %w", line, err)
		}
		x.sizes[f[0]] = size
	}
	return nil
}

// read looks into all blobs that are not too large already, in one run of git.
func (x *examiner) read(ctx context.Context, blobs []string, at map[string][]place) error {
	var in strings.Builder
	for _, id := range blobs {
		size, known := x.sizes[id]
		if !known {
			continue
		}
		if size > x.policy.Limit() {
			for _, p := range at[id] {
				x.note(p, inspect.Large, fmt.Sprintf("has %s, more than %s", bytesText(size), bytesText(x.policy.Limit())))
			}
			if x.policy.Action(inspect.Large) != inspect.Flag {
				continue
			}
		}
		in.WriteString(id + "\n")
	}
	if in.Len() == 0 {
		return nil
	}
	var suspects []suspect
	err := x.w.repo.git.batch(ctx, x.w.quarantine(), in.String(), func(id string, data []byte) {
		for _, p := range at[id] {
			if s := x.content(p, data); len(s.found) > 0 || s.file != "" {
				suspects = append(suspects, s)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("look into the agent's files: %w", err)
	}
	return x.secrets(ctx, suspects)
}

// suspect is a file that has secrets, unless the base has them too.
type suspect struct {
	at    place
	found []inspect.Finding
	file  string // why it holds secrets by its name
}

// content judges a file by what is in it.
func (x *examiner) content(p place, data []byte) suspect {
	if p.mode == linkMode {
		if target := string(data); leaves(p.path, target) {
			x.note(p, inspect.Links, linkReason(target))
		}
		return suspect{at: p}
	}
	s := suspect{at: p, found: x.scanner.Scan(p.path, data)}
	if len(bytes.TrimSpace(data)) > 0 {
		s.file = x.scanner.SecretFile(p.path)
	}
	return s
}

// secrets notes what suspects have that the base has not: what is published
// already is not the agent's doing, and holding it would hold honest work.
func (x *examiner) secrets(ctx context.Context, suspects []suspect) error {
	if len(suspects) == 0 {
		return nil
	}
	if err := x.readBase(ctx); err != nil {
		return err
	}
	var in strings.Builder
	for _, s := range suspects {
		if e, ok := x.base[s.at.path]; ok && e.mode != gitlinkMode && e.id != s.at.id {
			in.WriteString(e.id + "\n")
		}
	}
	blobs := map[string][]byte{}
	if in.Len() > 0 {
		err := x.w.repo.git.batch(ctx, x.w.quarantine(), in.String(), func(id string, data []byte) { blobs[id] = bytes.Clone(data) })
		if err != nil {
			return fmt.Errorf("look into the base's files: %w", err)
		}
	}
	for _, s := range suspects {
		e, known := x.base[s.at.path]
		if known && e.id == s.at.id {
			continue
		}
		x.suspect(s, known, blobs[e.id])
	}
	return nil
}

// suspect notes one, compared with what the base has in its place.
func (x *examiner) suspect(s suspect, known bool, base []byte) {
	old := map[string]bool{}
	for _, f := range x.scanner.Scan(s.at.path, base) {
		old[f.Secret] = true
	}
	for _, f := range s.found {
		if !old[f.Secret] {
			x.note(s.at, inspect.Secrets, "holds "+f.Reason())
			return
		}
	}
	if s.file != "" && !known {
		x.note(s.at, inspect.Secrets, "is "+s.file)
	}
}

// readBase reads the tree that the work is built on, once.
func (x *examiner) readBase(ctx context.Context) error {
	if x.base != nil {
		return nil
	}
	out, err := x.w.repo.git.run(ctx, x.w.quarantine("ls-tree", "-r", "-z", "--full-tree", x.w.ground()))
	if err != nil {
		return fmt.Errorf("list the base: %w", err)
	}
	x.base = map[string]entry{}
	for _, line := range splitPaths(out) { // "mode kind id TAB path"
		head, name, found := strings.Cut(line, "\t")
		f := strings.Fields(head)
		if !found || len(f) != 3 || !isObjectID(f[2]) {
			return fmt.Errorf("tree line %q is not understood", line)
		}
		x.base[name] = entry{f[0], f[2]}
	}
	return nil
}

// judge is what was found out of a change.
func (x *examiner) judge(c change) verdict {
	return x.verdicts[place{c.path, entry{c.newMode, c.newID}}]
}

// flagged are the changes that come home and were found to be more than their
// path and mode tell.
func (x *examiner) flagged(changes []change) []Flag {
	var list []Flag
	for _, c := range changes {
		v := x.judge(c)
		if v.action == inspect.Flag && (v.kind == inspect.Secrets || v.kind == inspect.Large || v.kind == inspect.GitPrograms) {
			list = append(list, Flag{Path: c.path, Reason: v.reason})
		}
	}
	return list
}

// bytesText is a size as people read it.
func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%d kB", n>>10)
	}
}

// batch hands the content of objects to use, one at a time; data is its until
// it returns.
func (d *door) batch(ctx context.Context, c call, ids string, use func(id string, data []byte)) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	c.args, c.stdin, c.stdout = []string{"cat-file", "--batch"}, strings.NewReader(ids), w
	done := make(chan error, 1)
	go func() { // it always reads to the end, or git would hang
		err := readBatch(r, use)
		_, drained := io.Copy(io.Discard, r)
		done <- errors.Join(err, drained, r.Close())
	}()
	ran := errors.Join(d.runInto(ctx, c), w.Close())
	return errors.Join(ran, <-done)
}

// readBatch reads answers of `git cat-file --batch`.
func readBatch(in io.Reader, use func(id string, data []byte)) error {
	r := bufio.NewReaderSize(in, 1<<16)
	var data []byte
	for {
		head, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) && head == "" {
			return nil
		}
		if err != nil {
			return fmt.Errorf("object header %q: %w", head, err)
		}
		f := strings.Fields(head)
		if len(f) == 2 && f[1] == "missing" {
			continue
		}
		size := int64(-1)
		if len(f) == 3 && isObjectID(f[0]) {
			size, err = strconv.ParseInt(f[2], 10, 63)
		}
		if err != nil || size < 0 || size > maxImportBytes {
			return fmt.Errorf("object header %q is not understood", head)
		}
		data = slices.Grow(data[:0], int(size)+1)[:size+1]
		if _, err := io.ReadFull(r, data); err != nil {
			return fmt.Errorf("object %s: %w", f[0], err)
		}
		use(f[0], data[:size])
	}
}
