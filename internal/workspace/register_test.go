//go:build linux

package workspace

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// A crash may fall between any two steps of register and unregister: what it
// left goes, and what is anybody else's stays.
func TestRemoveWorktreeAfterACrash(t *testing.T) {
	f := newFixture(t, "p")
	r := f.open(f.dir)
	pointer := "gitdir: " + filepath.Join(r.CommonDir, "worktrees", "docs") + "\n"
	tests := []struct {
		name    string
		files   map[string]string // in the worktree
		removed bool
	}{
		{"an empty directory", nil, true},
		{"a pointer without a word", map[string]string{".git": ""}, true},
		{"a pointer that was cut", map[string]string{".git": pointer[:12]}, true},
		{"a pointer to nothing", map[string]string{".git": pointer}, true},
		{"a pointer elsewhere", map[string]string{".git": "gitdir: /elsewhere/.git\n"}, false},
		{"a pointer and a file", map[string]string{".git": "", "mine.txt": "mine\n"}, false},
		{"a file", map[string]string{"mine.txt": "mine\n"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := r.WorktreePath("docs")
			scraps := []string{filepath.Join(r.CommonDir, scrapMade+"docs"), filepath.Join(r.CommonDir, scrapRemoved+"docs1")}
			for _, dir := range append(scraps, path) {
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for name, data := range tt.files {
				if err := os.WriteFile(filepath.Join(path, name), []byte(data), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := r.RemoveWorktree(t.Context(), "docs", "")
			if err != nil || got.Removed != tt.removed || (got.Kept == "") != tt.removed {
				t.Errorf("RemoveWorktree() = %+v, %v, want removed %t", got, err, tt.removed)
			}
			if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) != tt.removed {
				t.Errorf("the worktree: %v, want it removed %t", err, tt.removed)
			}
			for _, scrap := range scraps {
				if _, err := os.Lstat(scrap); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s is still there", filepath.Base(scrap))
				}
			}
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		})
	}
}
