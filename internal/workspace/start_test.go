//go:build linux

package workspace

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestManyStarts is the worst morning: 20 agents started at the same instant, in
// processes of their own, while the user fetches without a break.
func TestManyStarts(t *testing.T) {
	t.Parallel()
	rounds := 2
	if testing.Short() {
		rounds = 1
	}
	for round := range rounds {
		f := newFixture(t, "p")
		upstream := filepath.Join(f.root, "upstream.git")
		f.gitAt(f.root, "clone", "-q", "--bare", f.dir, upstream)
		f.git("remote", "add", "origin", upstream)
		stop, fetching := context.WithCancel(t.Context())
		var fetcher sync.WaitGroup
		var fetches int
		fetcher.Go(func() {
			for n := 0; stop.Err() == nil; n++ {
				f.gitAt(upstream, "update-ref", fmt.Sprintf("refs/heads/b%d", n%7), "HEAD")
				f.gitAt(upstream, "update-ref", "-d", fmt.Sprintf("refs/heads/b%d", (n+3)%7))
				f.git("fetch", "-q", "--prune")
				f.git("pack-refs", "--all")
				fetches++
			}
		})
		var agents sync.WaitGroup
		for i := range 20 {
			agents.Go(func() {
				if out, err := startProcess(f, fmt.Sprintf("a%d", i)); err != nil {
					t.Errorf("round %d, agent %d: %v: %s", round, i, err, out)
				}
			})
		}
		agents.Wait()
		fetching()
		fetcher.Wait()
		if n := len(strings.Fields(f.git("for-each-ref", "--format=%(refname)", "refs/heads/agent--*", "refs/agents/*/base"))); n != 40 {
			t.Errorf("round %d: %d refs", round, n)
		}
		if n := strings.Count(f.git("worktree", "list"), "agent--"); n != 20 {
			t.Errorf("round %d: %d worktrees", round, n)
		}
		f.git("fsck", "--strict")
		t.Logf("round %d: %d fetches beside", round, fetches)
	}
}

func startProcess(f *fixture, name string) (string, error) {
	in := struct {
		Dir, Name, RunDir string
		Cfg               struct{ StateDir, CacheDir string }
		Env               []string
	}{Dir: f.dir, Name: name, RunDir: filepath.Join(f.root, "runs", name), Env: f.env}
	in.Cfg.StateDir, in.Cfg.CacheDir = f.cfg.StateDir, f.cfg.CacheDir
	data, err := json.Marshal(in)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(f.t.Context(), "/proc/self/exe")
	cmd.Env = append(f.env, helperEnv+"=start")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestOddRepositories(t *testing.T) {
	needMounts(t)
	f := newFixture(t, "origin")
	for i := range 3 {
		f.write("file", strings.Repeat("x", i))
		f.git("add", "-A")
		f.git("commit", "-q", "-m", "more")
	}
	f.git("config", "uploadpack.allowFilter", "true")
	work := filepath.Dir(f.dir)
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"shallow", []string{"--depth=1"}},
		{"partial", []string{"--filter=blob:none"}},
		{"borrowing", []string{"--reference", f.dir}},
		{"bare", []string{"--bare"}},
	} {
		for _, strict := range []bool{false, true} {
			name := tt.name + map[bool]string{true: "-strict", false: ""}[strict]
			t.Run(name, func(t *testing.T) {
				g := *f
				g.t, g.dir = t, filepath.Join(work, name)
				g.gitAt(work, append(append([]string{"clone", "-q"}, tt.args...), "file://"+f.dir, g.dir)...)
				s := g.start(name, func(o *Options) { o.Strict = strict })
				b := s.box()
				if out := b.sh("git status --porcelain; git log --format=%s -1; echo a > a; git add a; git commit -qm a; git fsck 2>&1 | grep -v dangling || :"); strings.TrimSpace(out) != "more" && tt.name != "partial" {
					t.Errorf("inside: %q", out)
				}
				s.land()
				if got := g.git("show", "agent--"+name+":a"); got != "a" {
					t.Errorf("a: %q", got)
				}
				if err := s.ws.AddWorktree(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestPartialCloneWithoutFiles(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "origin")
	f.git("config", "uploadpack.allowFilter", "true")
	g := *f
	g.dir = filepath.Join(filepath.Dir(f.dir), "partial")
	g.gitAt(f.root, "clone", "-q", "--no-checkout", "--filter=blob:none", "file://"+f.dir, g.dir)
	r := g.open(g.dir)
	base, err := r.Resolve(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Prepare(t.Context(), Options{Name: "docs", Base: base, RunDir: filepath.Join(f.root, "run"), Owner: testOwner(), Overlay: true})
	wantCode(t, err, "repository", "archive")
}

func TestUnreadableObjectsAreCopied(t *testing.T) {
	t.Parallel()
	needMounts(t)
	f := newFixture(t, "p")
	if os.Geteuid() != 0 {
		t.Log("only root can see this: to have agents of another uid")
		return
	}
	if out, err := exec.CommandContext(t.Context(), "chmod", "-R", "go=", filepath.Join(f.dir, ".git")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := f.start("docs", nil)
	if len(s.ws.Notices) != 1 {
		t.Errorf("notices: %q", s.ws.Notices)
	}
	s.box().sh("git log -p >/dev/null; echo a > a")
	s.land()
	f.git("show", "agent--docs:a")
}
