package trust

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"path"
	"slices"
	"strings"
)

// Kind is a sort of thing that a repository can bring along.
type Kind string

// The kinds there are.
const (
	KindHooks        Kind = "hooks"         // .agent-process/hooks: programs that judge tool calls
	KindPolicy       Kind = "policy"        // .agent-process/policy.toml
	KindAllowlist    Kind = "allowlist"     // .agent-process/allowlist
	KindRegistries   Kind = "registries"    // hosts that lockfiles and clients' settings name for presets
	KindImage        Kind = "image"         // .agent-process/Dockerfile or devcontainer.json, and what that names
	KindMCP          Kind = "mcp"           // .mcp.json: servers that are started for the agent
	KindSettings     Kind = "settings"      // .claude/settings*.json and the scripts in .claude/hooks
	KindSkills       Kind = "skills"        // .claude/skills, at any depth
	KindAgents       Kind = "agents"        // .claude/agents: subagents
	KindCommands     Kind = "commands"      // .claude/commands
	KindOutputStyles Kind = "output-styles" // .claude/output-styles
	KindPlugins      Kind = "plugins"       // .claude/plugins and .claude-plugin
)

// Kinds are all kinds, in the order in which they are shown.
func Kinds() []Kind {
	return []Kind{
		KindHooks, KindPolicy, KindAllowlist, KindRegistries, KindImage, KindMCP, KindSettings, KindSkills, KindAgents, KindCommands,
		KindOutputStyles, KindPlugins,
	}
}

// Modes of files as git has them.
const (
	modeRegular   = 0o100000
	modeLink      = 0o120000
	modeSubmodule = 0o160000
	modeType      = 0o170000
)

// File is a file of a commit.
type File struct {
	Path string // relative to the root of the tree, with slashes
	Mode uint32 // as git has it: 0o100644, 0o100755, 0o120000 (a link), 0o160000 (a submodule)
	Data []byte // the content, the target of a link, or the commit of a submodule
}

// Regular says whether the file is one with content of its own.
func (f File) Regular() bool { return f.Mode&modeType == modeRegular }

// Executable says whether the file is a program.
func (f File) Executable() bool { return f.Regular() && f.Mode&0o111 != 0 }

// Item is everything of one kind that a repository brings.
type Item struct {
	Kind Kind
	// Files are sorted by path.
	Files []File
	// Hash is over the paths, modes and contents of Files.
	Hash string
	// Lines say, for people, what it would do. They hold no control characters.
	Lines []string
	// Was is the pin that no longer fits; nil when the kind has none.
	Was *Pin
}

// Paths are the paths of the item's files.
func (i Item) Paths() []string {
	paths := make([]string, len(i.Files))
	for n, f := range i.Files {
		paths[n] = f.Path
	}
	return paths
}

// Wanted says whether Find has a use for the file at a path of the tree.
func Wanted(name string) bool { return kindOf(name) != "" }

// kindOf is the kind that a path belongs to, empty for none.
//
// Claude Code started at the root of a tree looks into the root's .claude and
// .mcp.json only, but for skills, which it also picks up from directories that
// it comes by. A link or a file in the place of a directory counts, too.
func kindOf(name string) Kind {
	if name == "" || path.IsAbs(name) || path.Clean(name) != name {
		return ""
	}
	for _, p := range []struct {
		kind Kind
		path string
	}{
		{KindHooks, ".agent-process/hooks"},
		{KindPolicy, ".agent-process/policy.toml"},
		{KindAllowlist, ".agent-process/allowlist"},
		{KindMCP, ".mcp.json"},
		{KindSettings, ".claude/settings.json"},
		{KindSettings, ".claude/settings.local.json"},
		{KindSettings, ".claude/hooks"},
		{KindSkills, ".claude/skills"},
		{KindAgents, ".claude/agents"},
		{KindCommands, ".claude/commands"},
		{KindOutputStyles, ".claude/output-styles"},
		{KindPlugins, ".claude/plugins"},
		{KindPlugins, ".claude-plugin"},
	} {
		if within(name, p.path) {
			return p.kind
		}
	}
	switch {
	case name == ".agent-process":
		return KindHooks // a link, or a submodule: nothing below it is seen
	case name == ".claude":
		return KindSettings
	case strings.Contains("/"+name+"/", "/.claude/skills/"):
		return KindSkills
	default:
		return ""
	}
}

// within says whether name is dir or below it.
func within(name, dir string) bool {
	rest, ok := strings.CutPrefix(name, dir)
	return ok && (rest == "" || rest[0] == '/')
}

// Find sorts the files of a commit into items; files that are not Wanted are
// left out. A path that comes twice counts with its first file.
func Find(files []File) []Item {
	byKind := map[Kind][]File{}
	for _, f := range files {
		if k := kindOf(f.Path); k != "" {
			byKind[k] = append(byKind[k], f)
		}
	}
	var items []Item
	for _, k := range Kinds() {
		list := byKind[k]
		if len(list) == 0 {
			continue
		}
		slices.SortStableFunc(list, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
		list = slices.CompactFunc(list, func(a, b File) bool { return a.Path == b.Path })
		items = append(items, Item{Kind: k, Files: list, Hash: hash(list), Lines: describe(k, list)})
	}
	return items
}

// Registries is the item of hosts that the files of a commit name as registries,
// one a line. It counts by the hosts, not by the files: a lockfile changes with
// each package.
func Registries(lines []string) Item {
	lines = slices.Sorted(slices.Values(lines))
	lines = slices.Compact(lines)
	files := []File{{Path: registriesPath, Mode: modeRegular | 0o644, Data: []byte(strings.Join(lines, "\n") + "\n")}}
	return Item{Kind: KindRegistries, Files: files, Hash: hash(files), Lines: describe(KindRegistries, files)}
}

// Image is the item of files that say how the image of a project is made; which
// they are, one of them says.
func Image(files []File) Item {
	files = slices.SortedFunc(slices.Values(files), func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return Item{Kind: KindImage, Files: files, Hash: hash(files), Lines: describe(KindImage, files)}
}

// registriesPath names what no file of the tree is.
const registriesPath = "registries that its files name"

// hash is the sha256 over sorted files: each part comes with its length, so
// that no two lists have the same bytes.
func hash(files []File) string {
	h := sha256.New()
	var n [8]byte
	part := func(b []byte) {
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	for _, f := range files {
		part([]byte(f.Path))
		binary.BigEndian.PutUint64(n[:], uint64(f.Mode))
		h.Write(n[:])
		part(f.Data)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
