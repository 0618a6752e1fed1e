//go:build linux

package workspace

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentprocess/internal/inspect"
)

// settle is the end of a run as the service has it: commit, rescue when need
// be, import, and everything else that the host does with the result.
func (s *started) settle() (result ImportResult, rescued bool) {
	s.t.Helper()
	ctx := s.t.Context()
	for {
		_, err := s.ws.Commit(ctx, s.box(), Message{Subject: "work"})
		if err == nil {
			result, err = s.ws.Import(ctx, uploadPack(s.t, testOwner()))
		}
		if err == nil {
			break
		}
		if rescued || !errors.Is(err, ErrGitDir) {
			s.t.Fatal(err)
		}
		rescued = true
		if err := s.ws.Rescue(ctx); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := s.ws.AddWorktree(ctx); err != nil {
		s.t.Error(err)
	}
	if _, err := s.repo.Agents(ctx); err != nil {
		s.t.Error(err)
	}
	if err := s.repo.Diff(ctx, s.base.Commit, result.Tip, io.Discard); err != nil {
		s.t.Error(err)
	}
	return result, rescued
}

func TestHostileGitDirectories(t *testing.T) {
	t.Parallel()
	needMounts(t)
	for _, tt := range []struct {
		name, script string
		rescued      bool
	}{
		{name: "fsmonitor", script: `git config core.fsmonitor "$CANARY"`},
		{name: "hooksPath", script: `mkdir h; for x in pre-commit post-commit reference-transaction post-checkout fsmonitor-watchman pre-auto-gc; do printf '#!/bin/sh\n%s' "$CANARY" > h/$x; chmod +x h/$x; done; git config core.hooksPath "$PWD/h"`},
		{name: "hooks", script: `for x in pre-commit commit-msg post-commit reference-transaction post-index-change; do printf '#!/bin/sh\n%s; exit 1' "$CANARY" > .git/hooks/$x; chmod +x .git/hooks/$x; done`},
		{name: "filter", script: `printf '* filter=evil\n' > .gitattributes; git config filter.evil.clean "$CANARY; cat"; git config filter.evil.smudge "$CANARY; cat"`},
		{name: "filter process", script: `printf '* filter=evil\n' > .gitattributes; git config filter.evil.process "$CANARY"`, rescued: true},
		{name: "required filter", script: `printf '* filter=evil\n' > .gitattributes; git config filter.evil.clean false; git config filter.evil.required true`, rescued: true},
		{name: "textconv and external diff", script: `printf '* diff=evil\n' > .gitattributes; git config diff.evil.textconv "$CANARY"; git config diff.evil.command "$CANARY"; git config diff.external "$CANARY"`},
		{name: "merge driver", script: `printf '* merge=evil\n' > .gitattributes; git config merge.evil.driver "$CANARY"`},
		{name: "ssh askpass credentials proxies", script: `git config core.sshCommand "$CANARY"; git config core.askPass "$CANARY"; git config core.gitProxy "$CANARY"; git config credential.helper "!$CANARY"`},
		{name: "editor pager browser", script: `for k in core.editor core.pager sequence.editor pager.log pager.diff web.browser man.viewer; do git config $k "$CANARY"; done`},
		{name: "alias", script: `git config alias.upload-pack "!$CANARY"; git config alias.add "!$CANARY"`},
		{name: "include", script: `printf '[core]\nfsmonitor = "%s"\n' "$CANARY" > evil.inc; git config include.path "$PWD/evil.inc"; git config includeIf.gitdir:/.path "$PWD/evil.inc"`},
		{name: "gpg", script: `git config commit.gpgSign true; git config gpg.program "$CANARY"; git config gpg.ssh.program "$CANARY"; git config log.showSignature true`},
		{name: "packObjectsHook", script: `git config uploadpack.packObjectsHook "$CANARY"; git config uploadpack.allowAnySHA1InWant true`},
		{name: "hideRefs", script: `git config uploadpack.hideRefs refs/; git config transfer.hideRefs refs/; git config --add uploadpack.hideRefs refs/heads`},
		{name: "alternateRefsCommand", script: `git config core.alternateRefsCommand "$CANARY"`},
		{name: "worktree elsewhere", script: `git config core.worktree /usr; git config core.bare true`},
		{name: "remote and url", script: `git config remote.origin.url "ext::$CANARY"; git config remote.origin.uploadpack "$CANARY"; git config url."ext::$CANARY".insteadOf fd:: ; git config protocol.allow always`},
		{name: "submodule", script: `printf '[submodule "x"]\n\tpath = x\n\turl = ext::sh\n\tupdate = none\n' > .gitmodules; git config submodule.x.update "!$CANARY"`},
		{name: "namespace and replace refs", script: `git config transfer.advertiseSID true; git replace HEAD $(git commit-tree -m other HEAD^{tree})`},
		{name: "sparse", script: `git config core.sparseCheckout true; printf '/nothing\n' > .git/info/sparse-checkout`},
		{name: "alternates", script: `echo "$OTHER/.git/objects" >> .git/objects/info/alternates`},
		{name: "all gone", script: `rm -rf .git/* 2>/dev/null || :`, rescued: true},
		{name: "config is nonsense", script: `echo '[[[' > .git/config`, rescued: true},
		{name: "HEAD is nonsense", script: `echo nonsense > .git/HEAD`, rescued: true},
		{name: "HEAD names nothing", script: `echo 'ref: refs/heads/none' > .git/HEAD`, rescued: true},
		{name: "branch is a blob", script: `id=$(git hash-object -w main.go); echo $id > .git/refs/heads/agent--evil`, rescued: true},
		{name: "objects are a link", script: `rm -rf .git/objects; ln -s "$OTHER/.git/objects" .git/objects`, rescued: true},
		{name: "objects are a link to ours", script: `mv .git/objects .git/o; ln -s /opt/agent-process/objects/0 .git/objects`, rescued: true},
		{name: "refs are a link", script: `rm -rf .git/refs; ln -s "$OTHER/.git/refs" .git/refs`, rescued: true},
		{name: "commondir", script: `echo "$OTHER/.git" > .git/commondir`, rescued: true},
		{name: "index is nonsense", script: `echo nonsense > .git/index`, rescued: true},
		{name: "index is locked", script: `touch .git/index.lock`},
		{name: "index forgets", script: `git update-index --assume-unchanged main.go; rm .git/index`},
		{name: "no alternates", script: `rm .git/objects/info/alternates`, rescued: true},
		{name: "detached", script: `git checkout -q --detach; git commit -q --allow-empty -m detached`},
		{name: "another branch", script: `git checkout -q -b mine; git commit -q --allow-empty -m mine`},
		{name: "a conflict", script: `git checkout -q -b a; echo a > main.go; git commit -qam a; git checkout -q agent--evil; echo b > main.go; git commit -qam b; git merge a || :`},
		{name: "nested repository", script: `git init -q sub; cd sub; git config user.name x; git config user.email x@example.com; git config core.fsmonitor "$CANARY"; git commit -q --allow-empty -m x; cd ..`},
		{name: "nested empty repository", script: `git init -q sub; git -C sub config core.fsmonitor "$CANARY"`},
		{name: "nested bare repository", script: `git init -q --bare sub; git -C sub config core.fsmonitor "$CANARY"; git -C sub config core.worktree /tmp`},
		{name: "nested link", script: `mkdir sub; ln -s "$OTHER/.git" sub/.git`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "p")
			canary, other := filepath.Join(f.root, "canary"), secretRepository(f)
			s := f.start("evil", nil)
			b := s.box()
			b.sh("CANARY='touch " + canary + "' OTHER='" + other + "'; echo work > work.txt; " + tt.script)
			result, rescued := s.settle()
			if rescued != tt.rescued {
				t.Errorf("rescued: %t", rescued)
			}
			if got := f.git("show", result.Tip+":work.txt"); got != "work" {
				t.Errorf("the work is lost: %q", got)
			}
			f.gitAt(s.ws.WorktreePath(), "status", "--porcelain")
			f.git("log", "-p", "--all")
			if _, err := os.Lstat(canary); err == nil {
				t.Error("the agent's program ran on the host")
			}
			if out := f.git("log", "-p", "--all", "--format=%B"); strings.Contains(out, "secret of another") {
				t.Error("another repository's content was imported")
			}
			f.git("fsck", "--strict")
		})
	}
}

// secretRepository makes a repository beside the fixture's that agents must
// never learn from.
func secretRepository(f *fixture) string {
	f.t.Helper()
	dir := filepath.Join(f.root, "other")
	f.gitAt(f.root, "init", "-q", dir)
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("secret of another\n"), 0o600); err != nil {
		f.t.Fatal(err)
	}
	f.gitAt(dir, "add", "-A")
	f.gitAt(dir, "commit", "-q", "-m", "secret of another")
	f.gitAt(dir, "branch", "agent--evil")
	return dir
}

func TestHostileTrees(t *testing.T) {
	t.Parallel()
	needMounts(t)
	for _, tt := range []struct{ name, script string }{
		{"dot git file", `id=$(echo evil | git hash-object -w --stdin); tree=$(printf '100644 blob %s\t.git\n' $id | git mktree --missing); git update-ref HEAD $(git commit-tree -m evil -p HEAD $tree)`},
		{"dot git in another case", `id=$(echo evil | git hash-object -w --stdin); sub=$(printf '100644 blob %s\tconfig\n' $id | git mktree); tree=$(printf '040000 tree %s\t.GIT\n' $sub | git mktree); git update-ref HEAD $(git commit-tree -m evil -p HEAD $tree)`},
		{"dot dot", `id=$(echo evil | git hash-object -w --stdin); sub=$(printf '100644 blob %s\tconfig\n' $id | git mktree); tree=$(printf '040000 tree %s\t..\n' $sub | git mktree); git update-ref HEAD $(git commit-tree -m evil -p HEAD $tree)`},
		{"gitmodules with an option", `printf '[submodule "x"]\n\tpath = x\n\turl = -u./evil\n' > .gitmodules; git add .gitmodules; git commit -qm evil`},
		{"gitmodules as a link", `id=$(printf main.go | git hash-object -w --stdin); tree=$(printf '120000 blob %s\t.gitmodules\n' $id | git mktree); git update-ref HEAD $(git commit-tree -m evil -p HEAD $tree)`},
		{"missing object", `git update-ref HEAD $(printf 'tree %s\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n' 1111111111111111111111111111111111111111 | git hash-object -t commit -w --stdin --literally)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "p")
			s := f.start("evil", nil)
			s.box().sh("echo work > work.txt; " + tt.script)
			// The commits are refused whole; the tree is rescued without them.
			_, err := s.ws.Import(t.Context(), uploadPack(t, testOwner()))
			if !errors.Is(err, ErrGitDir) {
				t.Fatalf("wants a refusal, got %v", err)
			}
			if got := f.git("rev-parse", "agent--evil"); got != s.base.Commit {
				t.Errorf("the branch moved to %s", got)
			}
			if err := s.ws.Rescue(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.box().sh("rm -f .gitmodules")
			s.land()
			if got := f.git("show", "agent--evil:work.txt"); got != "work" {
				t.Errorf("the work is lost: %q", got)
			}
		})
	}
}

func TestProtectedPathsAreDropped(t *testing.T) {
	needMounts(t)
	f := newFixture(t, "p")
	f.write(".claude/settings.json", "{}\n")
	f.write(".worktreeinclude", ".env\n")
	f.git("add", "-A")
	f.git("commit", "-q", "-m", "settings")
	f.write(".env", "TOKEN=1\n")
	s := f.start("docs", nil)
	b := s.box()
	b.sh(`
git commit -q --allow-empty -m 'kept as it is'
echo '{"hooks":1}' > .claude/settings.json; echo a > a; git add -A; git commit -qm 'settings and a'
git checkout -q -b side HEAD^; mkdir -p sub/.Claude; echo x > sub/.Claude/y; git add -f sub; git commit -qm 'nested only'
echo b > b; git add b; git commit -qm b
git checkout -q agent--docs; git merge -q -m merged side
git add -f .env; git commit -qm 'the secret'
rm -rf .claude; echo file > .claude; git add -A -f .claude; git commit -qm 'a file in its place'
echo c > c; git add c; git commit -qm c
`)
	private := strings.Fields(b.sh("git rev-list --topo-order --reverse HEAD"))
	result := s.land()
	if got := strings.Join(result.Dropped, " "); got != ".claude .claude/settings.json .env sub/.Claude/y" {
		t.Errorf("dropped: %q", got)
	}
	if got := f.git("diff", "--name-only", s.base.Commit, "agent--docs"); got != "a\nb\nc" {
		t.Errorf("the branch changes %q", got)
	}
	if got := f.git("log", "--topo-order", "--reverse", "--format=%s", s.base.Commit+"..agent--docs"); strings.Contains(got, "secret") || strings.Contains(got, "nested only") {
		t.Errorf("commits of which nothing is left are there: %q", got)
	}
	if out := f.git("cat-file", "--batch-all-objects", "--batch-check"); strings.Contains(out, f.git("hash-object", ".env")) {
		t.Error("the secret is in the repository")
	}
	if got := f.git("rev-list", "--topo-order", "--reverse", "agent--docs"); !strings.Contains(got, private[2]) {
		t.Error("a commit without anything to drop has another id")
	}
	if got := f.git("rev-list", "--count", "--merges", "agent--docs"); got != "1" {
		t.Errorf("merges: %s", got)
	}
	if again := s.bring(); again.Changed || again.Tip != result.Tip {
		t.Errorf("a repeated import gave %+v", again)
	}
	b.sh("echo d > d")
	next := s.land()
	if got := f.git("rev-parse", "agent--docs^"); got != result.Tip || next.Replaced != "" {
		t.Errorf("the next commit is not on the one before: %+v", next)
	}
}

func TestAgentRewritesHistory(t *testing.T) {
	needMounts(t)
	f := newFixture(t, "p")
	f.write("second", "x")
	f.git("add", "-A")
	f.git("commit", "-q", "-m", "second")
	s := f.start("docs", nil)
	b := s.box()
	b.sh("echo a > a; git add a; git commit -qm a; git branch other; echo s > s; git add s; git stash -q")
	first := s.land()
	if first.Rebased || len(first.Kept) != 1 || first.Kept[0] != "refs/agents/docs/stash" {
		t.Errorf("first: %+v", first)
	}
	b.sh("git commit -q --amend -m amended; git branch -f other HEAD; git commit -q --allow-empty -m more; git reset -q --hard HEAD^")
	second := s.land()
	if second.Replaced == "" || f.git("rev-parse", second.Replaced) != first.Tip || second.Rebased {
		t.Errorf("second: %+v", second)
	}
	b.sh("git checkout -q --orphan fresh; git commit -qm orphan")
	third := s.land()
	if !third.Rebased || third.Replaced == "" || third.Replaced == second.Replaced {
		t.Errorf("third: %+v", third)
	}
	if got := f.git("rev-parse", third.Replaced); got != second.Tip {
		t.Errorf("replaced: %s", got)
	}
}

func TestPersonMovedTheBranch(t *testing.T) {
	needMounts(t)
	f := newFixture(t, "p")
	s := f.start("docs", nil)
	own := f.git("commit-tree", "-m", "mine", "-p", s.base.Commit, s.base.Tree)
	f.git("update-ref", "refs/heads/agent--docs", own)
	s.box().sh("echo a > a")
	result := s.land()
	if !result.Diverged || f.git("rev-parse", "agent--docs") != own || f.git("show", "refs/agents/docs/imported:a") != "a" {
		t.Errorf("import: %+v", result)
	}
}

func TestFlags(t *testing.T) {
	needMounts(t)
	f := newFixture(t, "p")
	s := f.start("docs", func(o *Options) { o.Inspect.Actions = map[inspect.Kind]inspect.Action{inspect.Links: inspect.Flag} })
	s.box().sh(`mkdir -p .github/workflows sub/.vscode; echo x > .github/workflows/ci.yml; echo x > sub/.vscode/tasks.json; echo all: > Makefile
echo x > fine.txt; ln -s /etc/passwd out; ln -s ../../x up; ln -s main.go in; chmod +x main.go; git init -q sub2; git -C sub2 -c user.name=x -c user.email=x@y commit -q --allow-empty -m x`)
	result := s.land()
	var got []string
	for _, f := range result.Flagged {
		got = append(got, f.Path)
	}
	if want := ".github/workflows/ci.yml Makefile main.go sub/.vscode/tasks.json sub2 out up"; strings.Join(got, " ") != want {
		t.Errorf("flagged %q, want %q", got, want)
	}
}
