package conversation

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"agentprocess/internal/sandbox"
)

// MaxBytes bounds a conversation that is kept, and maxGenerations how many an
// agent can make us keep.
const (
	MaxBytes       = 128 << 20
	maxGenerations = 40
)

// ErrBusy says that somebody else has the conversation.
var ErrBusy = errors.New("somebody else has the conversation")

// ErrNone says that there is nothing to save, or nothing kept.
var ErrNone = errors.New("no conversation is kept")

// Names in the directory of a conversation.
const (
	lockFile = "lock"
	headFile = "head.json"
	suffix   = ".jsonl"
)

// Conversation is the conversation of one agent, which nobody else has.
type Conversation struct {
	dir  string
	lock *os.File
	head Head
}

// Head says which file is the conversation.
type Head struct {
	Session    string `json:"session"`    // the agent's own id; empty when there is none yet
	File       string `json:"file"`       // where it belongs, relative to the agent's home
	Generation int    `json:"generation"` // 0 when there is none yet
}

// Mark is a place in a conversation.
type Mark struct {
	Head
	Bytes int64  `json:"bytes"`
	Sum   string `json:"sum"` // SHA-256 of all before it
}

// ValidSession reports whether id can be an agent's id of a conversation: it
// becomes part of a path and of a command line.
func ValidSession(id string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	return id != "" && len(id) <= 128 && strings.Trim(id, letters+"-_") == "" && strings.ContainsAny(id[:1], letters)
}

// Take takes the conversation that is kept in dir, or answers ErrBusy.
func Take(dir string) (*Conversation, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("conversation: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("conversation: %w", err)
	}
	c := &Conversation{dir: dir, lock: f}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrBusy
		}
		return nil, errors.Join(fmt.Errorf("conversation %q: %w", dir, err), c.Close())
	}
	data, err := os.ReadFile(filepath.Join(dir, headFile))
	if err == nil {
		err = json.Unmarshal(data, &c.head)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("conversation %q: %w", dir, err), c.Close())
	}
	return c, nil
}

// Close lets go of it.
func (c *Conversation) Close() error { return c.lock.Close() }

// Head is which file is the conversation now.
func (c *Conversation) Head() Head { return c.head }

// Kept reports whether there is a conversation to go on with.
func (c *Conversation) Kept() bool {
	_, err := os.Lstat(c.path(c.head.Generation))
	return c.head.Session != "" && err == nil
}

func (c *Conversation) path(generation int) string {
	return filepath.Join(c.dir, fmt.Sprintf("%06d%s", generation, suffix))
}

// Use makes another generation the conversation; the zero Head starts anew.
func (c *Conversation) Use(h Head) error {
	if h.Generation > 0 {
		if _, err := os.Lstat(c.path(h.Generation)); err != nil {
			return fmt.Errorf("conversation: %w", err)
		}
	}
	data, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("conversation: %w", err)
	}
	if err := replace(filepath.Join(c.dir, headFile), bytes.NewReader(data)); err != nil {
		return fmt.Errorf("conversation: %w", err)
	}
	c.head = h
	return nil
}

// Reset forgets the conversation: that of an agent whose name another one has
// taken.
func (c *Conversation) Reset() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("conversation: %w", err)
	}
	errs := []error{c.Use(Head{})}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			errs = append(errs, os.Remove(filepath.Join(c.dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// Save keeps the conversation session as it is in home, and gives its end.
// pattern says where it can be, relative to home, as path.Match has it.
func (c *Conversation) Save(home, pattern, session string) (Mark, error) {
	if !ValidSession(session) {
		return Mark{}, fmt.Errorf("save conversation %q: %w", session, ErrNone)
	}
	root, err := os.OpenRoot(home)
	if err != nil {
		return Mark{}, fmt.Errorf("save conversation: %w", err)
	}
	defer root.Close() //nolint:errcheck // only read
	found, err := fs.Glob(root.FS(), pattern)
	if err != nil {
		return Mark{}, fmt.Errorf("save conversation: %w", err)
	}
	if len(found) == 0 {
		return Mark{}, fmt.Errorf("save conversation %q: %w", session, ErrNone)
	}
	h := Head{Session: session, File: found[0], Generation: c.head.Generation}
	if session != c.head.Session || h.Generation == 0 {
		if h.Generation, err = c.next(); err != nil {
			return Mark{}, err
		}
	}
	m, err := c.copyOut(root, h)
	if err == nil && h != c.head {
		err = c.Use(h)
	}
	if err != nil {
		return Mark{}, fmt.Errorf("save conversation: %w", err)
	}
	return m, nil
}

// copyOut copies a file of the agent's home to its generation. What is no whole
// line yet is left for the next time.
func (c *Conversation) copyOut(root *os.Root, h Head) (Mark, error) {
	f, err := root.OpenFile(h.File, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return Mark{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	switch {
	case err != nil:
		return Mark{}, err
	case !info.Mode().IsRegular():
		return Mark{}, fmt.Errorf("%q is a %s", h.File, info.Mode().Type())
	case info.Size() > MaxBytes:
		return Mark{}, fmt.Errorf("%q has %d bytes, more than %d", h.File, info.Size(), int64(MaxBytes))
	}
	whole, err := wholeLines(f, info.Size())
	if err != nil {
		return Mark{}, err
	}
	sum := sha256.New()
	if err := replace(c.path(h.Generation), io.TeeReader(io.NewSectionReader(f, 0, whole), sum)); err != nil {
		return Mark{}, err
	}
	return Mark{Head: h, Bytes: whole, Sum: hex.EncodeToString(sum.Sum(nil))}, nil
}

// wholeLines is the size of f up to its last line break.
func wholeLines(f io.ReaderAt, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for end := size; end > 0; {
		n := min(end, int64(len(buf)))
		got, err := f.ReadAt(buf[:n], end-n)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf[:got], '\n'); i >= 0 {
			return end - n + int64(i) + 1, nil
		}
		end -= n
	}
	return 0, nil
}

// next is a generation that there is not yet.
func (c *Conversation) next() (int, error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return 0, fmt.Errorf("conversation: %w", err)
	}
	last, count := 0, 0
	for _, e := range entries {
		if n, err := strconv.Atoi(strings.TrimSuffix(e.Name(), suffix)); err == nil {
			last = max(last, n)
			count++
		}
	}
	if count >= maxGenerations {
		return 0, fmt.Errorf("conversation %q: %d are kept already", c.dir, count)
	}
	return last + 1, nil
}

// Load puts the conversation where the agent's program looks for it, in a home
// that nobody has worked in yet.
func (c *Conversation) Load(home string, owner sandbox.Identity) error {
	if !c.Kept() {
		return ErrNone
	}
	root, err := os.OpenRoot(home)
	if err != nil {
		return fmt.Errorf("load conversation: %w", err)
	}
	defer root.Close() //nolint:errcheck // what was written is checked by its own Close
	var made []string
	dir := ""
	for part := range strings.SplitSeq(path.Dir(c.head.File), "/") {
		dir = path.Join(dir, part)
		if err := root.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("load conversation: %w", err)
		}
		made = append(made, dir)
	}
	in, err := os.Open(c.path(c.head.Generation))
	if err != nil {
		return fmt.Errorf("load conversation: %w", err)
	}
	defer in.Close() //nolint:errcheck // only read
	out, err := root.OpenFile(c.head.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("load conversation: %w", err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("load conversation: %w", err)
	}
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range append(made, c.head.File) {
		if err := root.Lchown(name, owner.UID, owner.GID); err != nil {
			return fmt.Errorf("load conversation: %w", err)
		}
	}
	return nil
}

// Cut makes a generation that is what the conversation was at m, for Use. It
// refuses when that is not what it was.
func (c *Conversation) Cut(m Mark) (Head, error) {
	if m.Session == "" {
		return Head{}, nil
	}
	in, err := os.Open(c.path(m.Generation))
	if err != nil {
		return Head{}, fmt.Errorf("rewind conversation: %w", err)
	}
	defer in.Close() //nolint:errcheck // only read
	h := m.Head
	if h.Generation, err = c.next(); err != nil {
		return Head{}, err
	}
	sum := sha256.New()
	if err := replace(c.path(h.Generation), io.TeeReader(io.LimitReader(in, m.Bytes), sum)); err != nil {
		return Head{}, fmt.Errorf("rewind conversation: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != m.Sum {
		err := fmt.Errorf("rewind conversation: %q is not what it was", c.path(m.Generation))
		return Head{}, errors.Join(err, os.Remove(c.path(h.Generation)))
	}
	return h, nil
}

// replace writes a file in one step.
func replace(name string, data io.Reader) error {
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = io.Copy(f, data); err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(name+".new"))
	}
	return os.Rename(name+".new", name)
}
