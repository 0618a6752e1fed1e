//go:build linux

package workspace

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentprocess/internal/sandbox"
)

// viewBox is another sandbox that has the view.
func (s *started) viewBox(writable bool) (*box, View) {
	s.t.Helper()
	v, err := s.ws.View(writable)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := v.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return &box{t: s.t, mounts: v.Mounts, owner: testOwner()}, v
}

func TestView(t *testing.T) {
	needMounts(t)
	for name, overlay := range map[string]bool{"overlay": true, "checkout": false} {
		t.Run(name, func(t *testing.T) {
			f := historyFixture(t)
			s := f.start("docs", func(o *Options) { o.Overlay = overlay })
			s.box().sh(`echo new > docs/new; rm src/a.go; mv docs/n.txt moved; rm -r docs; mkdir docs; echo again > docs/again; ln -s main.go link; git add -A; git commit -qm x; echo '// more' >> main.go`)
			const list = `find . -path ./.git -prune -o -type f -print | sort | tr '\n' ' '; cat main.go docs/again; ls -A .git; pwd`
			inside := strings.Replace(s.box().sh(list), s.box().sh("ls -A .git"), "", 1)
			reader, v := s.viewBox(false)
			if got := reader.sh(list); got != inside {
				t.Errorf("read-only: %q, inside it is %q", got, inside)
			}
			if out, exit := reader.try(`echo x > x`); exit == 0 || !strings.Contains(out, "ead-only") {
				t.Errorf("a read-only view is written to: %d, %q", exit, out)
			}
			if _, err := v.Changed(nil); err == nil {
				t.Error("nothing can have changed")
			}
			writer, w := s.viewBox(true)
			if got := writer.sh(list); got != inside {
				t.Errorf("writable: %q, inside it is %q", got, inside)
			}
			if got, err := w.Changed(nil); err != nil || len(got) != 0 {
				t.Errorf("nothing was changed: %+v, %v", got, err)
			}
			writer.sh(`echo formatted > main.go; chmod +x main.go; mkdir -p a/b; echo deep > a/b/c; rm moved; echo x > .git/x`)
			dir := s.ws.Dir()
			got, err := w.Changed([]string{dir + "/main.go", "moved", "docs/again", "none/at/all", "./a/../main.go"})
			want := []Change{{Path: "main.go", Data: []byte("formatted\n"), Mode: 0o755}, {Path: "moved", Removed: true}}
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v: %s", err, diff)
			}
			got, err = w.Changed(nil)
			want = append([]Change{{Path: "a/b/c", Data: []byte("deep\n"), Mode: 0o644}}, want...)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("all: %v: %s", err, diff)
			}
			if after := strings.Replace(s.box().sh(list), s.box().sh("ls -A .git"), "", 1); after != inside {
				t.Errorf("the agent's tree changed: %q", after)
			}
			for _, p := range []string{"/etc/passwd", "../x", ".git/config", ".git", dir, "", dir + "/../x"} {
				if got, err := w.Changed([]string{p}); err == nil {
					t.Errorf("%q: %+v", p, got)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if left, err := filepath.Glob(filepath.Join(f.root, "runs", "docs", "view-*")); err != nil || len(left) != 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// TestViewBesideTheAgent has the agent's own overlay mounted meanwhile.
func TestViewBesideTheAgent(t *testing.T) {
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

// TestViewOfHostileChanges has in the place of files what must not be read.
func TestViewOfHostileChanges(t *testing.T) {
	needMounts(t)
	for _, tt := range []struct{ name, script, path string }{
		{"a link", `ln -sf /etc/passwd main.go`, "main.go"},
		{"a link to a directory", `rm -r docs; ln -s /etc docs`, "docs/passwd"},
		{"a link within", `rm -r docs; ln -s src docs; echo x > src/n.txt`, "docs/n.txt"},
		{"a pipe", `rm main.go; mkfifo main.go`, "main.go"},
		{"a directory", `rm main.go; mkdir main.go`, "main.go"},
		{"a file for a directory", `rm -r docs; echo x > docs`, "docs/n.txt"},
		{"too large", `truncate -s 9M main.go`, "main.go"},
		{"too large together", `for i in 1 2 3 4 5; do truncate -s 7M f$i; done`, ""},
		{"too many", `for i in $(seq 5001); do : > f$i; done`, ""},
		{"too deep", `d=$(printf 'd/%.0s' $(seq 300)); mkdir -p $d; : > $d/x`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := historyFixture(t).start("docs", nil)
			b, v := s.viewBox(true)
			b.sh(tt.script)
			var paths []string
			if tt.path != "" {
				paths = []string{tt.path}
			}
			if got, err := v.Changed(paths); err == nil {
				t.Errorf("it was read: %d changes", len(got))
			}
		})
	}
}

// TestOwnEditsOfThePolicyDoNotAct commits what the agent does to the policy of
// its run, flags it, and goes on with that of the base.
func TestOwnEditsOfThePolicyDoNotAct(t *testing.T) {
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

// A mount that a runtime without overlays is given says so by its kind.
func TestViewMounts(t *testing.T) {
	needMounts(t)
	f := historyFixture(t)
	s := f.start("docs", func(o *Options) { o.Overlay = false })
	reader, err := s.ws.View(false)
	if err != nil || reader.Mounts[0].Kind != sandbox.MountBind || !reader.Mounts[0].ReadOnly || reader.Mounts[0].Target != s.ws.Dir() {
		t.Errorf("read-only: %+v, %v", reader.Mounts, err)
	}
	writer, err := s.ws.View(true)
	if err != nil || writer.Mounts[0].Kind != sandbox.MountOverlay || writer.Mounts[0].Target != s.ws.Dir() {
		t.Fatalf("writable: %+v, %v", writer.Mounts, err)
	}
	if info, err := os.Stat(writer.Mounts[0].Upper); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("upper: %v, %v", info, err)
	}
	if err := writer.Close(); err != nil {
		t.Error(err)
	}
}
