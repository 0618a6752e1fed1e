package workspace

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxHook bounds a hook of the person's that is copied.
const maxHook = 256 << 10

// treeHook runs a hook that is in the tree, as it is there: what the agent makes
// of it acts nowhere but inside.
const treeHook = `#!/bin/sh
hook=$(git rev-parse --show-toplevel)/%s
[ ! -x "$hook" ] || exec "$hook" "$@"
`

// huskyHook runs a hook that husky would: its own script for that is in no commit.
const huskyHook = `#!/bin/sh
hook=$(git rev-parse --show-toplevel)/%s
[ ! -f "$hook" ] || exec sh -e "$hook" "$@"
`

// preCommit is the pre-commit hook of the project as it runs inside: none when
// there is none, and when what there is cannot be had.
func (r *Repository) preCommit() []byte {
	dir := firstOf(r.settings.value("core.hookspath"), filepath.Join(r.CommonDir, "hooks"))
	if home := lookup(r.cfg.Environ, "HOME"); strings.HasPrefix(dir, "~/") && home != "" {
		dir = filepath.Join(home, dir[2:])
	}
	if !filepath.IsAbs(dir) {
		script, rel := treeHook, path.Clean(filepath.ToSlash(dir))
		if path.Base(rel) == "_" {
			script, rel = huskyHook, path.Dir(rel)
		}
		if rel == ".." || strings.HasPrefix(rel, "../") {
			return nil
		}
		return fmt.Appendf(nil, script, shellWord(rel+"/pre-commit"))
	}
	f, err := os.Open(filepath.Join(dir, "pre-commit"))
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // only read
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 || info.Size() > maxHook {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(f, maxHook))
	if err != nil {
		return nil
	}
	return data
}

// HasPreCommit reports whether the agent's commits go through a hook.
func (w *Workspace) HasPreCommit() bool { return w.rec.PreCommit }

// NothingToCommit is what PreCommit exits with when there is nothing to look at.
const NothingToCommit = 199

// PreCommit is a line of shell that runs the hook on all that is not committed
// yet; for inside.
const PreCommit = `cd "$(git rev-parse --show-toplevel)" && git add -A -- . ':(exclude,glob)**/.claude' ':(exclude,glob)**/.claude/**' && ` +
	`{ git diff-index --cached --quiet HEAD -- && exit 199; exec "$(git rev-parse --git-dir)/hooks/pre-commit"; }`
