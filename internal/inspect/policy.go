package inspect

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Action is what is done about a change.
type Action string

// The actions, from lenient to strict.
const (
	Flag   Action = "flag"
	Hold   Action = "hold"
	Refuse Action = "refuse"
)

// Actions are all of them, from lenient to strict.
func Actions() []Action { return []Action{Flag, Hold, Refuse} }

// stricter reports whether a is at least as strict as b.
func (a Action) stricter(b Action) bool {
	return slices.Index(Actions(), a) >= slices.Index(Actions(), b)
}

// Kind is a kind of risk.
type Kind string

// The kinds there are.
const (
	Secrets     Kind = "secrets"      // credentials, in content or by the file's name
	Large       Kind = "large-files"  // more than Policy.MaxFile
	Links       Kind = "links"        // symbolic links that leave the tree
	GitPrograms Kind = "git-programs" // what the person's own git configuration runs from the tree
	Submodules  Kind = "submodules"
	Attributes  Kind = "attributes" // .gitattributes and its like
	Executables Kind = "executables"
	CI          Kind = "ci"
	Editors     Kind = "editors"
	Shells      Kind = "shells" // what runs when a shell enters the folder
	GitHooks    Kind = "git-hooks"
	Builds      Kind = "builds"
	Packages    Kind = "packages" // package managers' scripts
	Rules       Kind = "rules"    // policy and hooks of later runs
	Agents      Kind = "agents"   // what configures coding agents
)

// DefaultMaxFile is how large a file may be that comes home by itself.
const DefaultMaxFile = 10 << 20

// defaults are the actions without any configuration.
func defaults() map[Kind]Action {
	return map[Kind]Action{
		Secrets: Hold, Large: Hold, Links: Hold, GitPrograms: Hold,
		Submodules: Flag, Attributes: Flag, Executables: Flag, CI: Flag, Editors: Flag, Shells: Flag,
		GitHooks: Flag, Builds: Flag, Packages: Flag, Rules: Flag, Agents: Flag,
	}
}

// Kinds are all kinds, sorted.
func Kinds() []Kind { return slices.Sorted(maps.Keys(defaults())) }

// Policy says what is done about each kind. The zero Policy is the default.
type Policy struct {
	Actions map[Kind]Action `json:"actions,omitempty"` // those that differ from the default
	MaxFile int64           `json:"max_file,omitempty"`
	// Allow are globs of files that are not looked into for secrets, such as
	// keys of a test.
	Allow []string `json:"allow,omitempty"`
}

// Action is what is done about a kind.
func (p Policy) Action(k Kind) Action {
	if a, ok := p.Actions[k]; ok && slices.Contains(Actions(), a) {
		return a
	}
	if a, ok := defaults()[k]; ok {
		return a
	}
	return Hold
}

// Limit is the size above which a file is large.
func (p Policy) Limit() int64 {
	if p.MaxFile > 0 {
		return p.MaxFile
	}
	return DefaultMaxFile
}

// Narrow is p with what q is stricter about. What q is more lenient about is
// ignored: q is somebody's who may only narrow.
func (p Policy) Narrow(q Policy) Policy {
	out := Policy{Actions: map[Kind]Action{}, MaxFile: p.Limit(), Allow: p.Allow}
	for _, k := range Kinds() {
		out.Actions[k] = p.Action(k)
		if a, said := q.Actions[k]; said && a.stricter(out.Actions[k]) {
			out.Actions[k] = a
		}
	}
	if q.MaxFile > 0 {
		out.MaxFile = min(out.MaxFile, q.MaxFile)
	}
	return out
}

// allowed reports whether a path is not looked into for secrets.
func (p Policy) allowed(path string) bool {
	return slices.ContainsFunc(p.Allow, func(g string) bool { return doublestar.MatchUnvalidated(g, path) })
}

// CheckAllow says what is wrong with a glob of Policy.Allow.
func CheckAllow(glob string) error {
	switch {
	case glob == "" || strings.HasPrefix(glob, "/") || strings.HasPrefix(glob, "!"):
		return fmt.Errorf("%q is no glob relative to the root of the repository", glob)
	case !doublestar.ValidatePattern(glob):
		return fmt.Errorf("%q is not a glob that can be understood", glob)
	case strings.Trim(glob, "*/") == "":
		return fmt.Errorf("%q is every file; to let secrets come home, set secrets to %q", glob, Flag)
	}
	return nil
}
