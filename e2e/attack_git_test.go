package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// gitAttack is something that an agent leaves for git on the host. $CANARY is
// a command that works on the host only, $OTHER another repository of the
// person's, $EVIL a program in the tree that does what $CANARY does.
type gitAttack struct {
	share     int
	name, run string
}

// held is the exit status of a run of which something was kept out, such as links
// that lead out of the tree.
const held = 20

// TestAttackGit lets agents poison everything git reads, and then does with
// the result what the product and a person do. Nothing of the agent's may run
// on the host, no work may be lost, nothing of another repository may come in.
func TestAttackGit(t *testing.T) { //nolint:tparallel // alone: where its world listens, no other can
	w := newWorld(t)
	attacks := slices.Concat(configAttacks(), gitDirAttacks(), nestedAttacks(), treeAttacks())
	if len(attacks) < 40 {
		t.Fatalf("%d attacks", len(attacks))
	}
	for _, batch := range batches(attacks) {
		t.Run(batch[0].name, func(t *testing.T) {
			t.Parallel()
			newGitVictim(t).attack(t, batch)
		})
	}
	t.Cleanup(func() { w.check(t) })
}

// batches puts attacks that do not disturb each other into one start.
func batches(attacks []gitAttack) [][]gitAttack {
	const most = 8
	var out [][]gitAttack
	open := map[int]int{}
	for _, a := range attacks {
		at, ok := open[a.share]
		if a.share == alone || !ok || len(out[at]) == most {
			open[a.share] = len(out)
			out = append(out, nil)
			at = len(out) - 1
		}
		out[at] = append(out[at], a)
	}
	return out
}

// gitVictim is a person with two repositories.
type gitVictim struct {
	*attacked
	canary string // and a number: exists when what that attack left ran on the host
	other  string
	config string // of the repository, which must stay as it is
	refs   string
	base   string
}

func newGitVictim(t *testing.T) *gitVictim {
	t.Helper()
	h := newMachine(t, map[string]string{"lib/lib.go": "package lib\n", ".claude/settings.json": "{}\n"})
	v := &gitVictim{attacked: h, canary: filepath.Join(h.dir, "canary"), other: filepath.Join(h.dir, "other")}
	h.write("other/main.go", "the other repository's secret\n")
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}, {"commit", "-q", "-m", "the other repository's secret"}, {"branch", "agent--evil"}} {
		h.must(append([]string{"git", "-C", v.other}, args...)...)
	}
	v.config, v.refs, v.base = v.hostFiles(), h.git("for-each-ref"), h.git("rev-parse", "HEAD")
	return v
}

// hostFiles are the files of the repository that say what git runs.
func (v *gitVictim) hostFiles() string {
	v.t.Helper()
	var b strings.Builder
	for _, pattern := range []string{"config", "config.worktree", "hooks/*", "info/attributes", "info/exclude", "HEAD", "objects/info/alternates"} {
		names, err := filepath.Glob(filepath.Join(v.repo, ".git", pattern))
		if err != nil {
			v.t.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				v.t.Fatal(err)
			}
			b.WriteString(name + "\n" + string(data))
		}
	}
	return b.String()
}

// attack runs one agent and then everything that looks at what it left.
func (v *gitVictim) attack(t *testing.T, batch []gitAttack) {
	t.Helper()
	var script strings.Builder
	script.WriteString(`echo work > work.txt; set +e; `)
	for i, a := range batch {
		touch := fmt.Sprintf("touch %s%d", v.canary, i)
		fmt.Fprintf(&script, `CANARY="%s"; EVIL="$PWD/evil%d.sh"; printf '#!/bin/sh\n%s; cat\n' > $EVIL; chmod +x $EVIL; `, touch, i, touch)
		switch a.share {
		case alone:
			script.WriteString(a.run + "\n")
		case together:
			script.WriteString("(" + a.run + ")\n")
		case below:
			fmt.Fprintf(&script, "(mkdir n%d; cd n%d; %s)\n", i, i, a.run)
		}
	}
	r := v.start("evil", []string{"--keep", "--env", "OTHER=" + v.other}, "sh", "-c", script.String()+"exit 0")
	v.quiet(t, "the run")
	if r.status != 0 && r.status != held {
		t.Errorf("status %d, outcome %+v\n%s%s", r.status, r.outcome(), r.transcript(), r.stderr.String())
	}
	if got := v.git("show", "agent--evil:work.txt"); got != "work" {
		t.Errorf("the work is lost: %q", got)
	}
	v.product("list", "--json")
	v.product("show", "evil")
	v.quiet(t, "looking at it")
	v.person(t)
	v.unharmed(t)
	v.product("rm", "evil", "--force")
	v.quiet(t, "removing it")
	v.product("cleanup")
	v.quiet(t, "cleaning up")
	if left := leftovers(v.dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// quiet fails if something of the agent's ran on the host.
func (v *gitVictim) quiet(t *testing.T, when string) {
	t.Helper()
	ran, err := filepath.Glob(v.canary + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range ran {
		t.Errorf("%s: %s ran what the agent left, attack number %s of this batch", saysHostGit, when, strings.TrimPrefix(name, v.canary))
	}
	if len(ran) > 0 {
		t.FailNow()
	}
}

// person does what people do with a branch, in the main checkout and in the
// worktree that was kept.
func (v *gitVictim) person(t *testing.T) {
	t.Helper()
	tree := filepath.Join(v.dir, "worktrees", "evil")
	if got, err := os.ReadFile(filepath.Join(tree, "work.txt")); err != nil || string(got) != "work\n" {
		t.Errorf("the worktree holds %q: %v", got, err)
	}
	for _, args := range [][]string{
		{"-C", tree, "status", "--ignored"},
		{"-C", tree, "diff", "main", "--"},
		{"-C", tree, "log", "-p", "--stat", "main..HEAD", "--"},
		{"-C", tree, "submodule", "status"},
		{"-C", tree, "add", "-A", "--dry-run"},
		{"diff", "--submodule=log", "main", "agent--evil"},
		{"checkout", "-q", "--detach", "agent--evil"},
		{"status"},
		{"checkout", "-q", "main"},
		{"fetch", "-q", ".", "agent--evil"},
		{"pull", "-q", "--no-rebase", "--no-edit", "--allow-unrelated-histories", ".", "agent--evil"},
		{"reset", "-q", "--hard", v.base},
		{"-C", tree, "commit", "-q", "--allow-empty", "-m", "mine, on the agent's branch"},
		{"-C", tree, "reset", "-q", "--soft", "HEAD~1"},
		{"commit", "-q", "--allow-empty", "-m", "mine"},
		{"merge", "-q", "--no-edit", "--allow-unrelated-histories", "agent--evil"},
		{"status"},
	} {
		if status, out := v.try(append([]string{"git"}, args...)...); status != 0 && args[0] != "merge" && args[0] != "pull" && !slices.Contains(args, "submodule") {
			t.Errorf("git %q: status %d\n%s", args, status, out)
		}
		v.quiet(t, "git "+strings.Join(args, " "))
	}
}

// unharmed looks for what must never come in, and must never change.
func (v *gitVictim) unharmed(t *testing.T) {
	t.Helper()
	if out := v.git("log", "-p", "--all", "--format=%B"); strings.Contains(out, "the other repository's secret") || strings.Contains(out, planted) {
		t.Error("content of elsewhere came in")
	}
	if out := v.git("log", "--format=", "--name-only", "-m", v.base+"..agent--evil"); strings.Contains(strings.ToLower(out), ".claude") {
		t.Errorf(".claude is in a commit: %q", out)
	}
	if got := v.hostFiles(); got != v.config {
		t.Errorf("the host's git directory changed:\n%s\nbefore:\n%s", got, v.config)
	}
	for line := range strings.Lines(v.git("for-each-ref", "--format=%(refname)")) {
		name := strings.TrimSpace(line)
		if !strings.Contains(v.refs, name) && name != "refs/heads/agent--evil" && !strings.HasPrefix(name, "refs/agents/") {
			t.Errorf("a new ref: %s", name)
		}
	}
	v.git("fsck", "--strict", "--no-dangling")
	if out := v.must("git", "-C", v.other, "status", "--porcelain"); out != "" {
		t.Errorf("the other repository changed: %q", out)
	}
}

// TestAttackGitOfThePerson points at programs that the person configured: what
// the agent writes picks which one runs on what, so that none may run while
// the product handles the work.
func TestAttackGitOfThePerson(t *testing.T) {
	w := newWorld(t)
	v := newGitVictim(t)
	v.program("home/mine.sh", "#!/bin/sh\ntouch "+v.canary+"\ncat\n")
	mine := filepath.Join(v.home, "mine.sh")
	for _, kv := range [][]string{
		{"filter.mine.smudge", mine},
		{"filter.mine.clean", mine},
		{"filter.mine.required", "true"},
		{"diff.mine.textconv", mine},
		{"merge.mine.driver", mine},
		{"filter.lfs.smudge", mine},
		{"filter.lfs.clean", mine},
		{"filter.lfs.process", mine},
		{"core.hooksPath", ".husky"},
		{"core.fsmonitor", ".husky/fsmonitor"},
		{"submodule.recurse", "true"},
		{"fetch.recurseSubmodules", "true"},
		{"diff.external", mine},
		{"core.pager", mine},
		{"log.showSignature", "true"},
		{"gpg.program", mine},
	} {
		v.git("config", kv[0], kv[1])
	}
	r := v.start("evil", []string{"--keep", "--env", "CANARY=touch " + v.canary}, "sh", "-c", `
mkdir .husky; for h in pre-commit post-commit post-checkout post-merge reference-transaction post-index-change fsmonitor pre-auto-gc post-rewrite; do printf '#!/bin/sh\n%s\n' "$CANARY" > .husky/$h; chmod +x .husky/$h; done
printf '* filter=mine diff=mine merge=mine\n*.bin filter=lfs diff=lfs merge=lfs\n' > .gitattributes
printf '[lfs]\n\turl = http://evil.example/\n' > .lfsconfig
printf '[submodule "x"]\n\tpath = x\n\turl = ../other\n' > .gitmodules
echo work > work.txt; echo pointer > a.bin`)
	v.quiet(t, "the run")
	if r.status != 0 && r.status != held {
		t.Errorf("status %d\n%s", r.status, r.stderr.String())
	}
	for _, args := range [][]string{{"list"}, {"show", "evil"}, {"logs", "evil"}, {"rm", "evil", "--force"}, {"cleanup"}} {
		v.product(args...)
		v.quiet(t, args[0])
	}
	w.check(t)
}

// TestAttackGitControl poisons a repository of the person's own: the canary
// must show it, or all the silence above means nothing.
func TestAttackGitControl(t *testing.T) {
	v := newGitVictim(t)
	v.must("git", "-C", v.other, "config", "core.fsmonitor", "touch "+v.canary+"0")
	v.must("git", "-C", v.other, "status")
	if _, err := os.Stat(v.canary + "0"); err != nil {
		t.Error(err)
	}
}
