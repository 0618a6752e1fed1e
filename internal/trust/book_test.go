package trust_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"agentprocess/internal/sandbox"
	"agentprocess/internal/trust"
)

const repo = "/home/jo/project/.git"

func kinds(items []trust.Item) string {
	var out []string
	for _, i := range items {
		out = append(out, string(i.Kind))
	}
	return strings.Join(out, " ")
}

// check wants "trusted|untrusted" of the items of a repository.
func check(t *testing.T, b *trust.Book, repo string, items []trust.Item, want string) []trust.Item {
	t.Helper()
	yes, no, err := b.Check(repo, items)
	if got := kinds(yes) + "|" + kinds(no); err != nil || got != want {
		t.Errorf("got %q, %v: want %q", got, err, want)
	}
	return no
}

// T-J5: nothing is trusted before it is pinned, a change asks again, and T-J6:
// the pins are the user's own, per repository.
func TestPinsHoldUntilSomethingChanges_T_J5(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config", "trust.json")
	b := trust.Open(path)
	when := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	b.Now = func() time.Time { return when }
	items := trust.Find([]trust.File{regular(".mcp.json", "{}"), regular(".claude/settings.json", "{}")})
	check(t, b, repo, items, "|mcp settings")
	if _, err := os.Stat(path); err == nil {
		t.Error("a check writes")
	}
	if err := b.Pin(t.Context(), repo, "jo", items[:1]); err != nil {
		t.Fatal(err)
	}
	if no := check(t, trust.Open(path), repo, items, "mcp|settings"); no[0].Was != nil {
		t.Errorf("was = %+v", no[0].Was)
	}
	check(t, b, "/another/.git", items, "|mcp settings")
	changed := trust.Find([]trust.File{regular(".mcp.json", "{} "), regular(".claude/settings.json", "{}")})
	no := check(t, b, repo, changed, "|mcp settings")
	if was := no[0].Was; was == nil || was.Hash != items[0].Hash || !was.When.Equal(when) || was.By != "jo" || was.Paths != 1 {
		t.Errorf("was = %+v", was)
	}
	if err := b.Pin(t.Context(), repo, "jo", changed); err != nil {
		t.Fatal(err)
	}
	check(t, b, repo, changed, "mcp settings|")
	if err := b.Unpin(t.Context(), repo, trust.KindMCP); err != nil {
		t.Fatal(err)
	}
	check(t, b, repo, changed, "settings|mcp")
	if err := b.Unpin(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	check(t, b, repo, changed, "|mcp settings")
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

// A book that somebody else may have written, or that does not parse, trusts
// nothing and says so; nor is it overwritten.
func TestBadBookTrustsNothing_T_J5(t *testing.T) {
	items := trust.Find([]trust.File{regular(".mcp.json", "{}")})
	good, err := json.Marshal(map[string]any{"version": 1, "repositories": map[string]any{repo: map[string]any{
		"mcp": map[string]any{"hash": items[0].Hash, "when": "2026-01-01T00:00:00Z", "by": "x", "paths": 1},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]func(path string) error{
		"writable by others": func(p string) error {
			if err := os.WriteFile(p, good, 0o600); err != nil {
				return err
			}
			return os.Chmod(p, 0o666)
		},
		"not JSON":        func(p string) error { return os.WriteFile(p, good[:len(good)/2], 0o600) },
		"empty":           func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"another version": func(p string) error { return os.WriteFile(p, []byte(`{"version":2}`), 0o600) },
		"unknown keys":    func(p string) error { return os.WriteFile(p, []byte(`{"version":1,"all":true}`), 0o600) },
		"a directory":     func(p string) error { return os.Mkdir(p, 0o700) },
		"a link": func(p string) error {
			if err := os.WriteFile(p+".real", good, 0o600); err != nil {
				return err
			}
			return os.Symlink(p+".real", p)
		},
		"huge": func(p string) error {
			if err := os.WriteFile(p, nil, 0o600); err != nil {
				return err
			}
			return os.Truncate(p, 17<<20)
		},
	}
	if os.Geteuid() == 0 {
		tests["of another user"] = func(p string) error {
			if err := os.WriteFile(p, good, 0o600); err != nil {
				return err
			}
			return os.Chown(p, 58231, 58231)
		}
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "trust.json")
			if err := prepare(path); err != nil {
				t.Fatal(err)
			}
			yes, no, err := trust.Open(path).Check(repo, items)
			if sandbox.ErrorCode(err) != sandbox.CodePolicy || len(yes) != 0 || len(no) != 1 || sandbox.ErrorHint(err) == "" {
				t.Errorf("%d trusted, %d not, %v", len(yes), len(no), err)
			}
			if err := trust.Open(path).Pin(t.Context(), repo, "x", items); err == nil {
				t.Error("it was written over")
			}
		})
	}
	path := filepath.Join(t.TempDir(), "trust.json")
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, trust.Open(path), repo, items, "mcp|")
}

func TestManyPinAtOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "trust.json")
	items := trust.Find([]trust.File{regular(".mcp.json", "{}")})
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			if err := trust.Open(path).Pin(t.Context(), fmt.Sprintf("/r%d/.git", i), "x", items); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range 40 {
		check(t, trust.Open(path), fmt.Sprintf("/r%d/.git", i), items, "mcp|")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestPinRefuses(t *testing.T) {
	b := trust.Open(filepath.Join(t.TempDir(), "trust.json"))
	if err := b.Pin(t.Context(), "project/.git", "x", nil); err == nil {
		t.Error("a relative repository was pinned")
	}
	if err := b.Pin(t.Context(), repo, "x", nil); err != nil {
		t.Fatal(err)
	}
	holder, err := os.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	blocked := trust.Open(filepath.Join(holder.Name(), "below-a-file", "trust.json"))
	if err := blocked.Pin(ctx, repo, "x", nil); err == nil {
		t.Error("a book below a file was written")
	}
}

func TestKindsAreAllFound(t *testing.T) {
	var files []trust.File
	for _, p := range []string{
		".agent-process/hooks/pre-any", ".agent-process/policy.toml", ".agent-process/allowlist", ".mcp.json", ".claude/settings.json",
		".claude/skills/a/SKILL.md", ".claude/agents/a.md", ".claude/commands/a.md", ".claude/output-styles/a.md", ".claude/plugins/a",
	} {
		files = append(files, regular(p, "x"))
	}
	var got []trust.Kind
	for _, i := range trust.Find(files) {
		got = append(got, i.Kind)
	}
	// Those stand in no file of their own.
	want := slices.DeleteFunc(trust.Kinds(), func(k trust.Kind) bool { return k == trust.KindRegistries || k == trust.KindImage })
	if !slices.Equal(got, want) {
		t.Errorf("kinds = %q", got)
	}
}

// Registries count by the hosts, in whatever order and how often they are named.
func TestRegistries(t *testing.T) {
	one, again := trust.Registries([]string{"b GET", "a GET"}), trust.Registries([]string{"a GET", "b GET", "a GET"})
	if one.Kind != trust.KindRegistries || one.Hash != again.Hash || !slices.Equal(one.Lines, []string{"a GET", "b GET"}) {
		t.Errorf("%+v and %+v", one, again)
	}
	if more := trust.Registries([]string{"a GET", "b GET", "c GET"}); more.Hash == one.Hash {
		t.Error("another host has the same hash")
	}
}
