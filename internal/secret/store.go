package secret

import (
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

	"agentprocess/internal/sandbox"
)

const (
	credentialFile = "anthropic.json" //nolint:gosec // a name, not a credential
	checkFile      = "anthropic.check.json"
	// maxFile bounds a file of the store.
	maxFile = 64 << 10
)

// missingHint is the one command that makes a missing credential good.
const missingHint = "log in once with `agent-process auth`, or set CLAUDE_CODE_OAUTH_TOKEN or ANTHROPIC_API_KEY"

// ErrMissing is that there is no credential.
var ErrMissing = errors.New("no credential for the API: nothing is stored and the environment has none")

// Store keeps the credential in a directory of its own.
type Store struct {
	Dir string
	// UID must own what is read, and owns what is written.
	UID int
}

// stored is the form of the file.
type stored struct {
	Version int       `json:"version"`
	Kind    Kind      `json:"kind"`
	Value   string    `json:"value"`
	Stored  time.Time `json:"stored"`
}

// CredentialFile is where the credential rests.
func (s Store) CredentialFile() string { return filepath.Join(s.Dir, credentialFile) }

// CheckFile is where a Checker may remember what the API said.
func (s Store) CheckFile() string { return filepath.Join(s.Dir, checkFile) }

// environment are the variables of the user's that count when nothing is
// stored, the most particular first, as Claude Code itself reads them.
func environment() []Kind { return []Kind{KindBearer, KindAPIKey, KindOAuth} }

// Find gives the stored credential, else the one in the user's environment.
// When there is none the error has CodeCredential and wraps ErrMissing.
func (s Store) Find(environ []string) (Credential, error) {
	c, err := s.Load()
	if !errors.Is(err, ErrMissing) {
		return c, err
	}
	for _, kind := range environment() {
		for _, kv := range environ {
			value, ok := strings.CutPrefix(kv, kind.Env()+"=")
			if !ok || strings.TrimSpace(value) == "" {
				continue
			}
			c, err := New(kind, value, time.Time{})
			if err != nil {
				return Credential{}, sandbox.Fail(sandbox.CodeCredential, fmt.Errorf("%s: %w", kind.Env(), err), missingHint)
			}
			c.Source = kind.Env()
			return c, nil
		}
	}
	return Credential{}, err
}

// Load gives the stored credential. When there is none the error has
// CodeCredential and wraps ErrMissing.
func (s Store) Load() (Credential, error) {
	data, err := s.read(credentialFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Credential{}, sandbox.Fail(sandbox.CodeCredential, ErrMissing, missingHint)
	case err != nil:
		return Credential{}, sandbox.Fail(sandbox.CodeCredential, fmt.Errorf("read the stored credential: %w", err),
			fmt.Sprintf("it may have been read by others: revoke it, remove %q and log in again with `agent-process auth`", s.Dir))
	}
	var f stored
	// The error of a parser may quote what it parsed.
	if json.Unmarshal(data, &f) != nil || f.Version != 1 {
		return Credential{}, sandbox.Fail(sandbox.CodeCredential, errors.New("the stored credential is damaged"),
			"log in again with `agent-process auth`")
	}
	c, err := New(f.Kind, f.Value, f.Stored)
	if err != nil {
		return Credential{}, sandbox.Fail(sandbox.CodeCredential, fmt.Errorf("the stored credential: %w", err),
			"log in again with `agent-process auth`")
	}
	c.Source = SourceStored
	return c, nil
}

// Save stores a credential in the place of the one before.
func (s Store) Save(c Credential) error {
	data, err := json.Marshal(stored{Version: 1, Kind: c.Kind, Value: c.Value.Reveal(), Stored: c.Stored})
	if err != nil {
		return fmt.Errorf("encode credential: %w", err)
	}
	if err := s.prepare(); err != nil {
		return fmt.Errorf("store credential: %w", err)
	}
	if err := writePrivate(filepath.Join(s.Dir, credentialFile), data, s.UID); err != nil {
		return fmt.Errorf("store credential: %w", err)
	}
	return nil
}

// Remove forgets the credential; it is fine when there is none.
func (s Store) Remove() error {
	var errs []error
	for _, name := range []string{credentialFile, checkFile} {
		if err := os.Remove(filepath.Join(s.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// prepare makes the directory, or checks the one there is.
func (s Store) prepare() error {
	if err := os.MkdirAll(filepath.Dir(s.Dir), 0o700); err != nil {
		return err
	}
	err := os.Mkdir(s.Dir, 0o700)
	switch {
	case err == nil && os.Geteuid() != s.UID:
		if err := os.Lchown(s.Dir, s.UID, -1); err != nil {
			return err
		}
	case err != nil && !errors.Is(err, fs.ErrExist):
		return err
	}
	info, err := os.Lstat(s.Dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%q is not a directory", s.Dir)
	}
	return s.private(s.Dir, info)
}

// read reads a file that must be the user's alone, in a directory that is.
func (s Store) read(name string) ([]byte, error) {
	info, err := os.Lstat(s.Dir)
	if err != nil {
		return nil, err
	}
	if err := s.private(s.Dir, info); err != nil {
		return nil, err
	}
	path := filepath.Join(s.Dir, name)
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file", path)
	}
	if err := s.private(path, info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%q is over %d bytes", path, maxFile)
	}
	return data, err
}

// private says whether only the user can have read or written it.
func (s Store) private(path string, info fs.FileInfo) error {
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return fmt.Errorf("%q has mode %#o: others can get at it", path, perm)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != s.UID {
		return fmt.Errorf("%q belongs to uid %d, not to %d", path, st.Uid, s.UID)
	}
	return nil
}

// writePrivate replaces a file in one step that survives a power cut.
func writePrivate(path string, data []byte, uid int) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err == nil && os.Geteuid() != uid {
		err = f.Chown(uid, -1)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil // written; only the sync of its directory is left out
	}
	// Some file systems cannot sync a directory; the file itself is safe.
	_ = dir.Sync()
	return dir.Close()
}
