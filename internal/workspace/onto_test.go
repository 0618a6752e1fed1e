//go:build linux

package workspace

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"agentprocess/internal/sandbox"
)

// howResolve is the way of homeSpec that rebases the branch of an agent onto
// HEAD; what the rebasing comes to is what the agent's "imported" is.
const howResolve = How("resolve")

// rebase does what a rebasing does to the repository.
func (homeSpec) rebase(ctx context.Context, r *Repository) error {
	onto, err := r.Resolve(ctx, "HEAD")
	if err != nil {
		return err
	}
	tip, _, err := r.Place(ctx, "docs")
	if err != nil {
		return err
	}
	if _, err := r.ReclaimOnto(ctx, "docs", onto, tip); err != nil {
		return err
	}
	made, err := r.git.line(ctx, r.common("rev-parse", pinPrefix("docs")+"imported"))
	if err != nil {
		return err
	}
	if err := r.updateRefs(ctx, "import", "update "+branchRef("docs")+" "+made+" "+tip+"\n"); err != nil {
		return err
	}
	_, err = r.Resolved(ctx, "docs", made)
	return err
}

// The supervisor is killed before each of its calls of git while an agent
// rebases its branch: then the branch is put back, exactly, or what was done is
// undone, exactly; and nothing of the person's is touched at any time.
func TestKilledWhileResolving(t *testing.T) {
	t.Parallel()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	f := homeFixture(t)
	situations()["advanced"](f)
	situations()["dirty-disjoint"](f)
	r, spec := f.open(f.dir), homeSpec{Dir: f.dir, StateDir: f.cfg.StateDir, CacheDir: f.cfg.CacheDir, Env: f.env, How: howResolve}
	tree := f.git("rev-parse", Branch("docs")+"^{tree}")
	made := f.git("commit-tree", "-m", "rebased", "-p", "HEAD", tree)
	f.git("update-ref", "refs/agents/docs/imported", made)
	before, mine := withoutJournal(f.everything()), f.mine()
	if err := os.MkdirAll(f.cfg.StateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	restore := f.save(filepath.Join(f.root, "work"), f.cfg.StateDir)
	put, undone := 0, 0
	for at, killed := 1, true; killed; at++ {
		if at > 60 {
			t.Fatal("it does not come to an end")
		}
		var last string
		killed, last = f.killProcess(t, git, spec, at)
		if got := f.mine(); got != mine {
			t.Errorf("killed after git %s: what is the person's was\n%s\nand is\n%s", last, mine, got)
		}
		back, did, err := r.PutBack(t.Context(), "docs")
		if err != nil {
			t.Fatalf("killed after git %s: %v", last, err)
		}
		if back.Kept != "" {
			put++
			if got := f.git("rev-parse", back.Kept); got != made {
				t.Errorf("killed after git %s: kept is %s, want %s", last, got, made)
			}
			f.git("update-ref", "-d", back.Kept)
		}
		if !did && f.git("rev-parse", Branch("docs")) == made {
			undone++
			if _, err := r.Undo(t.Context(), 0, false, nil); err != nil {
				t.Errorf("killed after git %s: undo: %v", last, err)
			}
		}
		if got := withoutJournal(f.everything()); got != before {
			t.Errorf("killed after git %s: then there is\n%s\nwant\n%s", last, got, before)
		}
		restore()
	}
	if put == 0 || undone == 0 {
		t.Errorf("put back half-way %d times and undone %d times, want both", put, undone)
	}
}

func TestPutBackLeavesWhatSomebodyMoved(t *testing.T) {
	t.Parallel()
	f := homeFixture(t)
	situations()["advanced"](f)
	r, ctx := f.open(f.dir), t.Context()
	onto, err := r.Resolve(ctx, "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	tip, base, err := r.Place(ctx, "docs")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReclaimOnto(ctx, "docs", onto, tip); err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]func() error{
		"merge":  func() error { _, err := r.Merge(ctx, MergeOptions{Name: "docs", How: HowSquash}); return err },
		"resume": func() error { _, err := r.Reclaim(ctx, "docs", onto, tip); return err },
		"again":  func() error { _, err := r.ReclaimOnto(ctx, "docs", onto, tip); return err },
	} {
		if err := try(); sandbox.ErrorCode(err) != sandbox.CodeBusy || !strings.Contains(sandbox.ErrorHint(err), "--abort") {
			t.Errorf("%s meanwhile: %v, %s", name, err, sandbox.ErrorHint(err))
		}
	}
	mine := f.git("commit-tree", "-m", "mine", "-p", tip, tip+"^{tree}")
	f.git("update-ref", branchRef("docs"), mine)
	if _, err := r.Resolved(ctx, "docs", onto.Commit); sandbox.ErrorCode(err) != sandbox.CodeConflict {
		t.Errorf("it counts as resolved: %v", err)
	}
	back, did, err := r.PutBack(ctx, "docs")
	if err != nil || !did || !back.Moved || back.Base != base {
		t.Errorf("put back %+v, %t, %v", back, did, err)
	}
	if now, nowBase, err := r.Place(ctx, "docs"); now != mine || nowBase != base || err != nil {
		t.Errorf("the branch is at %s on %s, want %s on %s: %v", now, nowBase, mine, base, err)
	}
	if _, did, err := r.PutBack(ctx, "docs"); did || err != nil {
		t.Errorf("put back twice: %t, %v", did, err)
	}
}

// An agent rebases inside, whatever it may read of the history, and within its
// scope.
func TestRebaseInside(t *testing.T) {
	t.Parallel()
	needMounts(t)
	const finish = "git rebase -q -X theirs --onto refs/agent-process/onto refs/agent-process/from"
	for _, tt := range []struct {
		name       string
		options    Options
		script     string
		unfinished bool
		why        string
	}{
		{"all objects", Options{}, finish, false, ""},
		{"history of the base", Options{Strict: true}, finish, false, ""},
		{"one commit", Options{Depth: 1}, finish, false, ""},
		{"in its scope", Options{Scope: []string{"main.go", "new", "ten.txt", "gone.txt", "dir", "dir/**"}}, finish, false, ""},
		{"a merge", Options{}, "git merge -q -X ours refs/agent-process/onto", false, ""},
		{"in the middle", Options{}, strings.Replace(finish, "-X theirs", "", 1) + " || true", true, ""},
		{"marks left", Options{}, strings.Replace(finish, "-X theirs", "", 1) + " || { git add -A; GIT_EDITOR=true git rebase --continue; }", false, "marks of conflicts are left in main.go"},
		{"marks meant", Options{}, finish + "; printf '<<<<<<< a\\n=======\\n>>>>>>> b\\n' > new/file.sh; git commit -qam marks", false, "new/file.sh"},
		{"nothing left", Options{}, "git reset -q --hard refs/agent-process/onto", false, "nothing of its work is left"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := homeFixture(t)
			tip, from := f.git("rev-parse", Branch("docs")), f.git("rev-parse", "HEAD")
			f.write("main.go", "package conflict\n")
			f.git("commit", "-q", "-am", "mine")
			s := &started{fixture: f, repo: f.open(f.dir)}
			ctx := t.Context()
			var err error
			if s.base, err = s.repo.Resolve(ctx, ""); err != nil {
				t.Fatal(err)
			}
			if s.claim, err = s.repo.ReclaimOnto(ctx, "docs", s.base, tip); err != nil {
				t.Fatal(err)
			}
			o := tt.options
			o.Name, o.Base, o.RunDir, o.Owner, o.Overlay, o.Rebases = "docs", s.base, filepath.Join(f.root, "runs", "docs"), testOwner(), true, from
			if o.Start, err = s.repo.Resolve(ctx, tip); err != nil {
				t.Fatal(err)
			}
			if s.ws, err = s.repo.Prepare(ctx, o); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.ws.Close(); err != nil {
					t.Error(err)
				}
			})
			s.box().sh(tt.script)
			if in, err := s.ws.Unfinished(ctx, s.box()); in != tt.unfinished || err != nil {
				t.Errorf("unfinished is %t, %v, want %t", in, err, tt.unfinished)
			}
			if tt.unfinished {
				return
			}
			result := s.bring()
			why, err := s.ws.WhyUnresolved(ctx, result.Tip)
			if err != nil || (why == "") != (tt.why == "") || !strings.Contains(why, tt.why) {
				t.Errorf("unresolved: %q, %v, want %q; held: %+v", why, err, tt.why, result.Held)
			}
		})
	}
}

func TestParseMarks(t *testing.T) {
	t.Parallel()
	in := "a.txt:1: leftover conflict marker\n+<<<<<<< a\na.txt:3: leftover conflict marker\n\"q:\\303\\274.txt\":2: leftover conflict marker\nb.txt:1: trailing whitespace.\n: leftover conflict marker\n"
	if got := slices.Sorted(maps.Keys(parseMarks([]byte(in)))); fmt.Sprint(got) != `["q:\303\274.txt" a.txt]` {
		t.Errorf("marks in %q", got)
	}
}
