package agent

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"agentprocess/internal/sandbox"
)

const (
	// maxInstructions and maxInstructionBytes bound what is handed over of
	// instruction files; Claude Code looks through them at each file it reads.
	maxInstructions     = 200
	maxInstructionBytes = 1 << 20
)

// InstructionFile says whether the file at a path of the tree should be among
// a Request's Instructions.
//
// With the repository's settings off (see command), Claude Code reads CLAUDE.md
// and .claude/rules of the root because --add-dir names it, but not what it
// otherwise picks up on its way: CLAUDE.md in subdirectories, CLAUDE.local.md.
func InstructionFile(name string) bool {
	switch {
	case name == "CLAUDE.md", name == ".claude/CLAUDE.md", path.Clean(name) != name, path.IsAbs(name):
		return false
	default:
		return path.Base(name) == "CLAUDE.md" || path.Base(name) == "CLAUDE.local.md"
	}
}

// instructions hands instruction files over as managed rules: each is read when
// the agent comes by its directory, as Claude Code would by itself. left counts
// those that are too much.
func instructions(list []TreeFile) (files []sandbox.File, left int) {
	list = slices.SortedFunc(slices.Values(list), func(a, b TreeFile) int {
		return cmp.Or(cmp.Compare(strings.Count(a.Path, "/"), strings.Count(b.Path, "/")), strings.Compare(a.Path, b.Path))
	})
	list = slices.CompactFunc(list, func(a, b TreeFile) bool { return a.Path == b.Path })
	size := 0
	for _, f := range list {
		if !InstructionFile(f.Path) || !f.regular() && !f.link() {
			continue
		}
		if len(files) == maxInstructions || len(f.Path) > 1024 || size+len(f.Data) > maxInstructionBytes {
			left++
			continue
		}
		size += len(f.Data)
		files = append(files, sandbox.File{Path: managedDir + "/rules/" + f.Path, Data: rule(f), Mode: 0o444})
	}
	return files, left
}

// rule is an instruction file that applies in its directory. Of a link, such as
// CLAUDE.md to AGENTS.md beside it, it says where it leads: the agent reads that
// by itself, with its own eyes only.
func rule(f TreeFile) []byte {
	text := f.Data
	if f.link() {
		text = fmt.Appendf(nil, "%s is a link to %q: read that file before you work here.\n", f.Path, f.Data)
	}
	dir := path.Dir(f.Path)
	if path.Base(dir) == ".claude" {
		dir = path.Dir(dir)
	}
	if dir == "." {
		return text
	}
	// A JSON string without escapes is a YAML string.
	glob, err := json.Marshal(literal(dir) + "/**")
	if err != nil {
		return text // strings always have a JSON form
	}
	head := fmt.Sprintf("---\npaths:\n  - %s\n---\nFrom %s of this project; paths in it are relative to its directory.\n\n", glob, f.Path)
	return append([]byte(head), text...)
}

// literal is a pattern that fits a path: what has a meaning in patterns or in
// their list fits as any character.
func literal(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune(`*?[]{}()!#,\"'<>&`, r) {
			return '?'
		}
		return r
	}, name)
}
