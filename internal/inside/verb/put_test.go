package verb

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPut(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "a.go"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, link); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		what, name, mode string
		status           int
	}{
		{"a file", file, "644", 0},
		{"a new file", filepath.Join(dir, "new.sh"), "755", 0},
		{"a link", link, "644", 1},
		{"a directory", dir, "644", 1},
		{"a missing directory", filepath.Join(dir, "none", "x"), "644", 1},
		{"a relative path", "a.go", "644", 1},
		{"a path with dots", dir + "/../x", "644", 1},
		{"setuid", file, "4755", 1},
		{"no mode", file, "rw", 1},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			var stderr strings.Builder
			status := put(tt.name, tt.mode, strings.NewReader("after"), &stderr)
			if status != tt.status || (status == 0) != (stderr.Len() == 0) {
				t.Fatalf("status %d, %q", status, stderr.String())
			}
			if status != 0 {
				return
			}
			data, err := os.ReadFile(tt.name)
			if err != nil || string(data) != "after" {
				t.Errorf("%q, %v", data, err)
			}
		})
	}
	if data, err := os.ReadFile(outside); err != nil || string(data) != "mine" {
		t.Errorf("what the link led to: %q, %v", data, err)
	}
	if put(file, "644", failing{}, io.Discard) == 0 {
		t.Error("a stream that breaks off: no error")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "after" {
		t.Errorf("after the failure: %q, %v", data, err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
