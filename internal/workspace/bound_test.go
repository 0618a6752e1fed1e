//go:build linux

package workspace

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// historyFixture is a repository with some history in and out of docs.
func historyFixture(t testing.TB) *fixture {
	t.Helper()
	f := newFixture(t, "p")
	var in strings.Builder
	fmt.Fprint(&in, "reset refs/heads/main\nfrom refs/heads/main^0\n\n")
	for i := range 3 {
		fmt.Fprintf(&in, "commit refs/heads/main\ncommitter Ümit Tester <tester@example.com> %d +0000\n", 1_700_000_000+i)
		for _, text := range []struct{ head, text string }{
			{"", fmt.Sprintf("base %d\n", i)},
			{"M 100644 inline src/a.go\n", fmt.Sprintf("package a // %d\n", i)},
			{"M 100644 inline docs/n.txt\n", fmt.Sprint(i)},
		} {
			fmt.Fprintf(&in, "%sdata %d\n%s\n", text.head, len(text.text), text.text)
		}
	}
	f.gitWith(in.String(), "fast-import", "--quiet")
	f.git("reset", "-q", "--hard")
	return f
}

// scoped starts an agent called docs with a scope.
func (f *fixture) scoped(globs ...string) *started {
	f.t.Helper()
	return f.start("docs", func(o *Options) { o.Scope = globs })
}

// subjects are the subjects that the branch has and the base has not.
func (s *started) subjects() string {
	s.t.Helper()
	return strings.ReplaceAll(s.git("log", "--topo-order", "--reverse", "--format=%s", s.base.Commit+"..agent--"+s.ws.Name()), "\n", ", ")
}

// heldText is what is held, a commit a line: "subject: path path".
func heldText(h *Held) string {
	if h == nil {
		return ""
	}
	var lines []string
	for _, c := range h.Commits {
		var line strings.Builder
		line.WriteString(c.Subject + ":")
		for _, p := range c.Outside {
			line.WriteString(" " + p)
		}
		lines = append(lines, line.String())
	}
	return strings.Join(lines, "; ")
}

// checkApart fails when anything that is held is in the repository, or the
// branch changes what is outside the scope.
func (s *started) checkApart(h *Held) {
	s.t.Helper()
	out := s.git("diff", "--name-only", "--no-renames", "-z", s.base.Commit, "agent--"+s.ws.Name())
	for _, p := range splitPaths([]byte(out)) {
		if !s.ws.scope.Allows(p) {
			s.t.Errorf("the branch changes %q", p)
		}
	}
	if h == nil {
		return
	}
	for _, c := range h.Commits {
		if out, err := s.tryGit(s.dir, "cat-file", "-e", c.ID); err == nil {
			s.t.Errorf("%q is in the repository: %s", c.Subject, out)
		}
	}
	if h.Tip != "" {
		s.gitAt(s.root, "--git-dir="+h.GitDir, "fsck", "--strict")
		if out, err := exec.CommandContext(s.t.Context(), "sh", "-c", h.Look).CombinedOutput(); err != nil || len(out) == 0 {
			s.t.Errorf("%s: %v: %s", h.Look, err, out)
		}
	}
}

func TestScopeAtImport(t *testing.T) {
	t.Parallel()
	needMounts(t)
	const c = "c() { git add -A; git commit -qm \"$1\"; }; "
	for _, tt := range []struct{ name, scope, script, branch, held string }{
		{"inside", "docs/**", c + `echo x > docs/x; c x; rm docs/n.txt; c y; chmod +x docs/x; c z`, "x, y, z", ""},
		{"nothing", "docs/**", `:`, "", ""},
		{"adds", "docs/**", c + `echo x > docs/x; c x; echo y > y; c y; echo z > docs/z; c z`, "x", "y: y; z:"},
		{"modifies", "docs/**", c + `echo x >> src/a.go; c x`, "", "x: src/a.go"},
		{"deletes", "docs/**", c + `rm src/a.go; c x`, "", "x: src/a.go"},
		{"mode", "docs/**", c + `chmod +x src/a.go; c x`, "", "x: src/a.go"},
		{"renames out", "docs/**", c + `git mv docs/n.txt n.txt; c x`, "", "x: n.txt"},
		{"renames in", "docs/**", c + `git mv src/a.go docs/a.go; c x`, "", "x: src/a.go"},
		{"partly", "docs/**", c + `echo x > docs/x; echo x > x; c x`, "", "x: x"},
		{"made and undone", "docs/**", c + `echo x > x; c x; rm x; c y; echo z > docs/z; c z`, "", "x: x; y: x; z:"},
		{"case of the directory", "docs/**", c + `mkdir Docs; echo x > Docs/x; c x`, "", "x: Docs/x"},
		{"case of the file", "README.md", c + `echo x > readme.md; c x`, "", "x: readme.md"},
		{"link", "docs/**", c + `ln -s docs/n.txt l; c x`, "", "x: l"},
		{"link inside that leads out", "docs/**", c + `ln -s ../src docs/l; c x; echo y > docs/l/y; c y`, "x", "y: src/y"},
		{"directory becomes a link", "docs/**", c + `rm -r docs; ln -s src docs; c x; echo y > docs/y; c y`, "", "x: docs; y: src/y"},
		{"blobs below a link", "docs/**", c + `echo x > docs/x; c x; id=$(echo evil | git hash-object -w --stdin); git update-index --add --cacheinfo 100644,$id,src/y; git commit -qm y`, "x", "y: src/y; Changes outside the scope: src/y"},
		{"submodule", "docs/**", c + `git init -q docs/sub; git -C docs/sub -c user.name=x -c user.email=x@y commit -q --allow-empty -m x
			printf '[submodule "sub"]\n\tpath = docs/sub\n\turl = https://example.com/sub\n' > .gitmodules; c x`, "", "x: .gitmodules"},
		{"submodule outside", "docs/**", c + `git init -q sub; git -C sub -c user.name=x -c user.email=x@y commit -q --allow-empty -m x; c x`, "", "x: sub"},
		{"gitattributes", "docs/**", c + `echo '* -text' > .gitattributes; c x`, "", "x: .gitattributes"},
		{"own policy", "docs/**", c + `mkdir .agent-process; echo x > .agent-process/policy.toml; c x`, "", "x: .agent-process/policy.toml"},
		{"odd names", "docs/**", c + `echo x > "$(printf 'a\nb')"; echo x > "docs/$(printf 'a\nb')"; c x`, "", "x: a\nb"},
		{"a name like a header", "docs/**", c + `d=$(printf '%040d %040d\nx' 0 0); echo x > "docs/$d"; c x; echo x > "$d"; c y`, "x", "y: " + fmt.Sprintf("%040d %040d\nx", 0, 0)},
		{"empty commits", "docs/**", `git commit -q --allow-empty -m x; git commit -q --allow-empty -m y`, "x, y", ""},
		{"merge inside", "docs/**", c + `git checkout -q -b side; echo x > docs/x; c x; git checkout -q agent--docs; echo y > docs/y; c y; git merge -q -m m side; git branch -qD side`, "y, x, m", ""},
		{"merge of what is outside", "docs/**", c + `git checkout -q -b side; echo x > x; c x; git checkout -q agent--docs; echo y > docs/y; c y; git merge -q -m m side; git branch -qD side`, "y", "x: x; m:"},
		{"merge that changes by itself", "docs/**", c + `git checkout -q -b side; echo x > docs/x; c x; git checkout -q agent--docs; echo y > docs/y; c y; git merge -q --no-commit side; echo z > z; c m; git branch -qD side`, "y", "x:; m: z"},
		{"merge of older history", "docs/**", c + `git checkout -q -b side HEAD~2; echo x > docs/x; c x; git checkout -q agent--docs; echo y > docs/y; c y; git merge -q -m m side; git branch -qD side`, "y, x, m", ""},
		{"merge that takes back", "docs/**", `git reset -q --hard $(git commit-tree -m m -p HEAD -p HEAD~2 HEAD~2^{tree})`, "", "m: src/a.go"},
		{"merge that takes back turned", "docs/**", `git reset -q --hard $(git commit-tree -m m -p HEAD~2 -p HEAD HEAD~2^{tree})`, "", "m: src/a.go"},
		{"older history", "docs/**", c + `git reset -q --hard HEAD~2; echo x > docs/x; c x`, "", "x:"},
		{"older history and nothing on it", "docs/**", `git reset -q --hard HEAD~2`, "", ""},
		{"a history of its own", "docs/**", c + `git checkout -q --orphan o; git rm -rqf .; mkdir docs; echo x > docs/x; c x`, "", "x:"},
		{"a history of its own merged", "docs/**", c + `git checkout -q --orphan o; git rm -rqf .; mkdir docs; echo x > docs/x; c x; git checkout -q agent--docs; git merge -q --allow-unrelated-histories -m m o; git branch -qD o`, "x, m", ""},
		{"an octopus", "docs/**", c + `for i in 1 2 3; do git checkout -q -b b$i agent--docs; echo $i > docs/$i; c b$i; done; git checkout -q agent--docs; git merge -q -m m b1 b2 b3; git branch -qD b1 b2 b3`, "b1, b2, b3, m", ""},
		{"agent configuration is dropped first", "docs/**", c + `mkdir .claude; echo x > .claude/x; git add -f .claude; git commit -qm x; echo y > docs/y; c y`, "y", ""},
		{"uncommitted", "docs/**", `echo x > docs/x; echo y > y; rm src/a.go`, "work", "Changes outside the scope: src/a.go y"},
		{"uncommitted and nothing else", "docs/**", `echo y > y`, "", "Changes outside the scope: y"},
		{"uncommitted on refused", "docs/**", c + `echo x > x; c x; echo y > y; echo z > docs/z`, "", "x: x; work:; Changes outside the scope: y"},
		{"uncommitted: a file for a directory", "lib/**", c + `echo x > docs/x; rm -r docs; echo f > docs; mkdir lib; echo l > lib/l`, "work", "Changes outside the scope: docs docs/n.txt docs/read me.txt"},
		{"several globs", "docs/** *.md", c + `echo x > docs/x; echo y > y.md; c x; echo z > sub.md; mkdir sub; echo z > sub/z.md; c z`, "x", "z: sub/z.md"},
		{"a forged snapshot", "docs/**", `git update-ref refs/agent-process/outside HEAD~1; echo x > docs/x; git add -A; git commit -qm x`, "x", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := historyFixture(t)
			s := f.scoped(strings.Fields(tt.scope)...)
			s.box().sh(tt.script)
			result := s.land()
			if diff := cmp.Diff(tt.branch, s.subjects()); diff != "" {
				t.Errorf("the branch: %s", diff)
			}
			if diff := cmp.Diff(tt.held, heldText(result.Held)); diff != "" {
				t.Errorf("held: %s", diff)
			}
			if got := f.git("rev-parse", "agent--docs"); got != result.Tip {
				t.Errorf("the branch is at %s, the result says %s", got, result.Tip)
			}
			s.checkApart(result.Held)
			again := s.land()
			if diff := cmp.Diff(result.Held, again.Held); diff != "" || again.Changed {
				t.Errorf("again, changed %t: %s", again.Changed, diff)
			}
			f.git("fsck", "--strict")
		})
	}
}

// TestScopeOfOtherBranches holds what the agent made beside its branch.
func TestScopeOfOtherBranches(t *testing.T) {
	t.Parallel()
	needMounts(t)
	f := historyFixture(t)
	s := f.scoped("docs/**")
	s.box().sh(`git checkout -q -b good; echo x > docs/x; git add -A; git commit -qm x
git checkout -q -b bad; echo y > y; git add -A; git commit -qm y; echo z > docs/z; git add -A; git stash -q
git checkout -q agent--docs; echo w > docs/w`)
	result := s.land()
	if got := strings.Join(result.Kept, " "); got != "refs/agents/docs/heads/good" {
		t.Errorf("kept: %q", got)
	}
	h := result.Held
	if h == nil || h.Tip != "" || len(h.More) != 2 || h.More[0].Name != "heads/bad" || h.More[1].Name != "stash" {
		t.Fatalf("held: %+v", h)
	}
	s.checkApart(h)
	released, err := s.repo.ReleaseHeld(t.Context(), "docs", h.Run)
	if err != nil || released.Ref != "" || len(released.More) != 2 || f.git("show", released.More[0]+":y") != "y" {
		t.Errorf("released: %+v, %v", released, err)
	}
}

// TestScopeInOddRepositories has what judging borrows from.
func TestScopeInOddRepositories(t *testing.T) {
	t.Parallel()
	needMounts(t)
	for _, tt := range []struct {
		name    string
		strict  bool
		options []string
		overlay bool
	}{
		{"sha256", false, []string{"--object-format=sha256"}, true}, {"strict", true, nil, true}, {"checkout", false, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "p", tt.options...)
			s := f.start("docs", func(o *Options) { o.Scope, o.Strict, o.Overlay = []string{"docs"}, tt.strict, tt.overlay })
			s.box().sh(`echo x > docs/x; git add -A; git commit -qm x; echo y > y; git add -A; git commit -qm y
git checkout -q --orphan o; git rm -rqf .; mkdir docs; echo z > docs/z; git add -A; git commit -qm z; git checkout -q agent--docs; echo w > w`)
			result := s.land()
			if got := s.subjects(); got != "x" {
				t.Errorf("branch: %q", got)
			}
			if got := heldText(result.Held); got != "y: y; Changes outside the scope: w" {
				t.Errorf("held: %q", got)
			}
			s.checkApart(result.Held)
		})
	}
}
