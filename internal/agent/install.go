package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"agentprocess/internal/execx"
	"agentprocess/internal/sandbox"
)

const (
	// installTimeout bounds a download of some 80 MB.
	installTimeout = 15 * time.Minute
	// lockRetry is how often a busy lock is tried.
	lockRetry = 100 * time.Millisecond
	// recordName is the file that says what was installed beside it.
	recordName = "record.json"
)

// record is what was installed, and how to tell that it still is.
type record struct {
	Package   string    `json:"package"`
	Version   string    `json:"version"`
	Integrity string    `json:"integrity"` // of the package, as npm checked it
	SHA256    string    `json:"sha256"`    // of the executable
	Size      int64     `json:"size"`
	MTime     int64     `json:"mtime_ns"`
	Installed time.Time `json:"installed"`
}

// cached gives the CLI from the cache, after installing it if need be. Of many
// at once, one installs and the others wait for it.
func (o FindOptions) cached(ctx context.Context) (CLI, error) {
	dir := filepath.Join(o.CacheDir, "claude", o.Version+"-"+filepath.Base(packageName()))
	cli := CLI{Path: filepath.Join(dir, "claude"), Version: o.Version, Source: SourceCache}
	if verify(dir, o.Version) == nil {
		return cli, nil
	}
	npm, ok := execx.LookPath("npm", lookup(o.Environ, "PATH"))
	if !ok {
		return CLI{}, sandbox.Fail(sandbox.CodeAgent, errors.New("neither claude nor npm is on PATH"), findHint)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil { //nolint:gosec // a program, not a secret; agents run it under another uid
		return CLI{}, fmt.Errorf("make the cache: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(filepath.Dir(dir), "install.lock"))
	if err != nil {
		return CLI{}, err
	}
	defer unlock()
	if verify(dir, o.Version) == nil {
		return cli, nil // somebody else did it meanwhile
	}
	o.Progress(fmt.Sprintf("installing Claude Code %s through npm, once", o.Version))
	if err := o.install(ctx, npm, dir); err != nil {
		return CLI{}, sandbox.Fail(sandbox.CodeAgent, fmt.Errorf("install Claude Code %s: %w", o.Version, err), findHint)
	}
	cli.Source = SourceInstall
	return cli, nil
}

// verify says whether dir holds the version and nobody has touched it. The
// executable is read only when its size or time is not as recorded.
func verify(dir, version string) error {
	data, err := os.ReadFile(filepath.Join(dir, recordName))
	if err != nil {
		return err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("read %s: %w", recordName, err)
	}
	file := filepath.Join(dir, "claude")
	info, err := os.Lstat(file)
	switch {
	case err != nil:
		return err
	case r.Version != version || r.Package != packageName():
		return fmt.Errorf("cache holds %s %s", r.Package, r.Version)
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 || info.Size() != r.Size:
		return errors.New("the executable in the cache is not the one that was installed")
	case info.ModTime().UnixNano() == r.MTime:
		return nil
	}
	sum, err := hashFile(file)
	if err == nil && sum != r.SHA256 {
		err = errors.New("the executable in the cache has changed")
	}
	return err
}

// install has npm fetch the platform package into a staging directory, checks
// what came and puts it in place in one step.
func (o FindOptions) install(ctx context.Context, npm, dir string) error {
	stage, err := os.MkdirTemp(filepath.Dir(dir), ".install-*")
	if err != nil {
		return fmt.Errorf("make a staging directory: %w", err)
	}
	defer os.RemoveAll(stage) //nolint:errcheck // cleanup finds it, and the result does not depend on it
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	// npm checks what it downloads against the registry's metadata. It runs
	// with the user's own configuration: mirrors, proxies and logins work.
	err = execx.Run(ctx, execx.Cmd{
		Argv: []string{
			npm, "install", "--prefix", stage, "--no-save", "--ignore-scripts", "--no-audit", "--no-fund",
			"--loglevel=error", packageName() + "@" + o.Version,
		},
		Dir: stage, Env: o.Environ,
	})
	if err != nil {
		return err
	}
	out := filepath.Join(stage, "out")
	if err := os.Mkdir(out, 0o755); err != nil { //nolint:gosec // as above
		return err
	}
	if err := o.accept(stage, out); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the old version: %w", err)
	}
	return os.Rename(out, dir)
}

// accept checks the package that npm put below stage and moves its executable,
// with a record, to out.
func (o FindOptions) accept(stage, out string) error {
	source := filepath.Join(stage, "node_modules", packageName())
	var manifest struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
	if err := readJSON(filepath.Join(source, "package.json"), &manifest); err != nil {
		return err
	}
	if manifest.Name != packageName() || manifest.Version != o.Version {
		return fmt.Errorf("npm brought %q %q", manifest.Name, manifest.Version)
	}
	file := filepath.Join(out, "claude")
	if err := os.Rename(filepath.Join(source, "claude"), file); err != nil {
		return err
	}
	if err := os.Chmod(file, 0o755); err != nil { //nolint:gosec // as above
		return err
	}
	if err := checkELF(file); err != nil {
		return err
	}
	sum, err := hashFile(file)
	if err != nil {
		return err
	}
	info, err := os.Lstat(file)
	if err != nil {
		return err
	}
	r := record{
		Package: packageName(), Version: o.Version, Integrity: integrity(stage), SHA256: sum,
		Size: info.Size(), MTime: info.ModTime().UnixNano(), Installed: time.Now().UTC(),
	}
	if !strings.HasPrefix(r.Integrity, "sha512-") {
		return fmt.Errorf("npm has not checked the package: its integrity is %q", r.Integrity)
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, recordName), data, 0o644) //nolint:gosec // as above
}

// integrity is the hash that npm checked the package against.
func integrity(stage string) string {
	var lockfile struct {
		Packages map[string]struct {
			Integrity string `json:"integrity"`
		} `json:"packages"`
	}
	if readJSON(filepath.Join(stage, "node_modules", ".package-lock.json"), &lockfile) != nil {
		return ""
	}
	return lockfile.Packages["node_modules/"+packageName()].Integrity
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read %q: %w", path, err)
	}
	return nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %q: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// lock takes a lock between processes, or gives up with ctx.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	tick := time.NewTicker(lockRetry)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = f.Close() }, nil // closing gives the lock back
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return nil, errors.Join(&fs.PathError{Op: "flock", Path: path, Err: err}, f.Close())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for another installation: %w", ctx.Err()), f.Close())
		}
	}
}
