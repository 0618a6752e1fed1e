package agent_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"agentprocess/internal/agent"
	"agentprocess/internal/agent/agenttest"
	"agentprocess/internal/sandbox"
)

// fakeNPM is a small npm: it "downloads" this test's own binary. It notes each
// call in a file, and ends its package's manifest as told.
func fakeNPM(t *testing.T, version, integrity string) (path, calls string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	calls = filepath.Join(dir, "calls")
	script := fmt.Sprintf(`#!/bin/sh
set -e
echo "$@" >> %[1]q
while [ "$1" != --prefix ]; do shift; done
to="$2/node_modules/%[2]s"
mkdir -p "$to"
cp %[3]q "$to/claude"
echo '{"name":"%[2]s","version":"%[4]s"}' > "$to/package.json"
echo '{"packages":{"node_modules/%[2]s":{"integrity":"%[5]s"}}}' > "$2/node_modules/.package-lock.json"
`, calls, agent.PackageName(), exe, version, integrity)
	executable(t, filepath.Join(dir, "npm"), script)
	return dir, calls
}

func executable(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

func environ(dirs ...string) []string {
	return []string{"PATH=" + strings.Join(append(dirs, "/usr/bin", "/bin"), ":")}
}

func installed(t *testing.T, calls string) int {
	t.Helper()
	data, err := os.ReadFile(calls)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Count(string(data), "install --prefix")
}

func TestInstallOnceForMany(t *testing.T) {
	npm, calls := fakeNPM(t, "9.9.9", "sha512-abc")
	o := agent.FindOptions{Environ: environ(npm), CacheDir: t.TempDir(), Version: "9.9.9", CacheOnly: true}
	var all sync.WaitGroup
	sources := make(chan agent.Source, 20)
	for range 20 {
		all.Go(func() {
			cli, err := agent.Find(t.Context(), o)
			if err != nil {
				t.Error(err)
			}
			sources <- cli.Source
		})
	}
	all.Wait()
	close(sources)
	counts := map[agent.Source]int{}
	for s := range sources {
		counts[s]++
	}
	if counts[agent.SourceInstall] != 1 || counts[agent.SourceCache] != 19 || installed(t, calls) != 1 {
		t.Errorf("sources = %v, installs = %d", counts, installed(t, calls))
	}
	left, err := filepath.Glob(filepath.Join(o.CacheDir, "claude", ".install-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	data, err := os.ReadFile(calls)
	if err != nil || !strings.Contains(string(data), "--ignore-scripts") || !strings.Contains(string(data), agent.PackageName()+"@9.9.9") {
		t.Errorf("npm was called with %q, %v", data, err)
	}
}

func TestCacheIsCheckedWhenUsed(t *testing.T) {
	tests := map[string]struct {
		damage func(path string) error
		again  int
	}{
		"nothing": {func(string) error { return nil }, 0},
		"touched": {func(p string) error { return os.Chtimes(p, time.Unix(1, 0), time.Unix(1, 0)) }, 0},
		"longer": {func(p string) error {
			f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteString("x")
			return err
		}, 1},
		"changed": {func(p string) error {
			f, err := os.OpenFile(p, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte("evil"), 100)
			return err
		}, 1},
		"removed":        {os.Remove, 1},
		"writable":       {func(p string) error { return os.Chmod(p, 0o777) }, 1},
		"without record": {func(p string) error { return os.Remove(filepath.Join(filepath.Dir(p), "record.json")) }, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			npm, calls := fakeNPM(t, "9.9.9", "sha512-abc")
			o := agent.FindOptions{Environ: environ(npm), CacheDir: t.TempDir(), Version: "9.9.9", CacheOnly: true}
			cli, err := agent.Find(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.damage(cli.Path); err != nil {
				t.Fatal(err)
			}
			if _, err := agent.Find(t.Context(), o); err != nil || installed(t, calls) != 1+tt.again {
				t.Errorf("installs = %d, err = %v", installed(t, calls), err)
			}
		})
	}
}

func TestInstallRefuses(t *testing.T) {
	tests := map[string]struct{ version, integrity string }{
		"another version": {"9.9.8", "sha512-abc"},
		"no integrity":    {"9.9.9", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			npm, _ := fakeNPM(t, tt.version, tt.integrity)
			cache := t.TempDir()
			_, err := agent.Find(t.Context(), agent.FindOptions{Environ: environ(npm), CacheDir: cache, Version: "9.9.9", CacheOnly: true})
			if sandbox.ErrorCode(err) != sandbox.CodeAgent || sandbox.ErrorHint(err) == "" {
				t.Errorf("err = %v", err)
			}
			if left, err := filepath.Glob(filepath.Join(cache, "claude", "*claude*")); err != nil || len(left) != 0 {
				t.Errorf("left behind: %q, %v", left, err)
			}
		})
	}
}

func TestInstallFailureNamesNPMsReason(t *testing.T) {
	dir := t.TempDir()
	executable(t, filepath.Join(dir, "npm"), "#!/bin/sh\necho 'npm error code ENETUNREACH' >&2\nexit 1\n")
	_, err := agent.Find(t.Context(), agent.FindOptions{Environ: environ(dir), CacheDir: t.TempDir(), CacheOnly: true})
	if err == nil || !strings.Contains(err.Error(), "ENETUNREACH") {
		t.Errorf("err = %v", err)
	}
}

func TestFindWithNothing(t *testing.T) {
	_, err := agent.Find(t.Context(), agent.FindOptions{Environ: []string{"PATH=" + t.TempDir()}, CacheDir: t.TempDir()})
	if sandbox.ErrorCode(err) != sandbox.CodeAgent || !strings.Contains(sandbox.ErrorHint(err), "--agent-path") {
		t.Errorf("err = %v, hint = %q", err, sandbox.ErrorHint(err))
	}
}

func TestFindIsCancelled(t *testing.T) {
	npm, _ := fakeNPM(t, "9.9.9", "sha512-abc")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := agent.Find(ctx, agent.FindOptions{Environ: environ(npm), CacheDir: t.TempDir(), Version: "9.9.9", CacheOnly: true}); err == nil {
		t.Error("no error")
	}
}

// A wrapper of the npm package leads to the native executable beside it.
func TestFindBehindAWrapper(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	for _, layout := range []string{
		"lib/node_modules/" + agent.PackageName(),
		"lib/node_modules/@anthropic-ai/claude-code/node_modules/" + agent.PackageName(),
	} {
		t.Run(layout, func(t *testing.T) {
			root := t.TempDir()
			native := filepath.Join(root, layout, "claude")
			executable(t, native, string(data))
			wrapper := filepath.Join(root, "lib/node_modules/@anthropic-ai/claude-code/cli.js")
			executable(t, wrapper, "#!/usr/bin/env node\n")
			bin := filepath.Join(root, "bin")
			if err := os.Mkdir(bin, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(wrapper, filepath.Join(bin, "claude")); err != nil {
				t.Fatal(err)
			}
			// The test's binary answers --version like a program that is no
			// Claude Code: the error shows how far it got.
			_, err := agent.Find(t.Context(), agent.FindOptions{Environ: environ(bin), CacheDir: t.TempDir()})
			if err == nil || !strings.Contains(err.Error(), native) {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func TestFindRefusesByFlag(t *testing.T) {
	dir := t.TempDir()
	executable(t, filepath.Join(dir, "script"), "#!/bin/sh\n")
	executable(t, filepath.Join(dir, "volta-shim"), "x")
	for _, path := range []string{filepath.Join(dir, "script"), filepath.Join(dir, "missing"), dir} {
		if _, err := agent.Find(t.Context(), agent.FindOptions{Path: path, CacheDir: t.TempDir()}); sandbox.ErrorCode(err) != sandbox.CodeAgent {
			t.Errorf("%s: err = %v", path, err)
		}
	}
}

func TestFindTheRealOneByPathRemembersItsVersion(t *testing.T) {
	cli := agenttest.Claude(t)
	cache := t.TempDir()
	for range 2 {
		found, err := agent.Find(t.Context(), agent.FindOptions{Path: cli.Path, CacheDir: cache})
		if err != nil || found.Version != agent.PinnedVersion || found.Source != agent.SourceFlag {
			t.Fatalf("found = %+v, %v", found, err)
		}
	}
	data, err := os.ReadFile(filepath.Join(cache, "claude", "versions.json"))
	if err != nil || !strings.Contains(string(data), agent.PinnedVersion) {
		t.Errorf("versions = %s, %v", data, err)
	}
}
