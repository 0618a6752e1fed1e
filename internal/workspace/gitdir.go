package workspace

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// gitDirSpec describes a git directory that is ours to write. It is written as
// plain files: that takes a fraction of what `git init` does, and nothing of
// the machine's templates or configuration gets in.
type gitDirSpec struct {
	format     string // object format
	bare       bool
	head       string            // the ref that HEAD names
	refs       map[string]string // full name to object id
	identity   Identity
	alternates []string // object directories to borrow from
	shallow    []byte
	exclude    []string // patterns of info/exclude
	trailer    string   // added to every commit by a hook, empty for none
	preCommit  []byte   // the hook of that name, empty for none
}

// trailerHook adds the trailer to what the agent commits by itself. The message
// of a merge may lack its line break, and the trailer would go on with it. It
// runs inside the sandbox, like everything in a private git directory.
const trailerHook = `#!/bin/sh
[ -z "$(tail -c 1 "$1")" ] || echo >>"$1"
exec git interpret-trailers --in-place --if-exists addIfDifferent --trailer %s "$1"
`

// writeGitDir makes the git directory dir, which must not exist.
func writeGitDir(dir string, s gitDirSpec) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("create git directory: %w", err)
	}
	for _, d := range []string{"objects/info", "objects/pack", "refs/heads", "refs/tags", "info", "hooks"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return fmt.Errorf("create git directory: %w", err)
		}
	}
	files := map[string]string{
		"HEAD":                    "ref: " + s.head + "\n",
		"config":                  s.config(),
		"info/exclude":            strings.Join(append(s.exclude, ""), "\n"),
		"objects/info/alternates": strings.Join(append(quoteAlternates(s.alternates), ""), "\n"),
	}
	for ref, id := range s.refs {
		files[ref] = id + "\n"
	}
	if len(s.shallow) > 0 {
		files["shallow"] = string(s.shallow)
	}
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("create git directory: %w", err)
		}
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			return fmt.Errorf("create git directory: %w", err)
		}
	}
	hooks := map[string][]byte{"pre-commit": s.preCommit}
	if s.trailer != "" {
		hooks["prepare-commit-msg"] = fmt.Appendf(nil, trailerHook, shellWord(s.trailer))
	}
	for name, data := range hooks {
		if len(data) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, "hooks", name), data, 0o700); err != nil { //nolint:gosec // a hook must be executable; it is its owner's alone
			return fmt.Errorf("create git directory: %w", err)
		}
	}
	return nil
}

// shellWord quotes s for a shell, whatever is in it.
func shellWord(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func (s gitDirSpec) config() string {
	var b strings.Builder
	version := 0
	if s.format != "sha1" {
		version = 1
	}
	fmt.Fprintf(&b, "[core]\n\trepositoryformatversion = %d\n\tfilemode = true\n\tbare = %t\n\tlogallrefupdates = %t\n",
		version, s.bare, !s.bare)
	if version == 1 {
		fmt.Fprintf(&b, "[extensions]\n\tobjectformat = %s\n", s.format)
	}
	if s.identity.Name != "" {
		fmt.Fprintf(&b, "[user]\n\tname = %s\n\temail = %s\n", configQuote(s.identity.Name), configQuote(s.identity.Email))
		// No key of the user's is inside, and none must be asked for.
		b.WriteString("[commit]\n\tgpgsign = false\n[tag]\n\tgpgsign = false\n")
	}
	return b.String()
}

// configQuote writes a value for a git configuration file.
func configQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "\b", `\b`).Replace(s) + `"`
}

// quoteAlternates writes paths for objects/info/alternates, where a leading
// quote or hash sign has a meaning.
func quoteAlternates(dirs []string) []string {
	out := make([]string, len(dirs), len(dirs)+1)
	for i, d := range dirs {
		if strings.ContainsAny(d, "\"#\n") {
			d = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(d) + `"`
		}
		out[i] = d
	}
	return out
}

// maxAlternates bounds a chain of borrowed object directories; git itself
// follows five levels.
const maxAlternates = 32

// objectDirs lists the repository's object directory and all it borrows from,
// in order.
func (r *Repository) objectDirs() ([]string, error) {
	dirs := []string{filepath.Join(r.CommonDir, "objects")}
	for i := 0; i < len(dirs); i++ {
		data, err := os.ReadFile(filepath.Join(dirs[i], "info", "alternates"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read borrowed object directories: %w", err)
		}
		for _, d := range parseAlternates(data) {
			if !filepath.IsAbs(d) {
				d = filepath.Join(dirs[i], d)
			}
			d = filepath.Clean(d)
			if len(dirs) == maxAlternates {
				return nil, fmt.Errorf("repository %q borrows from more than %d object directories", r.CommonDir, maxAlternates)
			}
			if info, err := os.Stat(d); err == nil && info.IsDir() && !slices.Contains(dirs, d) {
				dirs = append(dirs, d)
			}
		}
	}
	return dirs, nil
}

// parseAlternates reads objects/info/alternates: a path a line, comments, and
// paths in quotes.
func parseAlternates(data []byte) []string {
	var dirs []string
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		s := string(line)
		if s == "" || s[0] == '#' {
			continue
		}
		if s[0] == '"' {
			s = unquoteC(s)
		}
		if s != "" {
			dirs = append(dirs, s)
		}
	}
	return dirs
}

// unquoteC undoes git's C-style quoting of a path; what is not quoted properly
// is given back as it is, which is what git does.
func unquoteC(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	var b strings.Builder
	in := s[1 : len(s)-1]
	for i := 0; i < len(in); i++ {
		if in[i] != '\\' {
			b.WriteByte(in[i])
			continue
		}
		i++
		if i == len(in) {
			return s
		}
		if strings.IndexByte("abfnrtv", in[i]) >= 0 {
			b.WriteByte("\a\b\f\n\r\t\v"[strings.IndexByte("abfnrtv", in[i])])
			continue
		}
		if in[i] >= '0' && in[i] <= '3' && i+2 < len(in) {
			b.WriteByte((in[i]-'0')<<6 | (in[i+1]-'0')&7<<3 | (in[i+2]-'0')&7)
			i += 2
			continue
		}
		b.WriteByte(in[i])
	}
	return b.String()
}

// shallow is the content of the repository's shallow file, if it is shallow.
func (r *Repository) shallow() ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(r.CommonDir, "shallow"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the shallow boundary: %w", err)
	}
	return data, nil
}
