package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"agentprocess/internal/sandbox"
)

// appDir is our directory below each of the XDG base directories.
const appDir = "agent-process"

// Paths are our directories, all absolute.
type Paths struct {
	Config  string // what the user wrote
	State   string // the database, and runs/<id>
	Cache   string // what can be made again
	Runtime string // sockets; gone after a reboot
}

// PathsFor finds the directories as the XDG Base Directory Specification says.
// A relative value is invalid there and is ignored. Without XDG_RUNTIME_DIR
// sockets go below the state directory, which is as private.
func PathsFor(environ map[string]string) (Paths, error) {
	home := environ["HOME"]
	var missing error
	base := func(variable, below string) string {
		if v := environ[variable]; filepath.IsAbs(v) {
			return filepath.Join(v, appDir)
		}
		if !filepath.IsAbs(home) {
			missing = sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("HOME is %q, which is no absolute path", home),
				"set HOME, or "+variable)
		}
		return filepath.Join(home, below, appDir)
	}
	p := Paths{
		Config: base("XDG_CONFIG_HOME", ".config"),
		State:  base("XDG_STATE_HOME", ".local/state"),
		Cache:  base("XDG_CACHE_HOME", ".cache"),
	}
	p.Runtime = filepath.Join(p.State, "run")
	if v := environ["XDG_RUNTIME_DIR"]; filepath.IsAbs(v) {
		p.Runtime = filepath.Join(v, appDir)
	}
	if missing != nil {
		return Paths{}, missing
	}
	return p, nil
}

// ConfigFile is the user's config.toml.
func (p Paths) ConfigFile() string { return filepath.Join(p.Config, "config.toml") }

// AllowlistFile is the user's own allowlist, which holds for all projects.
func (p Paths) AllowlistFile() string { return filepath.Join(p.Config, "allowlist") }

// PolicyFile is the user's own tool policy, which holds for all projects.
func (p Paths) PolicyFile() string { return filepath.Join(p.Config, "policy.toml") }

// TrustFile says what the user has agreed to of what repositories bring along.
func (p Paths) TrustFile() string { return filepath.Join(p.Config, "trust.json") }

// CredentialsDir is where credentials rest.
func (p Paths) CredentialsDir() string { return filepath.Join(p.Config, "credentials") }

// Database is the state database.
func (p Paths) Database() string { return filepath.Join(p.State, "state.db") }

// RunDir holds the tree and the git directory of one run.
func (p Paths) RunDir(id string) string { return filepath.Join(p.State, "runs", id) }

// Programs holds programs of ours that run inside sandboxes.
func (p Paths) Programs() string { return filepath.Join(p.Cache, "programs") }

// Create makes the directories for state, cache and sockets, and makes those
// that are ours private. The configuration directory is the user's to make.
func (p Paths) Create() error {
	for _, dir := range []string{p.State, p.Cache, p.Runtime} {
		if err := private(dir); err != nil {
			return sandbox.Fail(sandbox.CodeUsage, err,
				"see to it that it can be written, or set XDG_STATE_HOME, XDG_CACHE_HOME and XDG_RUNTIME_DIR to directories that can")
		}
	}
	return nil
}

func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return fmt.Errorf("check directory: %w", err)
	case !info.IsDir():
		return fmt.Errorf("%q: %w", dir, errNotDirectory)
	case info.Mode().Perm() == 0o700:
		return nil
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // G302: a directory needs its x bit
		return fmt.Errorf("make directory private: %w", err)
	}
	return nil
}

// errNotDirectory is for what stands where a directory of ours should.
var errNotDirectory = errors.New("is not a directory")
