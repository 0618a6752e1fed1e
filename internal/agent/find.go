package agent

import (
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"agentprocess/internal/execx"
	"agentprocess/internal/sandbox"
)

// PinnedVersion is the Claude Code that is installed when there is none.
const PinnedVersion = "2.1.197"

// versionTimeout bounds `claude --version`.
const versionTimeout = 30 * time.Second

const findHint = "install Claude Code so that `claude` is on PATH, or name its executable with --agent-path, " +
	"or install npm and let agent-process fetch it once, or run another command with --agent exec"

// CLI is a Claude Code that can be run.
type CLI struct {
	Path    string // of the native executable, symlinks resolved
	Version string
	Source  Source
}

// Source says where a CLI comes from.
type Source string

// The places a CLI can come from.
const (
	SourceFlag    Source = "--agent-path"
	SourcePATH    Source = "PATH"
	SourceCache   Source = "cache"
	SourceInstall Source = "installed"
)

// FindOptions say where to look.
type FindOptions struct {
	// Path is the user's choice; nothing else is tried then.
	Path string
	// Environ is the user's environment: PATH, and what npm is configured with.
	Environ []string
	// CacheDir is where a CLI is installed; see Install.
	CacheDir string
	// Version to install; PinnedVersion when empty.
	Version string
	// CacheOnly passes over PATH, so that it is this version for certain.
	CacheOnly bool
	// Progress is told what takes long; nil is nobody.
	Progress func(string)
}

// Find finds Claude Code: the path given, the one on PATH, the one in the
// cache, or it installs it there.
func Find(ctx context.Context, o FindOptions) (CLI, error) {
	if o.Version == "" {
		o.Version = PinnedVersion
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Path != "" {
		return o.use(ctx, o.Path, SourceFlag)
	}
	if !o.CacheOnly {
		if found, ok := execx.LookPath("claude", lookup(o.Environ, "PATH")); ok {
			return o.use(ctx, found, SourcePATH)
		}
	}
	return o.cached(ctx)
}

// use checks the CLI at a path of the user's.
func (o FindOptions) use(ctx context.Context, path string, source Source) (CLI, error) {
	path, err := native(path)
	if err == nil {
		var version string
		if version, err = o.version(ctx, path); err == nil {
			return CLI{Path: path, Version: version, Source: source}, nil
		}
	}
	return CLI{}, sandbox.Fail(sandbox.CodeAgent, fmt.Errorf("find Claude Code (%s): %w", source, err), findHint)
}

// isManager says whether a program stands in for many others: an executable of
// that name says nothing of Claude Code, and does not work where its own files
// are missing.
func isManager(name string) bool {
	switch name {
	case "volta-shim", "mise", "rtx", "asdf", "proto-shim":
		return true
	default:
		return false
	}
}

// native finds the native executable behind path: itself, or the one that the
// npm package's wrapper runs.
func native(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("resolve %q: %w", path, err)
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("resolve %q: %w", path, err)
	}
	elfErr := checkELF(resolved)
	switch {
	case elfErr == nil && isManager(filepath.Base(resolved)):
		return "", fmt.Errorf("%q belongs to %s, a version manager: name the executable it runs", path, filepath.Base(resolved))
	case elfErr == nil:
		return resolved, nil
	case errors.Is(elfErr, fs.ErrPermission):
		return "", elfErr
	}
	for dir := filepath.Dir(resolved); ; dir = filepath.Dir(dir) {
		for _, below := range []string{"node_modules/" + packageName(), "../" + filepath.Base(packageName())} {
			candidate := filepath.Join(dir, below, "claude")
			if checkELF(candidate) == nil {
				return filepath.EvalSymlinks(candidate)
			}
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%q is no native executable (%w), and there is no %s beside it", path, elfErr, packageName())
		}
	}
}

// checkELF says whether path is an executable for this machine.
func checkELF(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return fmt.Errorf("%q is not an executable file", path)
	}
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	defer f.Close() //nolint:errcheck // only read
	want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]
	if f.Machine != want {
		return fmt.Errorf("%q is for %v, this machine is %s", path, f.Machine, runtime.GOARCH)
	}
	return nil
}

// packageName is the npm package with the native executable for this machine.
func packageName() string {
	return "@anthropic-ai/claude-code-" + platform(os.Stat)
}

// platform names this machine as the npm packages do.
func platform(stat func(string) (fs.FileInfo, error)) string {
	arch, glibc := "x64", "/lib64/ld-linux-x86-64.so.2"
	musl := "/lib/ld-musl-x86_64.so.1"
	if runtime.GOARCH == "arm64" {
		arch, glibc, musl = "arm64", "/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-aarch64.so.1"
	}
	name := "linux-" + arch
	if _, err := stat(glibc); err == nil {
		return name
	}
	if _, err := stat(musl); err == nil {
		return name + "-musl"
	}
	return name
}

// versionLine is what `claude --version` prints.
var versionLine = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(\d+\.\d+\.\d+[0-9A-Za-z.+-]*) \(Claude Code\)`) })

// knownVersion remembers what an executable answered, for as long as it is the
// same file: asking takes a third of a second.
type knownVersion struct {
	Version string `json:"version"`
	Size    int64  `json:"size"`
	MTime   int64  `json:"mtime_ns"`
}

// version asks the executable at path for its version, or remembers.
func (o FindOptions) version(ctx context.Context, path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	file := filepath.Join(o.CacheDir, "claude", "versions.json")
	known := map[string]knownVersion{}
	if data, err := os.ReadFile(file); err == nil && json.Unmarshal(data, &known) != nil {
		known = map[string]knownVersion{} // damaged: it is a cache
	}
	now := knownVersion{Size: info.Size(), MTime: info.ModTime().UnixNano()}
	if k, ok := known[path]; ok && k.Size == now.Size && k.MTime == now.MTime {
		return k.Version, nil
	}
	if now.Version, err = askVersion(ctx, path); err != nil {
		return "", err
	}
	known[path] = now
	if data, err := json.Marshal(known); err == nil && o.CacheDir != "" {
		// A cache that cannot be written costs a third of a second next time.
		_ = replaceFile(file, data)
	}
	return now.Version, nil
}

func askVersion(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	out, err := execx.Output(ctx, execx.Cmd{
		Argv: []string{path, "--version"}, Dir: "/",
		Env: append([]string{"PATH=/usr/bin:/bin", "HOME=/nonexistent"}, quiet()...),
	})
	if err != nil {
		return "", err
	}
	found := versionLine().FindSubmatch(out)
	if found == nil {
		return "", fmt.Errorf("%q does not answer --version as Claude Code does: %q", path, firstLine(string(out)))
	}
	return string(found[1]), nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line[:min(len(line), 200)]
}

// replaceFile writes a file in one step.
func replaceFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
