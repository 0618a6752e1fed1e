package inside

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// carries skips what needs the program: `go test` alone does not build it.
func carries(t *testing.T) {
	t.Helper()
	if _, err := programs.ReadFile("programs/" + platform + "/" + idFile); err == nil {
		return
	}
	const why = "wants the embedded program, got a build without it: run make build"
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func TestInstall(t *testing.T) {
	carries(t)
	dir := filepath.Join(t.TempDir(), "programs")
	install := func() string {
		t.Helper()
		name, err := Install(dir)
		if err != nil || filepath.Dir(name) != dir {
			t.Fatalf("Install: %q, %v", name, err)
		}
		return name
	}
	name := install()
	first, err := os.Stat(name)
	if err != nil || first.Mode() != programMode || first.Size() < 1<<20 {
		t.Fatalf("%v, %v", first, err)
	}
	t.Run("again is the same file", func(t *testing.T) {
		second, err := os.Stat(install())
		if err != nil || !os.SameFile(first, second) || !second.ModTime().Equal(first.ModTime()) {
			t.Errorf("%v, %v", second, err)
		}
	})
	t.Run("an older version goes", func(t *testing.T) {
		older := filepath.Join(dir, "inside-0000")
		if err := os.WriteFile(older, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		install()
		if _, err := os.Stat(older); err == nil {
			t.Error("it is still there")
		}
	})
	t.Run("one that others can write is replaced", func(t *testing.T) {
		if err := os.Chmod(name, 0o777); err != nil {
			t.Fatal(err)
		}
		again, err := os.Stat(install())
		if err != nil || again.Mode() != programMode {
			t.Errorf("%v, %v", again, err)
		}
	})
	t.Run("a link is replaced", func(t *testing.T) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/bin/true", name); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(install()); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%v, %v", info, err)
		}
	})
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || strings.HasSuffix(entries[0].Name(), ".part") {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestInstallWhereNothingCanBe(t *testing.T) {
	carries(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if name, err := Install(filepath.Join(file, "programs")); err == nil {
		t.Errorf("below a file: %q and no error", name)
	}
	if os.Geteuid() == 0 {
		return // root may write everywhere
	}
	closed := t.TempDir()
	if err := os.Chmod(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	// The whole binary runs itself then.
	if name, err := Install(closed); err != nil || name != "" {
		t.Errorf("in a closed directory: %q, %v", name, err)
	}
}
