package workspace

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// hostPrograms are the paths of the tree that the person's own configuration of
// git runs, files or whole directories: a relative hooks directory, a driver in
// the tree, an included configuration. Their next git command would run what an
// agent put there.
func (r *Repository) hostPrograms() []string {
	var list []string
	for _, s := range r.settings {
		if !runsProgram(s.key) {
			continue
		}
		words := []string{s.value}
		if s.key != "core.hookspath" && !strings.HasPrefix(s.key, "include") {
			words = programWords(s.value)
		}
		for _, w := range words {
			if p := r.treePath(s.key, w); p != "" && !slices.Contains(list, p) {
				list = append(list, p)
			}
		}
	}
	return append(list, r.hookPrograms(list)...)
}

// hookPrograms are the paths of the tree that the person's installed hooks run:
// what they name, and what the programs that install hooks read.
func (r *Repository) hookPrograms(known []string) []string {
	var list []string
	add := func(p string) {
		if p != "" && !slices.Contains(known, p) && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	for _, p := range known {
		if path.Base(p) == "_" { // husky keeps its own there, and runs those beside it
			add(path.Dir(p))
		}
	}
	dir := filepath.Join(r.CommonDir, "hooks")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return list // there are none
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || strings.HasSuffix(e.Name(), ".sample") || info.Mode()&0o111 == 0 || info.Size() > maxFile {
			continue
		}
		for _, p := range []string{".pre-commit-config.yaml", "lefthook.yml", ".lefthook.yml", "lefthook.yaml", ".overcommit.yml", ".husky"} {
			add(p)
		}
		if data, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil && info.Mode().IsRegular() {
			for _, w := range programWords(string(data)) {
				add(r.treePath("hook", w))
			}
		}
	}
	return list
}

// programWords are the words of a command or a script that may name files.
func programWords(s string) []string {
	return strings.FieldsFunc(s, func(c rune) bool { return strings.ContainsRune(" \t\n\"'`;|&()<>!=", c) })
}

// runsProgram reports whether a key of git's configuration names what is run,
// or read as more configuration.
func runsProgram(key string) bool {
	section, rest, _ := strings.Cut(key, ".")
	last := rest[strings.LastIndexByte(rest, '.')+1:]
	switch section {
	case "core":
		return slices.Contains([]string{"hookspath", "fsmonitor", "sshcommand", "pager", "editor", "askpass", "gitproxy", "attributesfile"}, rest)
	case "filter", "diff", "merge", "difftool", "mergetool", "gpg", "credential", "interactive", "trailer", "pager", "alias", "uploadpack", "sequence":
		return slices.Contains([]string{"clean", "smudge", "process", "textconv", "command", "cmd", "driver", "external", "program", "helper", "difffilter", "path"}, last) ||
			slices.Contains([]string{"pager", "alias", "uploadpack", "sequence"}, section)
	case "include", "includeif":
		return last == "path"
	default:
		return false
	}
}

// treePath is the path in the tree that a word of a configuration leads to,
// empty when it is none.
func (r *Repository) treePath(key, word string) string {
	if word == "" || strings.HasPrefix(word, "-") || strings.HasPrefix(word, "~") {
		return ""
	}
	if strings.HasPrefix(key, "include") && !filepath.IsAbs(word) {
		word = filepath.Join(r.CommonDir, word) // relative to the configuration's own place
	}
	if filepath.IsAbs(word) {
		rel, err := filepath.Rel(r.Top, word)
		if r.Bare || err != nil {
			return ""
		}
		word = rel
	} else if key != "core.hookspath" && !strings.Contains(word, "/") {
		return "" // found in PATH
	}
	p := path.Clean(filepath.ToSlash(word))
	if !filepath.IsLocal(p) || p == "." || p == ".git" || strings.HasPrefix(p, ".git/") {
		return ""
	}
	return p
}

// runsOnHost says by what the person's git would run a path.
func (w *Workspace) runsOnHost(p string) string {
	for _, dir := range w.rec.Programs {
		if strings.EqualFold(p, dir) || len(p) > len(dir) && p[len(dir)] == '/' && strings.EqualFold(p[:len(dir)], dir) {
			return "is run by your own git: your configuration names " + dir
		}
	}
	return ""
}
