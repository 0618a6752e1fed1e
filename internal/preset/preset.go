package preset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// maxConfig bounds a file of configuration, MaxLockfile one of a project.
	maxConfig = 1 << 20
	// MaxLockfile bounds a lockfile that is looked into.
	MaxLockfile = 32 << 20
	// maxFound bounds the different places that a preset stands for.
	maxFound = 200
)

// File is a file of the project.
type File struct {
	Path string
	Data []byte
}

// Finder finds what presets stand for on a machine and in a project.
type Finder struct {
	// Root is before every absolute path of the machine; empty is "/".
	Root string
	Home string
	// Lookup gives a variable of the person's environment.
	Lookup func(name string) (string, bool)
	// Run gives what a client of the person's prints, in a directory without
	// configuration; nil runs nothing.
	Run func(ctx context.Context, argv ...string) (string, error)
	// Claude are the lines that the preset of that name stands for.
	Claude []string
	// Project are the files of the project that Wanted names.
	Project []File
}

// Result is what a preset stands for here.
type Result struct {
	Found []Found
	// Home are files that tell clients inside where the machine's read, by their
	// path below a home, without credentials.
	Home map[string]string
	// Problems are what could not be read or listed, for a person to know.
	Problems []string
}

// Found is a place that packages are read from, and where its name was found.
type Found struct {
	Place
	From    string // "~/.npmrc:2", "`go env`", "package-lock.json"
	Project bool   // the project names it, not the person's machine
}

// kind is one preset: where it looks, on the machine and in a project.
type kind struct {
	// host are places that the machine's configuration names.
	host func(*search)
	// ask are what a client of the machine says itself; asked when there is no
	// default in its configuration.
	ask func(context.Context, *search)
	// files are what it reads of a project, by the names of files.
	files map[string]func(*search, File)
	// locks are those of files whose presence suggests the preset.
	locks []string
	// fixed are lines that need no finding.
	fixed []string
	// missing says what to write where when nothing is found.
	missing string
}

// kinds are the presets there are.
func kinds() map[string]kind {
	return map[string]kind{
		"npm": npm(), "pypi": pypi(), "go": golang(), "cargo": cargo(), "maven": maven(), "rubygems": rubygems(), "nuget": nuget(),
		"debian": apt(), "ubuntu": apt(), "github": github(), "playwright": playwright(),
		"claude": {host: func(s *search) {
			for _, line := range s.finder.Claude {
				s.found = append(s.found, Found{Place: Place{line: line}, From: "built-in: claude"})
			}
		}},
	}
}

// Names are the presets there are, sorted.
func Names() []string {
	return slices.Sorted(maps.Keys(kinds()))
}

// ErrUnknown is for a preset that there is not.
var ErrUnknown = errors.New("there is no such preset")

// ErrNothing is for a preset that stands for nothing here.
var ErrNothing = errors.New("nothing here says where packages are")

// Wanted reports whether a preset reads a file of the project.
func Wanted(name, file string) bool {
	_, ok := kinds()[name].files[path.Base(file)]
	return ok
}

// Suggested gives the preset that a lockfile is of, empty when it is none.
func Suggested(file string) string {
	for name, k := range kinds() {
		if slices.Contains(k.locks, file) { // no file is of two
			return name
		}
	}
	return ""
}

// Lockfiles are the files whose presence suggests a preset.
func Lockfiles() []string {
	var all []string
	for _, k := range kinds() {
		all = append(all, k.locks...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// ProjectFiles are the names of all files that a preset reads of a project.
func ProjectFiles(name string) []string {
	return slices.Sorted(maps.Keys(kinds()[name].files))
}

// Find gives what a preset stands for, the machine's places first.
func (f Finder) Find(ctx context.Context, name string) (Result, error) {
	k, ok := kinds()[name]
	if !ok {
		return Result{}, fmt.Errorf("preset:%s: %w: there are %s", name, ErrUnknown, strings.Join(Names(), ", "))
	}
	s := &search{finder: f, seen: map[string]bool{}, inside: map[string]string{}, told: map[string]bool{}}
	for _, line := range k.fixed {
		s.found = append(s.found, Found{Place: Place{line: line}, From: "preset:" + name})
	}
	if k.host != nil {
		k.host(s)
	}
	if k.ask != nil && !s.settled && f.Run != nil {
		k.ask(ctx, s)
	}
	s.project = true
	for _, file := range f.Project {
		if read := k.files[path.Base(file.Path)]; read != nil {
			read(s, file)
		}
	}
	if len(s.found) == 0 {
		return Result{}, fmt.Errorf("preset:%s: %w: %s", name, ErrNothing, k.missing)
	}
	return Result{Found: s.found, Home: s.inside, Problems: s.problems}, nil
}

// search is one Find under way.
type search struct {
	finder   Finder
	found    []Found
	seen     map[string]bool
	problems []string
	// settled says that the configuration names the default registry, so that no
	// client need be asked for its own.
	settled bool
	project bool // what is found now is the project's
	inside  map[string]string
	told    map[string]bool // settings that inside has; the first one counts, as with clients
}

// tell has clients inside read where those of the machine do: a line of a file
// below the home, with what comes before it in that file.
func (s *search) tell(file, head, format, raw string) {
	place := withoutUser(raw)
	if s.project || place == "" || s.told[file+format] {
		return
	}
	s.told[file+format] = true
	if s.inside[file] == "" {
		s.inside[file] = head
	}
	s.inside[file] += fmt.Sprintf(format, place) + "\n"
}

// add takes in a place, once; whoever names it first is said.
func (s *search) add(from, raw string, as shape) {
	p, err := parsePlace(strings.TrimSpace(raw), as)
	if errors.Is(err, errNoPlace) {
		return
	}
	if err != nil {
		s.problem("%s: %v", from, err)
		return
	}
	if s.seen[p.line] {
		return
	}
	if len(s.found) >= maxFound {
		s.problem("%s: more than %d places; the rest is left out", from, maxFound)
		return
	}
	s.seen[p.line] = true
	s.found = append(s.found, Found{Place: p, From: from, Project: s.project})
}

// problem notes what a person should know, as often as it may be said.
func (s *search) problem(format string, args ...any) {
	const most = 20
	if text := fmt.Sprintf(format, args...); len(s.problems) < most && !slices.Contains(s.problems, text) {
		s.problems = append(s.problems, text)
	}
}

// env gives a variable of the person's; empty when it is not set.
func (s *search) env(name string) string {
	if s.finder.Lookup == nil {
		return ""
	}
	value, _ := s.finder.Lookup(name)
	return value
}

// home is a path below the person's home; empty when there is none.
func (s *search) home(elem ...string) string {
	if s.finder.Home == "" {
		return ""
	}
	return filepath.Join(append([]string{s.finder.Home}, elem...)...)
}

// config is a path below the person's directory of configuration.
func (s *search) config(elem ...string) string {
	if dir := s.env("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(append([]string{dir}, elem...)...)
	}
	return s.home(append([]string{".config"}, elem...)...)
}

// read reads files of the machine that are there; patterns may have "*" in their
// last element.
func (s *search) read(use func(*search, File), patterns ...string) {
	for _, pattern := range patterns {
		if pattern == "" {
			continue
		}
		full := pattern
		if !strings.HasPrefix(pattern, s.finder.Home+"/") || s.finder.Home == "" {
			full = filepath.Join(cmp.Or(s.finder.Root, "/"), pattern)
		}
		names, err := filepath.Glob(full)
		if err != nil {
			s.problem("%s: %v", s.show(pattern), err)
		}
		for _, name := range names {
			data, err := bounded(name)
			switch {
			case err == nil:
				use(s, File{Path: s.show(name), Data: data})
			case !errors.Is(err, fs.ErrNotExist):
				s.problem("%s cannot be read: %v", s.show(name), errors.Unwrap(err))
			}
		}
	}
}

// bounded reads a file that is one, and not too large.
func bounded(name string) (data []byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxConfig {
		return nil, fmt.Errorf("read: %w", cmp.Or(err, errors.New("it is no file of at most 1 MiB")))
	}
	return io.ReadAll(io.LimitReader(f, maxConfig))
}

// show is a path as people write it.
func (s *search) show(name string) string {
	if rest, ok := strings.CutPrefix(name, s.finder.Home+"/"); ok && s.finder.Home != "" {
		return "~/" + rest
	}
	if s.finder.Root != "" {
		return "/" + strings.TrimPrefix(strings.TrimPrefix(name, s.finder.Root), "/")
	}
	return name
}

// output is what a client of the machine prints, empty when there is none.
func (s *search) output(ctx context.Context, argv ...string) string {
	out, err := s.finder.Run(ctx, argv...)
	if err != nil {
		return ""
	}
	return out
}
