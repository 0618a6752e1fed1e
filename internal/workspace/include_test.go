//go:build linux

package workspace

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInclude(t *testing.T) {
	t.Parallel()
	needMounts(t)
	for _, overlay := range []bool{true, false} {
		f := newFixture(t, "p")
		f.write("conf/tracked.secret", "tracked")
		f.git("add", "-f", "conf/tracked.secret")
		f.git("commit", "-q", "-m", "x")
		f.git("rm", "-q", "--cached", "conf/tracked.secret") // untracked here, tracked in the base
		f.write(".worktreeinclude", "# comment\n.env\n*.secret\nbuild/\n!build/large\nnothing/here\nnot-ignored\n")
		f.write(".env", "TOKEN=1\n")
		f.write("conf/[a] b.secret", "secret")
		f.write("build/out/x", "x")
		f.write("build/large", "x")
		f.write("not-ignored", "x")
		for name, target := range map[string]string{"in.secret": "conf/x", "out.secret": "../../outside", "abs.secret": "/etc/passwd"} {
			if err := os.Symlink(target, filepath.Join(f.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(filepath.Join(f.dir, ".env"), 0o640); err != nil {
			t.Fatal(err)
		}
		s := f.start("docs", func(o *Options) { o.Overlay = overlay })
		inc := s.ws.Included
		if diff := cmp.Diff([]string{".env", "build/large", "build/out/x", "conf/[a] b.secret", "in.secret"}, inc.Copied); diff != "" {
			t.Errorf("copied: %s", diff)
		}
		if diff := cmp.Diff([]string{"nothing/here", "not-ignored"}, inc.Unmatched); diff != "" {
			t.Errorf("unmatched: %s", diff)
		}
		if len(inc.Skipped) != 3 {
			t.Errorf("skipped: %+v", inc.Skipped)
		}
		b := s.box()
		if got := b.sh("stat -c '%a %U' .env; cat conf/tracked.secret; readlink in.secret; git status --porcelain"); !strings.HasPrefix(got, "640 ") || !strings.HasSuffix(got, "\ntrackedconf/x\n") {
			t.Errorf("inside: %q", got)
		}
		b.sh("rm .gitignore; echo more >> .env; git add -A; git add -f .env")
		result := s.land()
		if diff := cmp.Diff([]string{".env"}, result.Dropped); diff != "" {
			t.Errorf("dropped: %s", diff)
		}
		if got := f.git("diff", "--name-only", "main", "agent--docs"); got != ".gitignore" {
			t.Errorf("committed: %q", got)
		}
	}
}
