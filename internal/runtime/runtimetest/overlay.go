package runtimetest

import (
	"os"
	"path/filepath"
	"testing"

	"agentprocess/internal/sandbox"
)

// layers are the directories of an overlay, made on the host.
type layers struct {
	s                  *suite
	base               string
	lower, upper, work string
}

func newLayers(t *testing.T, s *suite) *layers {
	t.Helper()
	l := &layers{s: s, base: s.dir(t)}
	l.lower, l.upper, l.work = l.dir(t, "lower"), l.dir(t, "upper"), l.dir(t, "work")
	return l
}

// dir makes a directory of the agent's.
func (l *layers) dir(t *testing.T, name string) string {
	t.Helper()
	full := filepath.Join(l.base, name)
	if err := os.Mkdir(full, 0o755); err != nil {
		t.Fatal(err)
	}
	l.s.own(t, full)
	return full
}

// file makes a file of the agent's in the lower layer.
func (l *layers) file(t *testing.T, name string) {
	t.Helper()
	full := filepath.Join(l.lower, name)
	l.s.write(t, full, "lower "+name, 0o644)
	l.s.own(t, full)
}

// mount is the overlay that is written to.
func (l *layers) mount() sandbox.Mount {
	return sandbox.Mount{Kind: sandbox.MountOverlay, Lower: l.lower, Upper: l.upper, Work: l.work, Target: "/tree"}
}

// view looks at both layers from another sandbox.
func (l *layers) view() sandbox.Mount {
	return sandbox.Mount{Kind: sandbox.MountOverlay, Lower: l.lower, Lowers: []string{l.upper}, Target: "/tree"}
}

// listing shows everything of a tree: names, kinds, modes, links and content.
const listing = `cd /tree && find . | LC_ALL=C sort | while read -r f; do
	if [ -L "$f" ]; then echo "$f link $(readlink "$f")"
	elif [ -d "$f" ]; then echo "$f directory $(stat -c %a "$f")"
	else echo "$f file $(stat -c %a "$f") $(cat "$f")"; fi; done`

// changes are what an overlay marks in its own way: whiteouts, opaque
// directories, redirects, what takes the place of something else.
const changes = `cd /tree && echo more >> appended && chmod 755 mode && rm removed && rm -r gone &&
	rm -r replaced && mkdir replaced && echo new > replaced/new &&
	mv renamed renamed.to && mv dir dir.to && echo in >> dir.to/a && mv dir.to/sub dir.to/sub.to &&
	rm -r dirfile && echo file > dirfile && rm filedir && mkdir filedir && echo x > filedir/x &&
	rm linked && ln -s appended linked && mkdir -p deep/er && echo y > deep/er/y && rm deep/er/y && echo z > deep/er/z`

func testOverlayViews(s *suite) {
	t := s.t
	l := newLayers(t, s)
	for _, name := range []string{"gone", "replaced", "dir", "dir/sub", "dirfile"} {
		l.dir(t, "lower/"+name)
	}
	for _, name := range []string{
		"appended", "mode", "removed", "gone/a", "replaced/old", "renamed", "dir/a", "dir/sub/b", "dirfile/c", "filedir", "linked", "untouched",
	} {
		l.file(t, name)
	}
	start := func(m sandbox.Mount) sandbox.Sandbox {
		spec := s.spec(t)
		spec.Mounts = []sandbox.Mount{m}
		return s.start(t, spec)
	}
	writer := start(l.mount())
	s.sh(t, writer, changes)
	want := s.sh(t, writer, listing)
	viewer := start(l.view())
	if got := s.sh(t, viewer, listing); got != want {
		t.Errorf("a view shows\n%s\nwant\n%s", got, want)
	}
	for _, script := range []string{"echo x > new", "echo x >> appended", "rm untouched", "mkdir d", "chmod 600 mode", "mv untouched u", "touch renamed"} {
		s.fails(t, viewer, "cd /tree && "+script)
	}
	// It goes on; who comes later sees that, and a layer above sees it under it.
	s.sh(t, writer, "cd /tree && echo later > later && rm appended && rm -r replaced")
	want = s.sh(t, writer, listing)
	if got := s.sh(t, start(l.view()), listing); got != want {
		t.Errorf("a later view shows\n%s\nwant\n%s", got, want)
	}
	above := l.view()
	above.Upper, above.Work = l.dir(t, "upper2"), l.dir(t, "work2")
	copier := start(above)
	if got := s.sh(t, copier, listing); got != want {
		t.Errorf("a layer above shows\n%s\nwant\n%s", got, want)
	}
	s.sh(t, copier, "cd /tree && echo formatted > later && echo f >> dir.to/a && rm untouched && mv filedir filedir.to")
	if got := s.sh(t, writer, listing); got != want {
		t.Errorf("what a layer above wrote is seen below:\n%s\nwant\n%s", got, want)
	}
	if data, err := os.ReadFile(filepath.Join(above.Upper, "later")); err != nil || string(data) != "formatted\n" {
		t.Errorf("the layer above holds %q, %v", data, err)
	}
	s.sh(t, writer, "cd /tree && echo end >> later && grep -q end later")
}

// A single layer is a view as well, and a wrong set of layers is none.
func testRefusedOverlays(s *suite) {
	t := s.t
	l := newLayers(t, s)
	l.file(t, "f")
	spec := s.spec(t)
	spec.Mounts = []sandbox.Mount{{Kind: sandbox.MountOverlay, Lower: l.lower, Target: "/tree"}}
	box := s.start(t, spec)
	if got := s.sh(t, box, "cat /tree/f"); got != "lower f" {
		t.Errorf("one layer shows %q", got)
	}
	s.fails(t, box, "touch /tree/x || rm -f /tree/f || echo x >> /tree/f")
	many := make([]string, 100)
	for i := range many {
		many[i] = l.upper
	}
	for _, tc := range []struct {
		name  string
		mount sandbox.Mount
	}{
		{"upper without work", sandbox.Mount{Lower: l.lower, Upper: l.upper}},
		{"work without upper", sandbox.Mount{Lower: l.lower, Work: l.work}},
		{"no layer", sandbox.Mount{}},
		{"a layer that is not there", sandbox.Mount{Lower: l.lower, Lowers: []string{l.base + "/none"}}},
		{"a layer that is a file", sandbox.Mount{Lower: l.lower, Lowers: []string{l.lower + "/f"}}},
		{"more layers than can be had", sandbox.Mount{Lower: l.lower, Lowers: many}},
	} {
		spec := s.spec(t)
		tc.mount.Kind, tc.mount.Target = sandbox.MountOverlay, "/tree"
		spec.Mounts = []sandbox.Mount{tc.mount}
		if box, err := s.Runtime.Start(s.ctx, spec); err == nil {
			t.Errorf("%s: started", tc.name)
			_ = box.Close() // the test failed already
		}
	}
}
