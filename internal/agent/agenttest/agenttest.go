package agenttest

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"agentprocess/internal/agent"
)

// CacheEnv names the directory that the CLI is installed in.
const CacheEnv = "AGENT_PROCESS_TEST_CACHE"

// uid runs agents when the tests run as root; nobody has it.
const uid = 58231

// Claude gives the pinned Claude Code, in a place where Credential can run it.
func Claude(t testing.TB) agent.CLI {
	t.Helper()
	dir := os.Getenv(CacheEnv)
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			unavailable(t, err)
		}
		dir = filepath.Join(base, "agent-process-test")
	}
	cli, err := agent.Find(t.Context(), agent.FindOptions{
		Environ: os.Environ(), CacheDir: dir, CacheOnly: true, Progress: func(s string) { t.Log(s) },
	})
	if err != nil {
		unavailable(t, err)
	}
	if os.Geteuid() == 0 {
		cli.Path = reachable(t, cli.Path)
	}
	return cli
}

func unavailable(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("wants Claude Code %s, got: %v", agent.PinnedVersion, err)
	}
	t.Skipf("wants Claude Code %s, got: %v", agent.PinnedVersion, err)
}

// Credential is who runs the CLI: nil for the user of the tests, somebody else
// when that is root.
func Credential() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	return &syscall.Credential{Uid: uid, Gid: uid}
}

// Dir makes a directory that Credential owns and can get to.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent-process-test-") //nolint:usetesting // its TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if c := Credential(); c != nil {
		if err := os.Chown(dir, int(c.Uid), int(c.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// reachable puts the executable where any user can run it: root's own cache is
// closed to others.
func reachable(t testing.TB, path string) string {
	t.Helper()
	target := filepath.Join(Dir(t), "claude")
	if os.Link(path, target) == nil {
		return target
	}
	from, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close() //nolint:errcheck // only read
	to, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return target
}
