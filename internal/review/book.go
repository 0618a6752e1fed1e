package review

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"agentprocess/internal/patch"
)

// ErrBusy says that a review of this agent goes on elsewhere.
var ErrBusy = errors.New("it is being reviewed in another terminal")

// Decision is what a person thinks of one change.
type Decision string

// The decisions there are; none is undecided.
const (
	Accepted Decision = "accepted"
	Rejected Decision = "rejected"
)

// Verdict is a decision about one change of a file.
type Verdict struct {
	Key      string    `json:"key"`
	Decision Decision  `json:"decision"`
	Time     time.Time `json:"time"`
	Told     bool      `json:"told,omitempty"` // the agent was
}

// Comment is what a person has to say of a file, or of a line in it.
type Comment struct {
	Path string    `json:"path"`
	Line int       `json:"line,omitempty"` // 0 is the whole file
	Gone bool      `json:"gone,omitempty"` // a line that is not in it any more
	Code string    `json:"code,omitempty"` // the line
	Text string    `json:"text"`
	Run  string    `json:"run,omitempty"` // the run whose work it is
	Time time.Time `json:"time"`
	Told bool      `json:"told,omitempty"` // the agent was
}

// notes are what is kept of a review.
type notes struct {
	Agent    string             `json:"agent"` // the first run of it
	Files    map[string]Verdict `json:"files"` // by path
	Comments []Comment          `json:"comments"`
}

// Book is the review of one agent, on disk.
type Book struct {
	// Run is noted with each comment, and Now gives its time.
	Run string
	Now func() time.Time

	path string
	lock *os.File
	notes
}

// Open opens the review of an agent in a directory of ours, a new one if there
// is none, or if that is of another agent which had the name. Close it.
func Open(dir, name, agent string) (*Book, error) {
	b := &Book{Now: time.Now, path: filepath.Join(dir, name+".json"), notes: notes{Agent: agent, Files: map[string]Verdict{}}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the review of %q: %w", name, err)
	}
	var err error
	if b.lock, err = os.OpenFile(filepath.Join(dir, name+".lock"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("open the review of %q: %w", name, err)
	}
	if err := syscall.Flock(int(b.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("open the review of %q: %w", name, ErrBusy), b.lock.Close())
	}
	data, err := os.ReadFile(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &b.notes)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the review of %q: %w", name, err), b.lock.Close())
	}
	if b.Agent != agent {
		if err := os.Rename(b.path, b.path+".old"); err != nil {
			return nil, errors.Join(fmt.Errorf("open the review of %q: %w", name, err), b.lock.Close())
		}
		b.notes = notes{Agent: agent}
	}
	if b.Files == nil {
		b.Files = map[string]Verdict{}
	}
	return b, nil
}

// Close lets others review.
func (b *Book) Close() error { return b.lock.Close() }

// save writes all of it in one step.
func (b *Book) save() error {
	data, err := json.MarshalIndent(b.notes, "", "\t")
	if err != nil {
		return fmt.Errorf("save the review: %w", err)
	}
	if err := os.WriteFile(b.path+".new", data, 0o600); err != nil {
		return fmt.Errorf("save the review: %w", err)
	}
	if err := os.Rename(b.path+".new", b.path); err != nil {
		return fmt.Errorf("save the review: %w", err)
	}
	return nil
}

// Decision is what was decided about a file as it is changed now; empty is
// nothing.
func (b *Book) Decision(f patch.File) Decision {
	if v := b.Files[f.Path]; v.Key == f.Key {
		return v.Decision
	}
	return ""
}

// Decide writes down a decision; an empty one takes back what there was.
func (b *Book) Decide(f patch.File, d Decision) error {
	if d == "" {
		delete(b.Files, f.Path)
	} else {
		b.Files[f.Path] = Verdict{Key: f.Key, Decision: d, Time: b.Now().UTC()}
	}
	return b.save()
}

// Comment writes down a comment.
func (b *Book) Comment(c Comment) error {
	c.Run, c.Time = b.Run, b.Now().UTC()
	b.Comments = append(b.Comments, c)
	return b.save()
}

// Undecided are the paths that nothing was decided about.
func (b *Book) Undecided(files []patch.File) []string { return b.which(files, "") }

// which are the paths with a decision.
func (b *Book) which(files []patch.File, d Decision) []string {
	var paths []string
	for _, f := range files {
		if b.Decision(f) == d {
			paths = append(paths, f.Path)
		}
	}
	return paths
}

// Without are the paths that stay as they are when the accepted files are taken:
// of a file that was moved, both.
func (b *Book) Without(files []patch.File) []string {
	var paths []string
	for _, f := range files {
		if b.Decision(f) == Accepted {
			continue
		}
		paths = append(paths, f.Path)
		if f.Status == "R" {
			paths = append(paths, f.From)
		}
	}
	return paths
}

// Message is what the agent has not been told yet; empty when that is nothing.
func (b *Book) Message(files []patch.File) string {
	var parts []string
	for _, c := range b.Comments {
		if c.Told {
			continue
		}
		where := c.Path
		if c.Line > 0 {
			where = fmt.Sprintf("%s, line %d: %s", c.Path, c.Line, strings.TrimSpace(c.Code))
			if c.Gone {
				where = fmt.Sprintf("%s, the line that was removed: %s", c.Path, strings.TrimSpace(c.Code))
			}
		}
		parts = append(parts, "On "+where+"\n"+c.Text)
	}
	var rejected []string
	for _, f := range files {
		if v := b.Files[f.Path]; b.Decision(f) == Rejected && !v.Told {
			rejected = append(rejected, f.Path)
		}
	}
	if len(rejected) > 0 {
		parts = append(parts, "These changes were rejected, and will not be taken as they are: "+strings.Join(rejected, ", "))
	}
	if len(parts) == 0 {
		return ""
	}
	return "Your work was reviewed. Act on this:\n\n" + strings.Join(parts, "\n\n")
}

// Told notes that the agent has the message.
func (b *Book) Told(files []patch.File) error {
	for i := range b.Comments {
		b.Comments[i].Told = true
	}
	for _, path := range b.which(files, Rejected) {
		v := b.Files[path]
		v.Told = true
		b.Files[path] = v
	}
	return b.save()
}

// on are the comments on a place that still stand: on a file, or on a line with
// the same text.
func (b *Book) on(path string, r patch.Row) []Comment {
	return slices.DeleteFunc(slices.Clone(b.Comments), func(c Comment) bool {
		return c.Path != path || c.Line != r.Line || c.Gone != r.Gone || c.Line > 0 && c.Code != r.Code
	})
}
