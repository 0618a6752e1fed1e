//go:build linux

package workspace

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"agentprocess/internal/inspect"
)

// planted are secrets in tests, in pieces so that this file has none.
func planted() (token, key string) {
	token = "ghp_" + "q7Rw2kZ9Lm4XvB1nT8yC3sD6fG5hJ0aPeUiO"
	key = "-----BEGIN OPENSSH " + "PRIVATE KEY-----\n" + strings.Repeat("b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz\n", 4) + "-----END OPENSSH " + "PRIVATE KEY-----\n"
	return token, key
}

// hostHas reports whether any object of the person's repository, reachable or
// not, loose or packed, has the text.
func (f *fixture) hostHas(text string) bool {
	f.t.Helper()
	return strings.Contains(f.git("cat-file", "--batch", "--batch-all-objects", "--unordered"), text)
}

// held lists "path: kind" of what is held of the agent.
func (s *started) heldFiles() string {
	s.t.Helper()
	var list []string
	for _, c := range s.onlyHeld().Cut {
		list = append(list, c.Path+": "+string(c.Kind))
	}
	return strings.Join(list, ", ")
}

// TestInspectionCuts is T-H3: what must not enter the repository does not, in
// any object, and the rest of the same commit does.
func TestInspectionCuts(t *testing.T) {
	t.Parallel()
	needMounts(t)
	token, key := planted()
	for _, tt := range []struct {
		name, script string
		held         string // what is
		gone         string // text that no object of the host may have
		there        string // a file that came home, besides "fine"
		policy       inspect.Policy
	}{
		{name: "environment file", script: "echo PLANTED=1 > .env; git add -f .env", held: ".env: secrets", gone: "PLANTED=1"},
		{name: "environment file of another name", script: "mkdir sub; echo PLANTED=1 > sub/.env.production", held: "sub/.env.production: secrets", gone: "PLANTED=1"},
		{name: "template of one", script: "echo PLANTED= > .env.example; git add -f .env.example", there: ".env.example"},
		{name: "token in code", script: "echo 'const t = \"" + token + "\"' > main.go", held: "main.go: secrets", gone: token, there: "main.go"},
		{name: "private key", script: "cat > deploy <<'EOF'\n" + key + "EOF\ntrue", held: "deploy: secrets", gone: "b3BlbnNzaC1r"},
		{name: "token in UTF-16", script: `printf '\377\376' > w; printf '` + token + `' | sed 's/./&\x00/g' >> w`, held: "w: secrets", gone: "q\x007\x00R\x00"},
		{name: "large file", script: "head -c 50000000 /dev/zero > big.bin; printf PLANTED >> big.bin", held: "big.bin: large-files", gone: "\x00PLANTED"},
		{name: "smaller limit", script: "head -c 5000 /dev/zero > big.bin; printf PLANTED >> big.bin", held: "big.bin: large-files", gone: "\x00PLANTED", policy: inspect.Policy{MaxFile: 4096}},
		{name: "link out of the tree", script: "ln -s ../../etc/PLANTED l", held: "l: links", gone: "PLANTED"},
		{name: "link into the git directory", script: "ln -s .GIT/PLANTED l", held: "l: links", gone: "PLANTED"},
		{name: "link that leaves by another", script: "mkdir -p a/b; ln -s ../.. a/b/up; ln -s a/b/up/../PLANTED l", held: "l: links", gone: "PLANTED", there: "a/b/up"},
		{name: "link inside", script: "ln -s docs d", there: "d"},
		{name: "a file that is allowed", script: "mkdir -p testdata; echo " + token + " > testdata/t", there: "testdata/t", policy: inspect.Policy{Allow: []string{"testdata/**"}}},
		{name: "flagged instead", script: "echo " + token + " > t", there: "t", policy: inspect.Policy{Actions: map[inspect.Kind]inspect.Action{inspect.Secrets: inspect.Flag}}},
		{name: "refused instead", script: "echo " + token + " > t", gone: token, policy: inspect.Policy{Actions: map[inspect.Kind]inspect.Action{inspect.Secrets: inspect.Refuse}}},
		{name: "workflow held", script: "mkdir -p .github/workflows; echo PLANTED > .github/workflows/x.yml", held: ".github/workflows/x.yml: ci", gone: "PLANTED", policy: inspect.Policy{Actions: map[inspect.Kind]inspect.Action{inspect.CI: inspect.Hold}}},
		{name: "executable held", script: "echo PLANTED > run; chmod +x run", held: "run: executables", gone: "PLANTED", policy: inspect.Policy{Actions: map[inspect.Kind]inspect.Action{inspect.Executables: inspect.Hold}}},
		{name: "submodule held", script: "git init -q sub; git -C sub -c user.name=x -c user.email=x@y commit -q --allow-empty -m x; printf '[submodule \"x\"]\\n\\tpath = sub\\n\\turl = ../PLANTED\\n' > .gitmodules", held: ".gitmodules: submodules, sub: submodules", gone: "PLANTED", policy: inspect.Policy{Actions: map[inspect.Kind]inspect.Action{inspect.Submodules: inspect.Hold}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "p")
			s := f.start("docs", func(o *Options) { o.Inspect = tt.policy })
			s.box().sh(tt.script + "; echo fine > fine; git add -A; git commit -qm all")
			result := s.land()
			if got := s.heldFiles(); got != tt.held {
				t.Errorf("held %q, want %q", got, tt.held)
			}
			if got := f.git("show", "agent--docs:fine"); got != "fine" {
				t.Errorf("the rest of the commit: %q", got)
			}
			if tt.gone != "" && f.hostHas(tt.gone) {
				t.Error("it is in an object of the repository")
			}
			if tt.there != "" {
				f.git("cat-file", "-e", "agent--docs:"+tt.there)
			}
			f.git("fsck", "--strict")
			if again := s.bring(); again.Changed || again.Tip != result.Tip {
				t.Errorf("a second import is another: %+v", again)
			}
			if tt.held == "" {
				return
			}
			h := s.onlyHeld()
			released, err := s.repo.ReleaseHeld(t.Context(), "docs", h.Run)
			if err != nil || !released.Moved || !f.hostHas(tt.gone) || f.git("rev-parse", "agent--docs^") != result.Tip {
				t.Errorf("released: %+v, %v", released, err)
			}
			f.git("fsck", "--strict")
		})
	}
}

// TestInspectionHistory is an agent that goes on with what was cut.
func TestInspectionHistory(t *testing.T) {
	t.Parallel()
	needMounts(t)
	token, _ := planted()
	f := newFixture(t, "p")
	f.write("conf", "one\ntwo\n")
	f.write("old", "password = \""+token+"x\"\n")
	f.git("add", "-A")
	f.git("commit", "-q", "-m", "conf")
	s := f.start("docs", nil)
	b := s.box()
	b.sh("echo " + token + " >> conf; echo a > a; git add -A; git commit -qm one; echo b > b; git add -A; git commit -qm two")
	first := s.land()
	if got := s.heldFiles(); got != "conf: secrets" || f.git("show", "agent--docs:conf") != "one\ntwo" {
		t.Errorf("held %q", got)
	}
	b.sh("echo three >> conf; git rm -q --cached a; rm a; echo x >> old; git add -A; git commit -qm three")
	second := s.land()
	if got := s.heldFiles(); got != "conf: secrets" || f.git("show", "agent--docs:old") == "" || f.git("rev-parse", "agent--docs^") != first.Tip || len(s.onlyHeld().Before) != 0 {
		t.Errorf("held %q, %+v", got, second)
	}
	b.sh("printf 'one\\ntwo\\nfour\\n' > conf; git add -A; git commit -qm four")
	third := s.land()
	if got := s.heldFiles(); got != "" || third.Held != nil || f.git("show", "agent--docs:conf") != "one\ntwo\nfour" {
		t.Errorf("held %q, %+v", got, third.Held)
	}
	if got := s.subjects(); got != "one, two, three, four" {
		t.Errorf("branch %q", got)
	}
	if f.hostHas(token + "\n") {
		t.Error("the token is in an object of the repository")
	}
	if got := f.git("for-each-ref", "refs/agents/held"); got != "" {
		t.Errorf("a pin is left: %q", got)
	}
}

// TestInspectionOfOtherBranches cuts what is on branches and stashes, too.
func TestInspectionOfOtherBranches(t *testing.T) {
	t.Parallel()
	needMounts(t)
	token, _ := planted()
	f := newFixture(t, "p")
	s := f.start("docs", nil)
	s.box().sh("git checkout -qb other; echo " + token + " > t; echo o > o; git add -A; git commit -qm other; git checkout -q agent--docs; git merge -q --no-ff -m merged other; " +
		"git rm -q t; git commit -qm clean; echo " + token + " > s; git add s; git stash -q; echo w > w; git add -A; git commit -qm w")
	result := s.land()
	if f.hostHas(token) {
		t.Error("the token is in an object of the repository")
	}
	if got := f.git("show", "agent--docs:o"); got != "o" {
		t.Errorf("merged: %q", got)
	}
	h := s.onlyHeld()
	var names []string
	for _, m := range h.More {
		names = append(names, m.Name)
	}
	if strings.Join(names, " ") != "heads/other stash" || h.Tip != "" {
		t.Errorf("held: %q, %+v", names, h)
	}
	if !slices.Contains(result.Kept, "refs/agents/docs/heads/other") {
		t.Errorf("kept: %q", result.Kept)
	}
	for _, m := range h.More {
		f.gitAt(f.root, "--git-dir="+h.GitDir, "grep", "-q", token, m.Tip)
	}
}

// TestInspectionWithAScope holds for both reasons at once.
func TestInspectionWithAScope(t *testing.T) {
	t.Parallel()
	needMounts(t)
	token, _ := planted()
	f := historyFixture(t)
	s := f.scoped("docs/**")
	b := s.box()
	b.sh("echo x > docs/x; echo " + token + " > docs/t" + commitAll("x") + "echo y > y" + commitAll("y") + "echo z > z")
	s.land()
	h := s.onlyHeld()
	if s.subjects() != "x" || f.hostHas(token) || s.heldFiles() != "docs/t: secrets" {
		t.Errorf("branch %q, held %q", s.subjects(), s.heldFiles())
	}
	for name, want := range map[string]string{"docs/t": token, "y": "y", "z": "z", "docs/x": "x"} {
		if got := f.gitAt(f.root, "--git-dir="+h.GitDir, "show", h.Tip+":"+name); got != want {
			t.Errorf("held %s: %q", name, got)
		}
	}
	b.sh("echo more > docs/more")
	s.land()
	if h := s.onlyHeld(); len(h.Before) != 0 {
		t.Errorf("before: %+v", h.Before)
	}
}

// TestHostPrograms holds what the person's own configuration would run.
func TestHostPrograms(t *testing.T) {
	t.Parallel()
	needMounts(t)
	f := newFixture(t, "p")
	for _, kv := range []string{
		"core.hooksPath=.husky/_", "core.fsmonitor=tools/watch --fast", "filter.x.clean=sh ./scripts/clean.sh %f", "include.path=../.gitconfig",
		"alias.up=!cd sub && ./up.sh", "diff.y.textconv=" + f.dir + "/bin/conv", "core.pager=less", "filter.lfs.clean=git-lfs clean -- %f",
	} {
		key, value, _ := strings.Cut(kv, "=")
		f.git("config", key, value)
	}
	hook := filepath.Join(f.dir, ".git", "hooks", "pre-commit")
	f.mkdir(".git/hooks")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\nexec ci/check.sh \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := f.start("docs", nil)
	paths := []string{".Husky/_/h", ".husky/pre-commit", "tools/watch", "scripts/clean.sh", ".gitconfig", "up.sh", "bin/conv", "ci/check.sh", ".pre-commit-config.yaml"}
	s.box().sh("mkdir -p .husky/_ .Husky/_ tools scripts bin ci git-lfs; echo less > less; echo x > git-lfs/x; for f in " + strings.Join(paths, " ") + "; do echo PLANTED > $f; done")
	s.land()
	var got []string
	for _, c := range s.onlyHeld().Cut {
		if c.Kind != inspect.GitPrograms {
			t.Errorf("%+v", c)
		}
		got = append(got, c.Path)
	}
	slices.Sort(paths)
	if !slices.Equal(got, paths) || f.hostHas("PLANTED") {
		t.Errorf("held %q, want %q", got, paths)
	}
	f.git("cat-file", "-e", "agent--docs:less")
}
