//go:build linux

package workspace

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// kind is a kind of repository, or of work in one.
type kind struct {
	name  string
	setup func(f *fixture) // before the base commit
	// configure is after it.
	configure func(f *fixture)
	// work is what the agent does in the tree.
	work string
	// files are what its branch has then, as git stores them.
	files map[string]string
	// check looks at what the person has after a merge.
	check func(t *testing.T, f *fixture)
}

// kinds are those that decide how files or refs are stored (T-B1, T-B9, T-B12),
// and what agents do with git (T-B2).
func kinds() []kind {
	const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345"
	return []kind{
		{
			name: "sparse", work: "echo changed >> main.go; echo 'read it' > 'docs/read me.txt'; echo new > far.txt",
			setup: func(f *fixture) { f.git("sparse-checkout", "set", "--cone", "docs") },
			files: map[string]string{"docs/read me.txt": "read it", "far.txt": "new"},
			check: func(t *testing.T, f *fixture) {
				t.Helper()
				if got := f.git("config", "core.sparseCheckout") + f.git("sparse-checkout", "list"); got != "truedocs" {
					t.Errorf("the sparse checkout is %q", got)
				}
			},
		},
		{
			name: "case collisions", work: "echo UPPER > README; echo lower > readme",
			setup: func(f *fixture) {
				f.write("README", "a\n")
				f.write("readme", "b\n")
			},
			files: map[string]string{"README": "UPPER", "readme": "lower"},
		},
		{
			name: "line ends", work: "git diff --exit-code --stat; printf 'one\\r\\ntwo\\r\\n' > crlf.txt; printf 'new\\r\\n' > new.txt; printf 'raw\\r\\n' > raw.bin",
			setup: func(f *fixture) {
				f.git("config", "core.autocrlf", "true")
				f.write(".gitattributes", "*.txt text eol=crlf\n*.bin -text\n")
				f.write("crlf.txt", "one\r\n")
			},
			files: map[string]string{"crlf.txt": "one\ntwo", "new.txt": "new", "raw.bin": "raw\r"},
			check: func(t *testing.T, f *fixture) {
				t.Helper()
				if data, err := os.ReadFile(filepath.Join(f.dir, "crlf.txt")); err != nil || string(data) != "one\r\ntwo\r\n" {
					t.Errorf("crlf.txt is %q, %v", data, err)
				}
			},
		},
		{
			name: "LFS", work: "grep -q '^oid sha256:4d7a' large.psd; echo 1 > other.txt; sed s/12345/23456/ large.psd > another.psd",
			setup: func(f *fixture) {
				f.write(".gitattributes", "*.psd filter=lfs diff=lfs merge=lfs -text\n")
				f.write("large.psd", pointer+"\n")
			},
			configure: func(f *fixture) {
				for _, key := range []string{"clean", "smudge", "process"} {
					f.git("config", "filter.lfs."+key, "touch "+filepath.Join(f.root, "canary"))
				}
				f.git("config", "filter.lfs.required", "true")
			},
			files: map[string]string{"large.psd": pointer, "another.psd": strings.Replace(pointer, "12345", "23456", 1), "other.txt": "1"},
			check: func(t *testing.T, f *fixture) {
				t.Helper()
				for _, key := range []string{"clean", "smudge", "process", "required"} {
					f.git("config", "--unset", "filter.lfs."+key)
				}
			},
		},
		{
			name: "git at work", files: map[string]string{"a": "amended", "b": "b", "c": "c", "main.go": "package rebased", "stashed": "stashed"},
			work: `us=$(git symbolic-ref --short HEAD); echo a > a; git add a; git commit -qm a; echo amended > a; git commit -qa --amend --no-edit
echo stashed > stashed; git stash push -qu; git stash pop -q
git add -A; git commit -qm stashed
git switch -qc side HEAD~1; echo b > b; git add b; git commit -qm b; git switch -q "$us"; git merge -q --no-ff -m merge side
git switch -qc topic; echo package rebased > main.go; git commit -qam topic; git switch -q "$us"; echo c > c; git add c; git commit -qm c
git rebase -q "$us" topic; git switch -q "$us"; git merge -q --ff-only topic
git tag -a -m v1 v1; git tag light
git bisect start HEAD HEAD~2 >/dev/null; git bisect good >/dev/null; git bisect reset 2>/dev/null
git worktree add -q /tmp/wt -b extra; (cd /tmp/wt; echo x > x; git add x; git commit -qm x); git worktree remove /tmp/wt
git reflog >/dev/null; git gc -q --prune=now; git repack -qad; git pack-refs --all; git fsck; git cherry-pick -n extra >/dev/null; git reset -q --hard
echo stash > left; git stash push -qu; git blame -s a >/dev/null; git log --stat >/dev/null; git clean -qfd; git status --porcelain`,
			check: func(t *testing.T, f *fixture) {
				t.Helper()
				kept := f.git("for-each-ref", "--format=%(refname)", "refs/agents/docs")
				for _, ref := range []string{"refs/agents/docs/heads/extra", "refs/agents/docs/stash"} {
					if !strings.Contains(kept, ref) {
						t.Errorf("%s is not kept, of %s", ref, kept)
					}
				}
				if got := f.git("tag"); got != "" {
					t.Errorf("the agent's tags are the person's: %q", got)
				}
			},
		},
		{
			name: "odd names", work: "echo 1 > \"$(printf 'tab\\tname')\"; echo 2 > \"$(printf 'esc\\033[31m')\"; echo 3 > \"$(printf 'line\\nbreak')\"; echo 4 > -rf; echo 5 > 'ü 家'; echo 6 > \"$(printf 'bad\\377utf')\"",
			setup: func(*fixture) {},
			files: map[string]string{"tab\tname": "1", "esc\x1b[31m": "2", "line\nbreak": "3", "-rf": "4", "ü 家": "5", "bad\xffutf": "6"},
		},
	}
}

func TestKindsOfRepository(t *testing.T) {
	t.Parallel()
	needMounts(t)
	for _, tt := range kinds() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "project")
			if tt.setup != nil {
				tt.setup(f)
				f.git("add", "-A")
				f.git("commit", "-q", "--allow-empty", "-m", "base")
			}
			if tt.configure != nil {
				tt.configure(f)
			}
			s := f.start("docs", nil)
			if out := s.box().sh("git status --porcelain"); out != "" {
				t.Errorf("before it began the agent sees\n%s", out)
			}
			s.box().sh(tt.work)
			s.land()
			for name, want := range tt.files {
				if got := f.git("show", "agent--docs:"+name); got != want {
					t.Errorf("%q is %q, want %q", name, got, want)
				}
			}
			r := f.open(f.dir)
			if _, err := r.Merge(t.Context(), MergeOptions{Name: "docs", How: HowFastForward}); err != nil {
				t.Fatal(err)
			}
			if tt.check != nil {
				tt.check(t, f)
			}
			if out := f.git("status", "--porcelain"); out != "" {
				t.Errorf("after the merge the person has\n%s", out)
			}
			if _, err := os.Stat(filepath.Join(f.root, "canary")); err == nil {
				t.Error("a driver ran on the host")
			}
			f.git("fsck", "--strict")
		})
	}
}

// Where git keeps refs in tables, everything but the private clone is in them.
func TestReftable(t *testing.T) {
	t.Parallel()
	needMounts(t)
	probe := emptyFixture(t, "probe")
	if out, err := probe.tryGit(probe.root, "init", "-q", "--ref-format=reftable", "tables"); err != nil {
		t.Log("this git has no reftable, so there is nothing to work in: ", out)
		return
	}
	f := newFixture(t, "project", "--ref-format=reftable")
	s := f.start("docs", nil)
	s.box().sh("echo 1 > 1.txt")
	s.land()
	r := f.open(f.dir)
	if _, err := r.Merge(t.Context(), MergeOptions{Name: "docs", How: HowMerge, Message: Message{Subject: "Merge"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Undo(t.Context(), 0, false, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Trash(t.Context(), "docs", nil); err != nil {
		t.Fatal(err)
	}
	f.git("fsck", "--strict")
}
