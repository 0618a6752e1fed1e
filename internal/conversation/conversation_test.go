package conversation

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"agentprocess/internal/sandbox"
)

const pattern = ".claude/projects/*/s-1.jsonl"

// home is an agent's home with a conversation in it.
func home(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	say(t, dir, text)
	return dir
}

func say(t *testing.T, home, text string) {
	t.Helper()
	path := filepath.Join(home, ".claude/projects/-project/s-1.jsonl")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func take(t *testing.T, dir string) *Conversation {
	t.Helper()
	c, err := Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// loaded is what the next run finds.
func loaded(t *testing.T, c *Conversation) string {
	t.Helper()
	dir := t.TempDir()
	if err := c.Load(dir, sandbox.Identity{UID: os.Getuid(), GID: os.Getgid()}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, ".claude/projects/-project/s-1.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestGoesOn(t *testing.T) {
	dir, h := t.TempDir(), home(t, "one\n")
	c := take(t, dir)
	if c.Kept() {
		t.Error("something is kept of nothing")
	}
	if _, err := c.Save(h, pattern, "s-1"); err != nil {
		t.Fatal(err)
	}
	say(t, h, "two\nhal")
	if _, err := c.Save(h, pattern, "s-1"); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = take(t, dir)
	defer c.Close()
	if got := loaded(t, c); got != "one\ntwo\n" {
		t.Errorf("the next run finds %q", got)
	}
	if c.Head().Session != "s-1" {
		t.Errorf("head is %+v", c.Head())
	}
}

func TestOneWriter(t *testing.T) {
	dir := t.TempDir()
	c := take(t, dir)
	if _, err := Take(dir); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v, want %v", err, ErrBusy)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = take(t, dir)
	defer c.Close()
}

func rewind(c *Conversation, m Mark) error {
	h, err := c.Cut(m)
	if err != nil {
		return err
	}
	return c.Use(h)
}

func TestRewindAndBack(t *testing.T) {
	dir, h := t.TempDir(), home(t, "one\n")
	c := take(t, dir)
	defer c.Close()
	first, err := c.Save(h, pattern, "s-1")
	if err != nil {
		t.Fatal(err)
	}
	say(t, h, "two\n")
	second, err := c.Save(h, pattern, "s-1")
	if err != nil {
		t.Fatal(err)
	}
	before := c.Head()
	if err := rewind(c, first); err != nil {
		t.Fatal(err)
	}
	if got := loaded(t, c); got != "one\n" {
		t.Errorf("after rewind: %q", got)
	}
	if err := rewind(c, second); err != nil { // forward again
		t.Fatal(err)
	}
	if got := loaded(t, c); got != "one\ntwo\n" {
		t.Errorf("after rewinding forward: %q", got)
	}
	if err := c.Use(before); err != nil {
		t.Fatal(err)
	}
	if got := loaded(t, c); got != "one\ntwo\n" {
		t.Errorf("after going back: %q", got)
	}
	second.Sum = first.Sum
	if err := rewind(c, second); err == nil || c.Head() != before {
		t.Errorf("a conversation that is not what it was was taken: %v, %+v", err, c.Head())
	}
}

func TestHostileHomes(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	projects := ".claude/projects/-project"
	for _, tt := range []struct {
		name string
		make func(h, file string) error
	}{
		{"a link out", func(_, file string) error { return os.Symlink(outside, file) }},
		{"a link of a directory out", func(h, _ string) error {
			if err := os.Remove(filepath.Join(h, projects)); err != nil {
				return err
			}
			if err := os.Rename(outside, filepath.Join(filepath.Dir(outside), "s-1.jsonl")); err != nil {
				return err
			}
			return os.Symlink(filepath.Dir(outside), filepath.Join(h, projects))
		}},
		{"a pipe", func(_, file string) error { return unix.Mkfifo(file, 0o600) }},
		{"a directory", func(_, file string) error { return os.Mkdir(file, 0o700) }},
		{"a file without end", func(_, file string) error {
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				return err
			}
			return os.Truncate(file, MaxBytes+1)
		}},
		{"nothing", func(string, string) error { return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := t.TempDir()
			if err := os.MkdirAll(filepath.Join(h, projects), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := tt.make(h, filepath.Join(h, projects, "s-1.jsonl")); err != nil {
				t.Fatal(err)
			}
			c := take(t, t.TempDir())
			defer c.Close()
			if m, err := c.Save(h, pattern, "s-1"); err == nil || c.Kept() {
				t.Errorf("it was kept: %+v", m)
			}
		})
	}
}

func TestValidSession(t *testing.T) {
	for id, want := range map[string]bool{
		"071c4c89-dfe8-4396-b32c-08b9c2a06b74": true, "s_1": true, "": false, "-x": false, "../x": false, "a/b": false, "a*": false, "a\n": false,
		strings.Repeat("a", 129): false,
	} {
		if got := ValidSession(id); got != want {
			t.Errorf("ValidSession(%q) = %v, want %v", id, got, want)
		}
	}
}

// An agent that calls itself by ever new names does not fill the disk.
func TestBounded(t *testing.T) {
	h := t.TempDir()
	if err := os.MkdirAll(filepath.Join(h, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := take(t, t.TempDir())
	defer c.Close()
	var err error
	for n := 0; n <= maxGenerations && err == nil; n++ {
		id := "s" + strings.Repeat("x", n)
		if err := os.WriteFile(filepath.Join(h, "x", id), []byte("line\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = c.Save(h, "x/"+id, id)
	}
	if err == nil {
		t.Error("no bound was met")
	}
	if err := c.Reset(); err != nil {
		t.Fatal(err)
	}
	if c.Kept() {
		t.Error("something is left after a reset")
	}
}
