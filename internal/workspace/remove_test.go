package workspace

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestRemoveTree(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	outside := filepath.Join(root, "outside")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(root, "tree")
	for _, d := range []string{"work/work", "a\nb/\xff\xfe", "-rf", "ro/sub"} {
		if err := os.MkdirAll(filepath.Join(tree, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"file": outside, "dir": root, "loop": "loop", "ro/up": "../.."} {
		if err := os.Symlink(target, filepath.Join(tree, name)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2000 {
		if err := os.WriteFile(filepath.Join(tree, "-rf", strconv.Itoa(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	deepTree(t, filepath.Join(tree, "deep"), 3000)
	for d, mode := range map[string]os.FileMode{"work/work": 0, "ro": 0o500} {
		if err := os.Chmod(filepath.Join(tree, d), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveTree(tree); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(root)
	if err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v", entries, err)
	}
	for _, path := range []string{tree, filepath.Join(root, "none", "none")} {
		if err := RemoveTree(path); err != nil {
			t.Errorf("%q: %v", path, err)
		}
	}
	if err := os.Symlink(root, filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if err := RemoveTree(filepath.Join(root, "link")); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(outside); err != nil {
		t.Error(err)
	}
}

// deepTree makes a directory deeper than any path can name.
func deepTree(t *testing.T, path string, depth int) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	dir, err := os.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	step := strings.Repeat("d", 100)
	for range depth {
		if err := dir.Mkdir(step, 0o700); err != nil {
			t.Fatal(err)
		}
		next, err := dir.OpenRoot(step)
		if err != nil {
			t.Fatal(err)
		}
		if err := dir.Close(); err != nil {
			t.Fatal(err)
		}
		dir = next
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
}
