package workspace

import (
	"context"
	"fmt"
	"slices"

	"agentprocess/internal/sandbox"
)

// ChangedFile is one file that an agent changed, without what is in it.
type ChangedFile struct {
	Path, From       string
	Status           string
	OldMode, NewMode string
	OldID, NewID     string
	Flag             string // why a person should look at it
}

// maxShown bounds the patch that is read into memory to be shown.
const maxShown = 64 << 20

// Patch is what changes between two commits: the files in the order of the patch,
// and the patch as git prints it. Both are the agent's text.
func (r *Repository) Patch(ctx context.Context, base, tip string) ([]ChangedFile, []byte, error) {
	e, err := r.git.diff(ctx, r.common(), base, tip)
	if err != nil {
		return nil, nil, err
	}
	links, err := r.git.escapingLinks(ctx, r.common(), e.changes)
	if err != nil {
		return nil, nil, err
	}
	flagged := append(flags(e.changes), links...)
	files := make([]ChangedFile, len(e.changes))
	for i, c := range e.changes {
		files[i] = ChangedFile{Path: c.path, From: c.from, Status: string(c.status), OldMode: c.oldMode, NewMode: c.newMode, OldID: c.oldID, NewID: c.newID}
		if at := slices.IndexFunc(flagged, func(f Flag) bool { return f.Path == c.path || f.Path == c.from }); at >= 0 {
			files[i].Flag = flagged[at].Reason
		}
	}
	c := r.common(safeDiff("-r", "-p", "-M", "-l1000", "--full-index", base, tip)...)
	patch := &limitedBuffer{limit: maxShown}
	c.stdout = patch
	err = r.git.runInto(ctx, c)
	if patch.exceeded {
		return nil, nil, sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("the changes from %s to %s are more than %d MB", base[:12], tip[:12], maxShown>>20),
			"--stat shows which files; git diff "+base[:12]+" "+tip[:12]+" -- FILE shows one")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("diff %s..%s: %w", base, tip, err)
	}
	return files, patch.Bytes(), nil
}
