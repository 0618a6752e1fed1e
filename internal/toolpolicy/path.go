package toolpolicy

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// access is what is done to a path.
type access uint8

const (
	read access = 1 << iota
	write
	remove
	accessAll = read | write | remove
)

// parseAccess reads one word of a rule's access.
func parseAccess(s string) (access, error) {
	switch s {
	case "read":
		return read, nil
	case "write":
		return write, nil
	case "delete":
		return remove, nil
	}
	return 0, fmt.Errorf("is one of read, write, delete, not %q", s)
}

// base is what a pattern for paths is relative to.
type base uint8

const (
	baseRoot base = iota
	baseWorkspace
	baseHome
)

// pathGlob is a pattern for paths: "docs/**", "~/.ssh/**", "/etc/**". What has
// no wildcard also means everything below it.
type pathGlob struct {
	base base
	glob string // relative to base, "." for base itself
	deep bool   // matches below what it names, too
	not  bool   // "!": takes away from the patterns that match
	// fixed is the directory that all it matches is below, as far as it has
	// no wildcard.
	fixed string
	// name is a part that each path it matches has.
	name string
}

// parsePath reads a pattern for paths.
func parsePath(s string) (pathGlob, error) {
	g := pathGlob{base: baseWorkspace}
	s, g.not = strings.CutPrefix(s, "!")
	switch {
	case strings.HasPrefix(s, "/"):
		g.base, s = baseRoot, s[1:]
	case s == "~" || strings.HasPrefix(s, "~/"):
		g.base, s = baseHome, strings.TrimPrefix(s[1:], "/")
	}
	if err := checkGlob(s); err != nil {
		return g, err
	}
	if strings.ContainsRune(s, 0) {
		return g, errors.New("holds a zero byte, as no path does")
	}
	g.glob = path.Clean(s)
	if g.glob == ".." || strings.HasPrefix(g.glob, "../") {
		return g, fmt.Errorf("%q leaves what it is relative to: write it as an absolute path", s)
	}
	g.deep = !strings.ContainsAny(g.glob, `*?[{\`)
	g.fixed, _ = doublestar.SplitPattern(g.glob)
	if g.deep {
		g.fixed = g.glob
	}
	for part := range strings.SplitSeq(g.glob, "/") {
		if !strings.ContainsAny(part, `*?[{}\,`) && len(part) > len(g.name) {
			g.name = part
		}
	}
	return g, nil
}

// roots are the directories that patterns are relative to.
type roots struct{ workspace, home string }

func (r roots) of(b base) string {
	switch b {
	case baseWorkspace:
		return r.workspace
	case baseHome:
		return r.home
	default:
		return "/"
	}
}

// below gives p relative to dir, "." for dir itself.
func below(dir, p string) (string, bool) {
	if p == dir {
		return ".", true
	}
	if dir == "/" {
		return strings.CutPrefix(p, dir)
	}
	if len(p) > len(dir) && p[len(dir)] == '/' && p[:len(dir)] == dir {
		return p[len(dir)+1:], true
	}
	return "", false
}

// matches takes a clean absolute path.
func (g pathGlob) matches(p string, r roots) bool {
	rel, ok := below(r.of(g.base), p)
	return ok && g.matchesRel(rel)
}

func (g pathGlob) matchesRel(rel string) bool {
	switch {
	case rel == ".":
		return g.glob == "." || g.glob == "**"
	case g.glob == ".":
		return true // as it has no wildcard
	case g.deep:
		_, ok := below(g.glob, rel)
		return ok
	}
	if !strings.Contains(rel, g.name) {
		return false
	}
	ok, err := doublestar.Match(g.glob, rel)
	return err == nil && ok
}

// inside says whether something that the pattern matches could be below dir,
// a clean absolute path: what is done to dir is done to that.
func (g pathGlob) inside(dir string, r roots) bool {
	rel, ok := below(dir, path.Join(r.of(g.base), g.fixed))
	return ok && (rel != "." || !g.deep)
}

// matchesTail says whether tail, the known end of a path, could be that of a
// path that the pattern matches.
func (g pathGlob) matchesTail(tail string) bool {
	tail = strings.Trim(tail, "/")
	end := strings.TrimPrefix(g.glob, "**/")
	if tail == "" || end == "." || strings.HasPrefix(end, "*") {
		return false
	}
	return pathGlob{glob: "**/" + end}.matchesRel(tail) || g.deep && pathGlob{glob: "**/" + end + "/**"}.matchesRel(tail)
}

// meets says whether a path with wildcards could be one that the pattern
// matches. What stands in braces there is anything: the alternatives of a
// hostile path are too many to be tried.
func (g pathGlob) meets(p string, r roots) bool {
	rel, ok := below(r.of(g.base), p)
	if !ok {
		return false
	}
	if brace := strings.IndexByte(rel, '{'); brace >= 0 {
		rel = rel[:brace] + "*/**"
	}
	pattern := strings.Split(g.glob, "/")
	if g.deep {
		pattern = append(pattern, "**")
	}
	return meet(pattern, strings.Split(rel, "/"))
}

// meet goes over both part by part; of each pair one must match the other.
func meet(pattern, names []string) bool {
	for len(pattern) > 0 && pattern[0] != "**" {
		if len(names) > 0 && names[0] == "**" {
			return true // anything from here on
		}
		if len(names) == 0 || !glob(pattern[0]).matches(names[0]) && !glob(names[0]).matches(pattern[0]) {
			return false
		}
		pattern, names = pattern[1:], names[1:]
	}
	if len(pattern) == 0 {
		return len(names) == 0
	}
	for n := range len(names) + 1 {
		if meet(pattern[1:], names[n:]) {
			return true
		}
	}
	return false
}

// matchPath says whether p is among patterns: some pattern matches, and none
// that begins with "!". Patterns of that kind alone take away from everything.
func matchPath(patterns []pathGlob, p string, r roots) bool {
	yes, positive := false, false
	for _, g := range patterns {
		hit := g.matches(p, r)
		if g.not && hit {
			return false
		}
		positive = positive || !g.not
		yes = yes || !g.not && hit
	}
	return yes || !positive
}
