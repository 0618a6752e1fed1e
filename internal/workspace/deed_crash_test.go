//go:build linux

package workspace

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"agentprocess/internal/sandbox"
)

// The ways of homeSpec that take away or bring back.
const (
	howRemove = How("rm")
	howRewind = How("rewind")
	howUndo   = How("undo")
)

// deed does what `rm`, `rewind` and `undo` do to the repository.
func (s homeSpec) deed(ctx context.Context, r *Repository) error {
	switch s.How {
	case howRemove:
		gone, err := r.RemoveWorktree(ctx, "docs", "")
		if err != nil {
			return err
		}
		if gone.Kept != "" {
			return errors.New(gone.Kept)
		}
		if _, err = r.Trash(ctx, "docs", nil); sandbox.ErrorCode(err) == sandbox.CodeNotFound {
			return nil // it was done
		}
		return err
	case howRewind:
		to, err := r.FindCheckpoint(ctx, "docs", 1)
		if err != nil {
			return err
		}
		_, err = r.Rewind(ctx, "docs", to, nil, func() error { return nil })
		return err
	default:
		if _, err := r.Undo(ctx, 1, true, nil); sandbox.ErrorCode(err) != sandbox.CodeNotFound {
			return err
		}
		return nil // it was done
	}
}

// The supervisor is killed before each of its calls of git while it removes an
// agent, rewinds one, and takes back a removal, a rewinding and a merge. At any
// time all commits of the agent are in a ref and the person's files as they
// were; the same command again does the rest; and undo brings everything back.
func TestKilledAtADeed(t *testing.T) {
	t.Parallel()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		before How // done, and not killed
		how    How
	}{
		{"rm", "", howRemove},
		{"rewind", "", howRewind},
		{"undo rm", howRemove, howUndo},
		{"undo merge", HowMerge, howUndo},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := homeFixture(t)
			situations()["dirty-disjoint"](f)
			tip := f.git("rev-parse", Branch("docs"))
			f.git("worktree", "add", "-q", filepath.Join(f.root, "work", "worktrees", "docs"), Branch("docs"))
			r := f.open(f.dir)
			if _, err := r.Checkpoint(t.Context(), "docs", Checkpoint{Tip: f.git("rev-parse", Branch("docs")+"^")}); err != nil {
				t.Fatal(err)
			}
			if tt.how != howRemove && tt.before != howRemove { // what is checked out is not moved
				f.git("worktree", "remove", filepath.Join(f.root, "work", "worktrees", "docs"))
			}
			spec := homeSpec{Dir: f.dir, StateDir: f.cfg.StateDir, CacheDir: f.cfg.CacheDir, Env: f.env}
			first := withoutJournal(f.everything())
			if tt.before != "" {
				spec.How = tt.before
				if err := spec.run(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			spec.How = tt.how
			restore := f.save(filepath.Join(f.root, "work"), f.cfg.StateDir)
			mine, was := f.mine(), ""
			for at, killed := 1, true; killed; at++ {
				if at > 60 {
					t.Fatal("it does not come to an end")
				}
				var last string
				killed, last = f.killProcess(t, git, spec, at)
				// Where nothing was written since, what is left is as before.
				is := f.files(filepath.Join(f.root, "work"), f.cfg.StateDir)
				if is != was || !killed || writing(last) {
					f.afterKill(t, spec, fmt.Sprintf("%d, %t, after git %s", at, killed, last), killed, kept{tip: tip, mine: mine, all: first})
				}
				was = is
				restore()
			}
			f.git("fsck", "--strict")
		})
	}
}

// kept is what no crash may change.
type kept struct {
	tip  string // of the agent's work
	mine string // the person's files
	all  string // everything, once all is taken back
}

// writing reports whether a call of git writes what files cannot show: the
// index has the times of files in it.
func writing(call string) bool {
	for _, verb := range []string{"fast-import", "update-index", "read-tree", "update-ref", "symbolic-ref"} {
		if strings.Contains(" "+call+" ", " "+verb+" ") {
			return true
		}
	}
	return false
}

// files is all that there is in files at paths, but indexes.
func (f *fixture) files(paths ...string) string {
	f.t.Helper()
	sum := sha256.New()
	for _, p := range paths {
		err := filepath.WalkDir(p, func(path string, d os.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || !d.Type().IsRegular() || d.Name() == "index" {
				return err
			}
			data, err := os.ReadFile(path)
			fmt.Fprintf(sum, "%q %x\n", path, data)
			return err
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
	return string(sum.Sum(nil))
}

// afterKill checks what is left, what the same command makes of it, and that
// undo takes that back.
func (f *fixture) afterKill(t *testing.T, spec homeSpec, when string, killed bool, want kept) {
	t.Helper()
	check := func(step string) {
		t.Helper()
		if f.git("for-each-ref", "--contains", want.tip) == "" {
			t.Errorf("killed at %s: %s: no ref has the agent's work", when, step)
		}
		if got := f.mine(); got != want.mine {
			t.Errorf("killed at %s: %s: what is the person's was\n%s\nand is\n%s", when, step, want.mine, got)
		}
	}
	check("at once")
	r := f.open(f.dir)
	if err := spec.run(t.Context(), r); err != nil {
		t.Errorf("killed at %s: once more: %v", when, err)
	}
	if spec.How != howUndo {
		check("once more")
		id, force := 0, false
		if spec.How == howRewind && !killed { // the second did nothing
			id, force = 1, true
		}
		if _, err := r.Undo(t.Context(), id, force, nil); err != nil {
			t.Errorf("killed at %s: undo: %v", when, err)
		}
	}
	if got := withoutJournal(f.everything()); got != want.all {
		t.Errorf("killed at %s: after undo:\n%s\nwant\n%s", when, got, want.all)
	}
}

// killProcess runs spec in a process that is killed before a call of git, and
// gives the call before that.
func (f *fixture) killProcess(t *testing.T, git string, spec homeSpec, at int) (killed bool, last string) {
	t.Helper()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "git"), fmt.Appendf(nil, killingGit, filepath.Join(bin, "count"), at, git), 0o755); err != nil {
		t.Fatal(err)
	}
	killed = f.runKilled(t, spec, bin)
	call, err := os.ReadFile(filepath.Join(bin, fmt.Sprintf("count.%d", at-1)))
	if err != nil && at > 1 {
		t.Fatal(err)
	}
	return killed, strings.TrimSpace(string(call))
}
