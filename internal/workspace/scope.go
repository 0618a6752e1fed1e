package workspace

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"agentprocess/internal/sandbox"
)

// Scope says which paths of a repository an agent may change. The zero Scope
// is everything.
type Scope struct {
	globs    []string // as they were given
	patterns []string // what paths are matched against
}

// The bounds of a scope.
const (
	maxScopeGlobs = 1000
	maxGlobLength = 4096
)

// ParseScope reads globs, relative to the root of the repository:
//
//	docs         the file, or everything below the directory
//	docs/        everything below the directory
//	docs/**      the same
//	*.md         files at the root; **/*.md is at any depth
//	src/{a,b}/*  what is directly in either
//
// Case counts, and names that begin with a dot are like others. Paths are
// taken as git stores them: a link is a file, wherever it leads.
func ParseScope(globs []string) (Scope, error) {
	if len(globs) > maxScopeGlobs {
		return Scope{}, scopeError(fmt.Sprintf("%d globs", len(globs)), fmt.Sprintf("are more than %d", maxScopeGlobs))
	}
	s := Scope{globs: slices.Clone(globs)}
	for _, g := range globs {
		patterns, why := scopePatterns(g)
		if why != "" {
			return Scope{}, scopeError(fmt.Sprintf("%q", g), why)
		}
		s.patterns = append(s.patterns, patterns...)
	}
	return s, nil
}

func scopeError(what, why string) error {
	return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("scope %s %s", what, why),
		`name what may be changed, relative to the root of the repository, such as "docs/**" or "*.md"`)
}

// scopePatterns are the patterns of one glob, or what is wrong with it.
func scopePatterns(glob string) (patterns []string, why string) {
	g := glob
	for strings.HasPrefix(g, "./") {
		g = strings.TrimLeft(g[2:], "/")
	}
	switch {
	case g == "." || glob == "./":
		return []string{"**/*"}, ""
	case g == "":
		return nil, "is empty"
	case len(g) > maxGlobLength || strings.ContainsRune(g, 0):
		return nil, "is no path"
	case g[0] == '/':
		return nil, "is not relative to the root of the repository"
	case g[0] == '!':
		return nil, "excludes, and a scope only names what may be changed"
	case hasComponent(g, ".."):
		return nil, `has ".." in it`
	case !doublestar.ValidatePattern(g):
		return nil, "is not a glob that can be understood"
	}
	const below = "/**/*" // which, other than /**, is not the directory itself
	dir := strings.TrimRight(g, "/")
	trimmed, everything := strings.CutSuffix(dir, "/**")
	switch {
	case dir == "**":
		return []string{"**/*"}, ""
	case everything:
		return []string{trimmed + below}, ""
	case dir != g:
		return []string{dir + below}, ""
	case !strings.ContainsAny(g, `*?[{\`):
		return []string{g, g + below}, ""
	default:
		return []string{g}, ""
	}
}

// Globs are the globs that were parsed.
func (s Scope) Globs() []string { return slices.Clone(s.globs) }

// Everything reports whether there is no bound.
func (s Scope) Everything() bool { return len(s.patterns) == 0 }

// Allows reports whether the scope has path, which is relative to the root of
// the repository and as clean as git stores it.
func (s Scope) Allows(path string) bool {
	return s.Everything() || slices.ContainsFunc(s.patterns, func(p string) bool { return doublestar.MatchUnvalidated(p, path) })
}
