package hook

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRealPath(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"a/b", "c/d"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"up": "..", "into": "a/b", "abs": root + "/c", "dangling": "a/new/file", "loop": "loop", "a/b/back": "../../c/d", "chain": "into/back",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		path, want string // want is below root
		err        error
	}{
		"itself":                      {".", "", nil},
		"there":                       {"a/b", "/a/b", nil},
		"absolute":                    {root + "/a", "/a", nil},
		"slashes":                     {"a//b/./", "/a/b", nil},
		"link":                        {"into", "/a/b", nil},
		"link to an absolute one":     {"abs/d", "/c/d", nil},
		"link through a link":         {"chain/x", "/c/d/x", nil},
		"link, then up":               {"into/../x", "/a/x", nil},
		"missing":                     {"new/dir/x", "/new/dir/x", nil},
		"missing, then up":            {"new/../abs/x", "/c/x", nil},
		"missing, then far up":        {"new/../../../../../../../../../../etc/hostname", "", nil},
		"below a file":                {"file/x", "/file/x", nil},
		"dangling":                    {"dangling", "/a/new/file", nil},
		"loop":                        {"loop/x", "", syscall.ELOOP},
		"of a space":                  {" ", "/ ", nil},
		"tilde is a name like others": {"~/x", "/~/x", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			want := root + tt.want
			if name == "missing, then far up" {
				want = "/etc/hostname"
			}
			got, err := realPath(tt.path, root)
			if !errors.Is(err, tt.err) || err == nil && got != want {
				t.Errorf("realPath(%q) = %q, %v, want %q, %v", tt.path, got, err, want, tt.err)
			}
		})
	}
	if got, err := realPath("x", ""); err == nil {
		t.Errorf("a path relative to nowhere is %q", got)
	}
	if got, err := realPath("/", ""); err != nil || got != "/" {
		t.Errorf("/ is %q, %v", got, err)
	}
}

// One path that cannot be resolved does not take the others with it.
func TestErrorsOfSinglePaths(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("loop", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("x\xff", filepath.Join(dir, "odd")); err != nil {
		t.Fatal(err)
	}
	asked := []string{"/", "loop", "odd"}
	r := resolveAll(asked, dir)
	var b strings.Builder
	if err := writeJSON(&b, r, maxReply); err != nil {
		t.Fatal(err)
	}
	got, err := decodeReply([]byte(b.String()[4:]), asked)
	if len(got) != 1 || got["/"] != "/" || err == nil || !strings.Contains(err.Error(), `"loop"`) || !strings.Contains(err.Error(), `"odd"`) {
		t.Errorf("%q, %v", got, err)
	}
}

// The longest paths that may be asked about can be answered.
func TestManyLongPaths(t *testing.T) {
	var asked []string
	for i := range maxPathBytes / maxPath {
		asked = append(asked, fmt.Sprintf("%02d", i)+strings.Repeat("/<", maxPath/2-2))
	}
	if err := checkPaths(asked); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := writeJSON(&b, resolveAll(asked, "/"), maxReply); err != nil {
		t.Fatal(err)
	}
	if got, err := decodeReply([]byte(b.String()[4:]), asked); err != nil || len(got) != len(asked) {
		t.Errorf("%d paths, %v", len(got), err)
	}
	if err := checkPaths(append(asked, strings.Repeat("x", 100))); err == nil {
		t.Error("more is no error")
	}
}
