package native

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// toolchains is what a PATH names outside the system directories.
type toolchains struct {
	roots  []string // shown read-only at their own place
	covers []string // files below roots that are shown empty
	path   string   // the PATH to use inside
	notes  []string
}

// coverDepth and coverEntries bound the search for credential files.
const (
	coverDepth   = 6
	coverEntries = 4000
)

// libraryDirs are the parts of a toolchain that hold its programs and
// libraries, thousands of files that nobody configures.
func libraryDirs() []string {
	return []string{
		"bin", "lib", "lib32", "lib64", "libexec", "include", "share", "src", "pkg", "node_modules", "site-packages",
		"test", "tests", "doc", "docs", "man", "misc", "api", "cache", ".git",
	}
}

// secretFiles are names that hold credentials wherever they lie.
func secretFiles() []string {
	return []string{
		".npmrc", "npmrc", ".netrc", "pip.conf", ".pypirc", "gradle.properties", ".yarnrc", ".yarnrc.yml", ".git-credentials", ".env",
		"auth.json", "auth.toml", "token.json", "secret.json", "secrets.json", "secrets.toml", "secrets.yaml", "secrets.yml",
		"id_rsa", "id_ed25519", "id_ecdsa",
	}
}

// isSecret reports whether a file's name says that it holds credentials. It
// is no pattern: compiling one would cost every start of ours.
func isSecret(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "credential") || slices.Contains(secretFiles(), name)
}

// finder collects toolchains; homes are directories that are never shown.
type finder struct {
	toolchains
	homes []string
}

// findToolchains looks up the directories of a PATH value.
func findToolchains(pathValue string, homes []string) toolchains {
	f := &finder{homes: homes}
	var dirs []string
	for _, dir := range filepath.SplitList(pathValue) {
		if !filepath.IsAbs(dir) || slices.Contains(dirs, filepath.Clean(dir)) {
			continue
		}
		dirs = append(dirs, f.add(filepath.Clean(dir))...)
	}
	f.reduce()
	for _, root := range f.roots {
		found, all := secretsBelow(root)
		f.covers = append(f.covers, found...)
		if !all {
			f.notes = append(f.notes, fmt.Sprintf("toolchain %s is shown inside and too large to search for credential files", root))
		}
	}
	f.path = strings.Join(unique(dirs), ":")
	if f.path == "" {
		f.path = "/usr/local/bin:/usr/bin:/bin"
	}
	return f.toolchains
}

// add gives the PATH entries to use for dir, and remembers what they need.
func (f *finder) add(dir string) []string {
	if inBase(dir) {
		return []string{dir}
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil
	}
	if f.forbidden(dir) {
		f.notes = append(f.notes, "PATH entry "+dir+" is not shown inside: it is a home or a top directory")
		return nil
	}
	first := f.known(dir)
	if first == nil {
		f.root(f.installRoot(dir))
		f.followLinks(dir)
	}
	return append(first, dir)
}

// inBase reports whether the sandbox's base shows dir already.
func inBase(dir string) bool {
	for _, base := range slices.Concat(baseDirs(), baseLinks()) {
		if dir == base || strings.HasPrefix(dir, base+"/") {
			return true
		}
	}
	return false
}

// forbidden reports whether dir is one that is never shown as a whole.
func (f *finder) forbidden(dir string) bool {
	return strings.Count(dir, "/") < 2 && !strings.HasPrefix(dir, "/opt") ||
		slices.ContainsFunc(f.homes, func(h string) bool { return h == dir || strings.HasPrefix(h, dir+"/") }) ||
		slices.ContainsFunc([]string{"/etc", "/proc", "/sys", "/dev", "/run", "/boot"}, func(b string) bool { return dir == b || strings.HasPrefix(dir, b+"/") })
}

func (f *finder) root(dir string) {
	if dir != "" && !f.forbidden(dir) && !inBase(dir) {
		f.roots = append(f.roots, dir)
	}
}

// known handles version managers whose programs are found through a directory
// of their own: the real tools go first on PATH, since the manager's shims ask
// for variables that are not set inside. It gives nil for a plain directory.
func (f *finder) known(dir string) []string {
	parent := filepath.Dir(dir)
	switch filepath.Base(parent) + "/" + filepath.Base(dir) {
	case ".cargo/bin":
		// Never all of .cargo: it holds credentials.toml.
		f.root(dir)
		rustup := filepath.Join(filepath.Dir(parent), ".rustup")
		if tool := rustToolchain(rustup); tool != "" {
			f.root(filepath.Join(rustup, "toolchains"))
			return []string{filepath.Join(tool, "bin")}
		}
		return []string{}
	case ".pyenv/shims", ".pyenv/bin", "pyenv-virtualenv/shims":
		f.root(filepath.Join(dir[:strings.Index(dir, "/.pyenv/")], ".pyenv"))
		return []string{}
	case ".volta/bin":
		f.root(parent)
		if bin := voltaNode(parent); bin != "" {
			return []string{bin}
		}
		return []string{}
	}
	return nil
}

// rustToolchain is the default toolchain of a rustup directory.
func rustToolchain(rustup string) string {
	data, err := os.ReadFile(filepath.Join(rustup, "settings.toml"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		key, value, ok := strings.Cut(line, "=")
		name := strings.Trim(strings.TrimSpace(value), `"`)
		if !ok || strings.TrimSpace(key) != "default_toolchain" || name == "" || strings.ContainsAny(name, "/*?[\\") {
			continue
		}
		names, err := filepath.Glob(filepath.Join(rustup, "toolchains", name+"*"))
		if err != nil || len(names) == 0 {
			return ""
		}
		return names[0] // exact or the host's own triple: the shortest sorts first
	}
	return ""
}

// voltaNode is the directory of volta's default node.
func voltaNode(volta string) string {
	data, err := os.ReadFile(filepath.Join(volta, "tools/user/platform.json"))
	if err != nil {
		return ""
	}
	var p struct {
		Node struct {
			Runtime string `json:"runtime"`
		} `json:"node"`
	}
	if json.Unmarshal(data, &p) != nil || p.Node.Runtime == "" || strings.ContainsAny(p.Node.Runtime, "/\\") {
		return ""
	}
	return filepath.Join(volta, "tools/image/node", p.Node.Runtime, "bin")
}

// installRoot is the directory that a bin directory belongs to when that is an
// installation of its own, and the bin directory itself otherwise.
func (f *finder) installRoot(dir string) string {
	parent := filepath.Dir(dir)
	if b := filepath.Base(dir); b != "bin" && b != "sbin" || f.forbidden(parent) || filepath.Base(parent) == ".local" {
		return dir
	}
	for _, sign := range []string{"VERSION", "release", "pyvenv.cfg", "include", "lib/node_modules", "libexec", "share/man", "jmods"} {
		if _, err := os.Stat(filepath.Join(parent, sign)); err == nil {
			return parent
		}
	}
	return dir
}

// followLinks shows what the links of a directory of programs lead to.
func (f *finder) followLinks(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink == 0 {
			continue
		}
		to, err := filepath.EvalSymlinks(filepath.Join(dir, e.Name()))
		if err != nil || inBase(to) {
			continue
		}
		f.root(linkRoot(to))
	}
}

// linkRoot is what has to be shown for the program file at the end of a link.
func linkRoot(file string) string {
	if at := strings.LastIndex(file, "/node_modules/"); at >= 0 {
		return file[:at+len("/node_modules")]
	}
	if venv := filepath.Dir(filepath.Dir(file)); exists(filepath.Join(venv, "pyvenv.cfg")) {
		return venv
	}
	return file
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// reduce drops roots that lie below others.
func (f *finder) reduce() {
	slices.Sort(f.roots)
	all := slices.Compact(f.roots)
	f.roots = nil
	for _, r := range all {
		if !slices.ContainsFunc(all, func(o string) bool { return strings.HasPrefix(r, o+"/") }) {
			f.roots = append(f.roots, r)
		}
	}
}

// secretsBelow are the credential files of a tree, outside its libraries. all
// says that the search was not cut short.
func secretsBelow(root string) (found []string, all bool) {
	seen := 0
	all = true
	walk := func(name string, d fs.DirEntry, err error) error {
		if seen++; seen > coverEntries {
			all = false
			return fs.SkipAll
		}
		switch {
		case err != nil:
			return fs.SkipDir
		case d.IsDir():
			if name != root && slices.Contains(libraryDirs(), d.Name()) {
				return fs.SkipDir
			}
			if depth(name)-depth(root) >= coverDepth {
				return fs.SkipDir
			}
		case d.Type().IsRegular() && isSecret(d.Name()):
			found = append(found, name)
		}
		return nil
	}
	if err := filepath.WalkDir(root, walk); err != nil {
		return found, all // unreadable for us is unreadable inside
	}
	return found, all
}

func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
