package workspace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"agentprocess/internal/sandbox"
)

// Names below refs/agents/ of the journal: what can be undone, and what was.
const (
	undoName   = "undo"
	undoneName = "undone"
)

// Deed is something that is about to be done to the person's repository, as far
// as undo has to take it back.
type Deed struct {
	Op    string // the command, such as "merge"
	Agent string // whose work it is about, if anybody's
	Text  string // what it does, in one line, for people
	// Refs are the refs that it moves, by full name, and what they will be;
	// empty is gone. "HEAD" is a detached HEAD of the worktree.
	Refs map[string]string
	// Paths are the files that it writes in the worktree or its index, relative
	// to the top of the worktree that the repository was opened in, with slashes.
	Paths []string
	// Notes are the caller's own; it has them back in the Entry.
	Notes map[string]string

	before  map[string]string // what Refs were, when they are not that any more
	reverse bool              // it takes back what Op did
}

// RefChange is a ref before and after a deed; empty is that there is none.
type RefChange struct {
	Ref    string `json:"ref"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Entry is a deed in the journal. It is a commit under a ref of its own, which
// keeps alive whatever the deed took away: its parents are what the refs were,
// and its tree has before/tree and before/index, the paths as they were byte for
// byte, and after/... once it is sealed.
type Entry struct {
	ID       int               `json:"-"`
	Commit   string            `json:"-"`
	Op       string            `json:"op"`
	Agent    string            `json:"agent,omitempty"`
	Text     string            `json:"text"`
	Time     time.Time         `json:"time"`
	Worktree string            `json:"worktree,omitempty"`
	Refs     []RefChange       `json:"refs,omitempty"`
	Paths    []string          `json:"paths,omitempty"`
	Notes    map[string]string `json:"notes,omitempty"`
	// Reverse is set for an undoing of Op, and not for the undoing of that.
	Reverse bool `json:"reverse,omitempty"`
	// Sealed is set when it is known what the deed left of its paths.
	Sealed bool `json:"sealed"`
}

// Title is the entry in a line.
func (e Entry) Title() string {
	if e.Reverse {
		return "undo " + e.Op + ": " + e.Text
	}
	return e.Op + ": " + e.Text
}

// ref is where the entry is, while it is not undone.
func (e Entry) ref() string { return fmt.Sprintf("refs/agents/%s/%06d", undoName, e.ID) }

// Journal writes down what d is about to change, before anything does. Only
// when it has succeeded may the deed begin.
func (r *Repository) Journal(ctx context.Context, d Deed) (Entry, error) {
	var e Entry
	err := r.locked(ctx, func() (err error) {
		e, err = r.journal(ctx, d)
		return err
	})
	return e, err
}

// journal is Journal for those who hold the repository's lock.
func (r *Repository) journal(ctx context.Context, d Deed) (Entry, error) {
	e := Entry{
		Op: d.Op, Agent: d.Agent, Text: oneLine(d.Text), Time: r.cfg.Now(), Paths: slices.Clone(d.Paths), Notes: d.Notes,
		Reverse: d.reverse, Sealed: len(d.Paths) == 0,
	}
	if len(d.Paths) > 0 {
		if r.Here == "" {
			return e, fmt.Errorf("journal %s: %q has no worktree", d.Op, r.GitDir)
		}
		e.Worktree = r.Here
	}
	var err error
	if e.Refs, err = r.refChanges(ctx, d.Refs, d.before); err != nil {
		return e, fmt.Errorf("journal %s: %w", d.Op, err)
	}
	if e.ID, err = r.nextEntry(ctx); err != nil {
		return e, fmt.Errorf("journal %s: %w", d.Op, err)
	}
	before, err := r.look(ctx, e.Paths)
	if err != nil {
		return e, fmt.Errorf("journal %s: %w", d.Op, err)
	}
	if e.Commit, err = r.writeEntry(ctx, e, before, nil); err != nil {
		return e, fmt.Errorf("journal %s: %w", d.Op, err)
	}
	return e, nil
}

// Seal notes what the deed left of its paths, so that undo can tell that from
// what a person does later. An entry that a crash kept from being sealed is
// undone path by path as far as they are as before; the rest wants force.
func (r *Repository) Seal(ctx context.Context, e Entry) error {
	return r.locked(ctx, func() error { return r.seal(ctx, e) })
}

// seal is Seal for those who hold the repository's lock.
func (r *Repository) seal(ctx context.Context, e Entry) error {
	if e.Sealed {
		return nil
	}
	after, err := r.look(ctx, e.Paths)
	if err != nil {
		return fmt.Errorf("seal journal entry %d: %w", e.ID, err)
	}
	before, err := r.remembered(ctx, e, "before")
	if err != nil {
		return fmt.Errorf("seal journal entry %d: %w", e.ID, err)
	}
	e.Sealed = true
	if _, err = r.writeEntry(ctx, e, before, after); err != nil {
		return fmt.Errorf("seal journal entry %d: %w", e.ID, err)
	}
	return nil
}

// Entries lists what can be undone, newest first.
func (r *Repository) Entries(ctx context.Context) ([]Entry, error) {
	refs, err := r.refs(ctx, "refs/agents/"+undoName)
	if err != nil {
		return nil, err
	}
	var list []Entry
	for _, ref := range slices.Backward(slices.Sorted(maps.Keys(refs))) {
		id, err := strconv.Atoi(strings.TrimPrefix(ref, "refs/agents/"+undoName+"/"))
		if err != nil {
			continue // somebody else's idea of such a name
		}
		e, err := r.readEntry(ctx, id, refs[ref])
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

func (r *Repository) readEntry(ctx context.Context, id int, commit string) (Entry, error) {
	data, err := r.git.run(ctx, r.common("cat-file", "blob", commit+":entry.json"))
	e := Entry{ID: id, Commit: commit}
	if err == nil {
		err = json.Unmarshal(data, &e)
	}
	if err != nil {
		return e, fmt.Errorf("read journal entry %d: %w", id, err)
	}
	return e, nil
}

// nextEntry is the number of the next entry; numbers are not used again.
func (r *Repository) nextEntry(ctx context.Context) (int, error) {
	refs, err := r.refs(ctx, "refs/agents/"+undoName, "refs/agents/"+undoneName)
	if err != nil {
		return 0, err
	}
	last := 0
	for ref := range refs {
		if n, err := strconv.Atoi(ref[strings.LastIndexByte(ref, '/')+1:]); err == nil {
			last = max(last, n)
		}
	}
	return last + 1, nil
}

// refChanges looks up what refs are now, unless it is known what they were.
func (r *Repository) refChanges(ctx context.Context, after, now map[string]string) ([]RefChange, error) {
	if now == nil {
		var err error
		if now, err = r.refValues(ctx, slices.Sorted(maps.Keys(after))); err != nil {
			return nil, err
		}
	}
	var list []RefChange
	for _, ref := range slices.Sorted(maps.Keys(after)) {
		if now[ref] != after[ref] {
			list = append(list, RefChange{Ref: ref, Before: now[ref], After: after[ref]})
		}
	}
	return list, nil
}

// refValues are the object ids of refs, HEAD among them; what is missing is not
// in it.
func (r *Repository) refValues(ctx context.Context, names []string) (map[string]string, error) {
	values := map[string]string{}
	for chunk := range slices.Chunk(names, 500) {
		found, err := r.refs(ctx, chunk...)
		if err != nil {
			return nil, err
		}
		for _, name := range chunk { // a pattern finds what is below it, too
			if id := found[name]; id != "" {
				values[name] = id
			}
		}
	}
	if slices.Contains(names, "HEAD") {
		id, err := r.git.line(ctx, r.here("rev-parse", "--verify", "-q", "HEAD"))
		if err != nil {
			return nil, fmt.Errorf("look at HEAD of %q: %w", r.GitDir, err)
		}
		values["HEAD"] = id
	}
	return values, nil
}

// writeEntry writes the commit of an entry and its ref, in one run of git.
func (r *Repository) writeEntry(ctx context.Context, e Entry, before, after *pathStates) (string, error) {
	record, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return "", err
	}
	parents, err := r.commitsOf(ctx, e.Refs)
	if err != nil {
		return "", err
	}
	var in bytes.Buffer
	message := "agent-process " + e.Title() + "\n"
	fmt.Fprintf(&in, "reset %s\n\ncommit %s\n", e.ref(), e.ref())
	fmt.Fprintf(&in, "committer %s <%s> %d %s\ndata %d\n%s\n", r.git.identity.Name, r.git.identity.Email, e.Time.Unix(), e.Time.Format("-0700"), len(message), message)
	for i, p := range parents {
		word := "merge"
		if i == 0 {
			word = "from"
		}
		fmt.Fprintf(&in, "%s %s\n", word, p)
	}
	fmt.Fprintf(&in, "deleteall\nM 100644 inline entry.json\ndata %d\n%s\n", len(record), record)
	before.write(&in, "before")
	after.write(&in, "after")
	in.WriteString("\ndone\n")
	if err := r.fastImport(ctx, &in); err != nil {
		return "", err
	}
	return r.git.line(ctx, r.common("rev-parse", "--verify", "-q", e.ref()))
}

// commitsOf are the commits that refs were and that their deed may leave
// unreachable.
func (r *Repository) commitsOf(ctx context.Context, refs []RefChange) ([]string, error) {
	var list []string
	for _, c := range refs {
		if c.Before == "" || slices.Contains(list, c.Before) {
			continue
		}
		kind, err := r.git.line(ctx, r.common("cat-file", "-t", c.Before))
		if err != nil {
			return nil, err
		}
		if kind == "commit" {
			list = append(list, c.Before)
		}
	}
	return list, nil
}

// findEntry is the entry with an id, or the newest for 0.
func (r *Repository) findEntry(ctx context.Context, id int) (Entry, error) {
	list, err := r.Entries(ctx)
	if err != nil {
		return Entry{}, err
	}
	for _, e := range list {
		if id == 0 || e.ID == id {
			return e, nil
		}
	}
	if id == 0 {
		return Entry{}, sandbox.Fail(sandbox.CodeNotFound, errors.New("there is nothing to undo"), "")
	}
	return Entry{}, sandbox.Fail(sandbox.CodeNotFound, fmt.Errorf("there is no step %d to undo", id), "`agent-process undo --list` shows what there is")
}
