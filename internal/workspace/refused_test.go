//go:build linux

package workspace

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestRefusedStaysRefused imports again what was refused. The tree is large
// enough to be sent as a delta: then git judges it last, with the pack already
// in place.
func TestRefusedStaysRefused(t *testing.T) {
	t.Parallel()
	needMounts(t)
	f := newFixture(t, "p")
	for i := range 40 {
		f.write(fmt.Sprintf("file-with-a-name-%d", i), "x")
	}
	f.git("add", "-A")
	f.git("commit", "-q", "-m", "many")
	s := f.start("evil", nil)
	s.box().sh(`echo work > work.txt; git add -A; git commit -qm first; printf '[submodule "x"]\n\tpath = x\n\turl = -u./evil\n' > .gitmodules; git add -A; git commit -qm evil`)
	for try := range 3 {
		if _, err := s.ws.Import(t.Context(), uploadPack(t, testOwner())); !errors.Is(err, ErrGitDir) || !strings.Contains(err.Error(), "gitmodulesUrl") {
			t.Fatalf("try %d: wants a refusal, got %v", try, err)
		}
		if got := f.git("rev-parse", "agent--evil"); got != s.base.Commit {
			t.Fatalf("try %d: the branch moved to %s", try, got)
		}
	}
	if err := s.ws.Rescue(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.land()
	if got := f.git("show", "agent--evil:work.txt"); got != "work" {
		t.Errorf("the work is lost: %q", got)
	}
	if out := f.git("ls-tree", "-r", "--name-only", "agent--evil"); strings.Contains(out, ".gitmodules") {
		t.Error(".gitmodules came in")
	}
	f.git("fsck", "--strict")
}

// TestRescueOfMisnamedEncodings commits files that are not what .gitattributes
// calls them.
func TestRescueOfMisnamedEncodings(t *testing.T) {
	t.Parallel()
	needMounts(t)
	f := newFixture(t, "p")
	s := f.start("evil", nil)
	s.box().sh(`echo work > work.txt; echo '* working-tree-encoding=UTF-16' > .gitattributes`)
	if result, rescued := s.settle(); !rescued || f.git("show", result.Tip+":work.txt") != "work" {
		t.Errorf("rescued %t, %+v", rescued, result)
	}
}
