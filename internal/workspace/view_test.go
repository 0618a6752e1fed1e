//go:build linux

package workspace

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentprocess/internal/sandbox"
)

// viewBox is another sandbox that has the view; with a layer it may write.
func (s *started) viewBox(writable bool) (b *box, upper string) {
	s.t.Helper()
	if !writable {
		return &box{t: s.t, mounts: []sandbox.Mount{s.ws.View("", "")}, owner: testOwner()}, ""
	}
	dir := s.ws.path("layer")
	if err := os.Mkdir(dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	upper, work := filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, name := range []string{upper, work} {
		if err := errors.Join(os.Mkdir(name, 0o755), s.ws.own(name)); err != nil {
			s.t.Fatal(err)
		}
	}
	s.t.Cleanup(func() {
		if err := RemoveTree(dir); err != nil {
			s.t.Error(err)
		}
	})
	return &box{t: s.t, mounts: []sandbox.Mount{s.ws.View(upper, work)}, owner: testOwner()}, upper
}

func TestView(t *testing.T) {
	t.Parallel()
	needMounts(t)
	for name, overlay := range map[string]bool{"overlay": true, "checkout": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := historyFixture(t).start("docs", func(o *Options) { o.Overlay = overlay })
			s.box().sh(`echo new > docs/new; rm src/a.go; mv docs/n.txt moved; rm -r docs; mkdir docs; echo again > docs/again; ln -s main.go link; git add -A; git commit -qm x; echo '// more' >> main.go`)
			const list = `find . -path ./.git -prune -o -type f -print | sort | tr '\n' ' '; cat main.go docs/again; pwd`
			inside := s.box().sh(list)
			reader, _ := s.viewBox(false)
			if got := reader.sh(list); got != inside {
				t.Errorf("read-only: %q, inside it is %q", got, inside)
			}
			if out, exit := reader.try(`echo x > x`); exit == 0 || !strings.Contains(out, "ead-only") {
				t.Errorf("a read-only view is written to: %d, %q", exit, out)
			}
			writer, upper := s.viewBox(true)
			if got := writer.sh(list); got != inside {
				t.Errorf("with a layer: %q, inside it is %q", got, inside)
			}
			out, exit := writer.try(`echo formatted > main.go`)
			if overlay != (exit == 0) {
				t.Errorf("with a layer: %d, %q", exit, out)
			}
			if data, err := os.ReadFile(filepath.Join(upper, "main.go")); overlay && (err != nil || string(data) != "formatted\n") {
				t.Errorf("the layer: %q, %v", data, err)
			}
			if after := s.box().sh(list); after != inside {
				t.Errorf("the agent's tree changed: %q", after)
			}
		})
	}
}

// TestViewBesideTheAgent has the agent's own overlay mounted meanwhile.
func TestViewBesideTheAgent(t *testing.T) {
	t.Parallel()
	needMounts(t)
	s := historyFixture(t).start("docs", nil)
	b := s.box()
	in, stdin, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Exec(t.Context(), sandbox.Command{
		Argv: []string{"sh", "-euc", "echo new > docs/new; rm docs/n.txt; echo ready; cat"}, Dir: s.ws.Dir(), Env: []string{"PATH=" + insidePath}, Stdin: in, Stdout: out,
	})
	if err != nil {
		t.Fatal(err)
	}
	in.Close()
	out.Close()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("inside: %q, %v", line, err)
	}
	for _, writable := range []bool{false, true} {
		view, _ := s.viewBox(writable)
		if got := view.sh("cat docs/new; ls docs"); got != "new\nnew\nread me.txt\n" {
			t.Errorf("writable %t: %q", writable, got)
		}
	}
	stdin.Close()
	if exit, err := p.Wait(); err != nil || exit.Code != 0 {
		t.Errorf("the agent: %+v, %v", exit, err)
	}
	stdout.Close()
}

// TestOwnEditsOfThePolicyDoNotAct commits what the agent does to the policy of
// its run, flags it, and goes on with that of the base.
func TestOwnEditsOfThePolicyDoNotAct(t *testing.T) {
	t.Parallel()
	needMounts(t)
	f := newFixture(t, "p")
	f.write(".agent-process/hooks/pre-bash", "#!/bin/sh\nexit 2\n")
	f.git("add", "-A")
	f.git("commit", "-q", "-m", "policy")
	s := f.start("docs", nil)
	s.box().sh(`printf '#!/bin/sh\nexit 0\n' > .agent-process/hooks/pre-bash; echo '*' > .agent-process/allowlist; git add -A; git commit -qm x; git update-ref refs/agents/docs/base HEAD; git update-ref refs/base/commit HEAD`)
	result := s.land()
	var flagged []string
	for _, f := range result.Flagged {
		flagged = append(flagged, f.Path+" "+f.Reason)
	}
	const why = " is the policy, the network rules and the hooks of later runs"
	if diff := cmp.Diff([]string{".agent-process/allowlist" + why, ".agent-process/hooks/pre-bash" + why}, flagged); diff != "" {
		t.Error(diff)
	}
	again, err := s.repo.Reopen(t.Context(), filepath.Join(f.root, "runs", "docs"))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	files, err := s.repo.Files(t.Context(), again.Base(), func(p string) bool { return strings.HasPrefix(p, ".agent-process/") })
	want := []TreeFile{{".agent-process/hooks/pre-bash", 0o100644, []byte("#!/bin/sh\nexit 2\n")}}
	if diff := cmp.Diff(want, files); err != nil || diff != "" {
		t.Errorf("%v: %s", err, diff)
	}
}
