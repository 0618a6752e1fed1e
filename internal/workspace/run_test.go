//go:build linux

package workspace

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	needMounts(t)
	for _, overlay := range []bool{true, false} {
		for _, format := range []string{"sha1", "sha256"} {
			t.Run(format+map[bool]string{true: " overlay", false: " checkout"}[overlay], func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, "pröject with space", "--object-format="+format)
				before := f.git("status", "--porcelain", "--ignored")
				s := f.start("docs", func(o *Options) { o.Overlay = overlay })
				b := s.box()
				if got := b.sh("git status --porcelain"); got != "" {
					t.Errorf("the tree is dirty at first: %q", got)
				}
				if got := b.sh("cat .git/config; git remote -v; git branch -a"); strings.Contains(got, f.root) {
					t.Errorf("the host shows inside: %s", got)
				}
				b.sh("echo '// more' >> main.go; git commit -qam 'agent commit'; mkdir new; echo x > new/file; rm 'docs/read me.txt'")
				result, err := s.ws.Commit(t.Context(), b, Message{Subject: "docs: work", Body: "Why.", CoAuthor: "Bot <bot@example.com>"})
				if err != nil || !result.Changed {
					t.Fatalf("commit: %+v, %v", result, err)
				}
				imported := s.bring()
				if imported.Stat.Commits != 2 || imported.Stat.Files != 3 || !imported.Changed || imported.Rebased || imported.Diverged {
					t.Errorf("import: %+v", imported)
				}
				if got := f.git("rev-parse", "agent--docs"); got != imported.Tip {
					t.Errorf("branch is at %s, not %s", got, imported.Tip)
				}
				want := "Ümit Tester <tester@example.com> Ümit Tester 2026-03-01T12:00:00+02:00\ndocs: work\n\nWhy.\n\nAgent: docs\nCo-authored-by: Bot <bot@example.com>"
				if diff := cmp.Diff(want, f.git("log", "-1", "--format=%an <%ae> %cn %aI%n%B", "agent--docs")); diff != "" {
					t.Error(diff)
				}
				if got := f.git("log", "-1", "--format=%an %(trailers)", "agent--docs^"); got != "Ümit Tester Agent: docs" {
					t.Errorf("the agent's own commit: %q", got)
				}
				if got := f.git("status", "--porcelain", "--ignored"); got != before {
					t.Errorf("status was %q, is %q", before, got)
				}
				if again := s.land(); again.Changed || again.Tip != imported.Tip {
					t.Errorf("again: %+v", again)
				}
				f.git("fsck", "--strict")
			})
		}
	}
}

func TestNoOpRunChangesNothing(t *testing.T) {
	t.Parallel()
	needMounts(t)
	f := newFixture(t, "p")
	s := f.start("noop", nil)
	result, err := s.ws.Commit(t.Context(), s.box(), Message{Subject: "nothing"})
	if err != nil || result.Changed {
		t.Fatalf("commit: %+v, %v", result, err)
	}
	imported := s.bring()
	if imported.Changed || imported.Tip != s.base.Commit || imported.Stat.Commits != 0 {
		t.Errorf("import: %+v", imported)
	}
}

func TestSecondAgentNeedNotHash(t *testing.T) {
	t.Parallel()
	needMounts(t)
	f := newFixture(t, "p")
	for _, name := range []string{"one", "two"} {
		s := f.start(name, nil)
		// Tests are faster than the second by which git tells a file from an
		// index of the same age.
		later := time.Now().Add(10 * time.Second)
		if err := os.Chtimes(s.ws.path(privateName, "index"), later, later); err != nil {
			t.Fatal(err)
		}
		// An index whose stat data fit leaves nothing to refresh, and git does
		// not write it anew.
		got := s.box().sh(`before=$(stat -c %Y%i .git/index); git update-index --refresh; git diff-files --quiet; git status --porcelain; test "$before" = "$(stat -c %Y%i .git/index)"`)
		if got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
	entries, err := os.ReadDir(filepath.Join(f.cfg.CacheDir, "pristine"))
	if err != nil || len(entries) != 2 { // the checkout, and locks
		t.Errorf("cache: %v, %v", entries, err)
	}
}

func TestReopenAfterCrash(t *testing.T) {
	t.Parallel()
	needMounts(t)
	f := newFixture(t, "p")
	s := f.start("crash", nil)
	s.box().sh("echo work > file")
	if err := s.ws.Close(); err != nil {
		t.Fatal(err)
	}
	ws, err := f.open(f.dir).Reopen(t.Context(), filepath.Join(f.root, "runs", "crash"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := ws.Close(); err != nil {
			t.Error(err)
		}
	}()
	again := &started{fixture: f, repo: s.repo, ws: ws}
	again.land()
	if got := f.git("show", "agent--crash:file"); got != "work" {
		t.Errorf("file: %q", got)
	}
}
