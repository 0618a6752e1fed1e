package workspace

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"agentprocess/internal/sandbox"
)

// change is one entry of a raw diff.
type change struct {
	oldMode, newMode string // "000000" for none
	oldID, newID     string
	status           byte
	path             string
	from             string // the old path of a rename or copy
}

// counted is one entry of a numstat; -1 for a binary file.
type counted struct {
	insertions, deletions int
	path                  string
}

// diffEntry is what one tree has that another has not: raw diff and counts.
type diffEntry struct {
	id      string // of the commit or of the pair of trees; empty without --stdin
	changes []change
	counts  []counted
}

// parseDiff reads `git diff-tree -r -z`, with --raw, --numstat or both, for one
// pair or for many by --stdin. The first entry has no id. Fields are told apart
// by their beginning: a commit id, or a line of two tree ids, starts the next
// entry.
func parseDiff(out []byte) ([]*diffEntry, error) {
	p := &diffParser{fields: strings.Split(string(out), "\x00"), entries: []*diffEntry{{}}}
	for len(p.fields) > 0 {
		if err := p.next(p.take()); err != nil {
			return nil, err
		}
	}
	return p.entries, nil
}

type diffParser struct {
	fields  []string
	entries []*diffEntry
}

func (p *diffParser) take() string {
	if len(p.fields) == 0 {
		return ""
	}
	f := p.fields[0]
	p.fields = p.fields[1:]
	return f
}

func (p *diffParser) current() *diffEntry { return p.entries[len(p.entries)-1] }

func (p *diffParser) next(f string) error {
	for { // a pair without differences is followed by the next at once
		line, rest, found := strings.Cut(f, "\n")
		a, b, two := strings.Cut(line, " ")
		if !found || !two || !isObjectID(a) || !isObjectID(b) {
			break
		}
		p.entries = append(p.entries, &diffEntry{id: line})
		f = rest
	}
	switch {
	case f == "": // the end
		return nil
	case isObjectID(f):
		p.entries = append(p.entries, &diffEntry{id: f})
		return nil
	case f[0] == ':':
		return p.raw(f)
	default:
		return p.counts(f)
	}
}

// raw reads ":mode mode id id status" and the path or paths after it.
func (p *diffParser) raw(f string) error {
	parts := strings.Split(f[1:], " ")
	if len(parts) != 5 || parts[4] == "" || !isObjectID(parts[2]) || !isObjectID(parts[3]) {
		return fmt.Errorf("diff entry %q is not understood", f)
	}
	c := change{oldMode: parts[0], newMode: parts[1], oldID: parts[2], newID: parts[3], status: parts[4][0]}
	if c.status == 'R' || c.status == 'C' {
		c.from = p.take()
	}
	if c.path = p.take(); c.path == "" {
		return fmt.Errorf("diff entry %q has no path", f)
	}
	e := p.current()
	e.changes = append(e.changes, c)
	return nil
}

// counts reads "insertions TAB deletions TAB path", where a rename has an empty
// path and two more fields.
func (p *diffParser) counts(f string) error {
	parts := strings.SplitN(f, "\t", 3)
	if len(parts) != 3 {
		return fmt.Errorf("diff entry %q is not understood", f)
	}
	c := counted{insertions: -1, deletions: -1, path: parts[2]}
	if parts[0] != "-" || parts[1] != "-" {
		var err error
		if c.insertions, err = strconv.Atoi(parts[0]); err != nil {
			return fmt.Errorf("diff entry %q: %w", f, err)
		}
		if c.deletions, err = strconv.Atoi(parts[1]); err != nil {
			return fmt.Errorf("diff entry %q: %w", f, err)
		}
		if c.insertions < 0 || c.deletions < 0 {
			return fmt.Errorf("diff entry %q counts below zero", f)
		}
	}
	if c.path == "" {
		p.take()
		if c.path = p.take(); c.path == "" {
			return fmt.Errorf("diff entry %q has no path", f)
		}
	}
	e := p.current()
	e.counts = append(e.counts, c)
	return nil
}

// stat sums up the counts.
func (e *diffEntry) stat() sandbox.DiffStat {
	s := sandbox.DiffStat{Files: len(e.counts)}
	for _, c := range e.counts {
		s.Insertions += max(c.insertions, 0)
		s.Deletions += max(c.deletions, 0)
	}
	return s
}

// safeDiff are the flags without which a diff may run what a repository
// configures.
func safeDiff(args ...string) []string {
	return append([]string{"diff-tree", "--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=dirty"}, args...)
}

// DiffStat counts what tip changes against base.
func (r *Repository) DiffStat(ctx context.Context, base, tip string) (sandbox.DiffStat, error) {
	e, err := r.git.diff(ctx, r.common(), base, tip)
	if err != nil {
		return sandbox.DiffStat{}, err
	}
	stat := e.stat()
	stat.Commits, err = r.git.count(ctx, r.common(), base, tip)
	return stat, err
}

// Diff writes the patch from base to tip to out. What it writes is the agent's
// text: make control characters visible before a person sees it.
func (r *Repository) Diff(ctx context.Context, base, tip string, out io.Writer) error {
	c := r.common(safeDiff("-r", "-p", "-M", "--full-index", base, tip)...)
	c.stdout = out
	if err := r.git.runInto(ctx, c); err != nil {
		return fmt.Errorf("diff %s..%s: %w", base, tip, err)
	}
	return nil
}

// diff gives changes and counts between two commits of c's repository.
func (d *door) diff(ctx context.Context, c call, base, tip string) (*diffEntry, error) {
	c.args = safeDiff("-r", "-z", "-M", "-l1000", "--raw", "--no-abbrev", "--numstat", base, tip)
	out, err := d.run(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("diff %s..%s: %w", base, tip, err)
	}
	entries, err := parseDiff(out)
	if err != nil {
		return nil, err
	}
	return entries[0], nil
}

// count counts the commits that tip has and base has not.
func (d *door) count(ctx context.Context, c call, base, tip string) (int, error) {
	c.args = []string{"rev-list", "--count", tip, "^" + base, "--"}
	out, err := d.line(ctx, c)
	if err != nil {
		return 0, fmt.Errorf("count commits %s..%s: %w", base, tip, err)
	}
	return strconv.Atoi(out)
}
