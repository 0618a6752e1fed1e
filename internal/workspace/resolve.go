package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"agentprocess/internal/execx"
	"agentprocess/internal/sandbox"
)

// Base is the commit an agent starts from.
type Base struct {
	Ref     string // as it was asked for
	Commit  string
	Tree    string
	Subject string
	Date    time.Time
	// Upstream is the remote-tracking branch of Ref, empty when it has none;
	// Ahead and Behind compare with it as it was last fetched.
	Upstream      string
	Ahead, Behind int
	// AheadOfHead and BehindHead compare with what is checked out.
	AheadOfHead, BehindHead int
}

// Resolve finds the commit that ref names; empty means HEAD. Nothing is
// fetched, and nothing stands in for a ref that does not exist.
func (r *Repository) Resolve(ctx context.Context, ref string) (Base, error) {
	if ref == "" {
		ref = "HEAD"
	}
	if strings.HasPrefix(ref, "-") || strings.ContainsAny(ref, "\n\x00") {
		return Base{}, sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("base %q is not a commit", ref), "name a branch, a tag or a commit")
	}
	upstream := make(chan string, 1) // asked for at the same time
	go func() {
		name, err := r.git.line(ctx, r.here("rev-parse", "--abbrev-ref", ref+"@{upstream}"))
		if err != nil {
			name = "" // it has none
		}
		upstream <- name
	}()
	out, err := r.git.run(ctx, r.here("rev-list", "--max-count=1", "--format=%H%x00%T%x00%ct%x00%s", ref, "--"))
	name := <-upstream
	if err != nil {
		return Base{}, r.unresolved(ctx, ref, err)
	}
	base, err := parseBase(out)
	if err != nil {
		return Base{}, err
	}
	base.Ref, base.Upstream = ref, name
	if base.Upstream != "" {
		base.Ahead, base.Behind, err = r.compare(ctx, base.Commit, ref+"@{upstream}")
		if err != nil {
			return Base{}, err
		}
	}
	if ref == "HEAD" {
		return base, nil
	}
	// HEAD may be unborn here: then there is nothing to compare with.
	if _, err := r.git.line(ctx, r.here("rev-parse", "--verify", "-q", "HEAD")); err == nil {
		base.AheadOfHead, base.BehindHead, err = r.compare(ctx, base.Commit, "HEAD")
		if err != nil {
			return Base{}, err
		}
	}
	return base, nil
}

// unresolved says why ref names no commit.
func (r *Repository) unresolved(ctx context.Context, ref string, cause error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if ref == "HEAD" {
		if _, err := r.git.line(ctx, r.here("rev-parse", "--verify", "-q", "HEAD")); execx.ExitCode(err) == 1 {
			return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("repository %q has no commit yet", r.Top),
				`make one: git commit --allow-empty -m "first commit"`)
		}
		return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("resolve HEAD of %q: %w", r.Top, cause), "run: git fsck")
	}
	return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("base %q is no commit of this repository", ref),
		"nothing was fetched; see what there is: git branch --all, or run: git fetch")
}

// parseBase reads "commit ID\nID NUL tree NUL seconds NUL subject\n".
func parseBase(out []byte) (Base, error) {
	_, rest, _ := bytes.Cut(out, []byte("\n"))
	f := strings.SplitN(strings.TrimRight(string(rest), "\n"), "\x00", 4)
	if len(f) != 4 || !isObjectID(f[0]) || !isObjectID(f[1]) {
		return Base{}, fmt.Errorf("commit description %q is not understood", out)
	}
	seconds, err := strconv.ParseInt(f[2], 10, 64)
	if err != nil {
		return Base{}, fmt.Errorf("commit description %q: %w", out, err)
	}
	return Base{Commit: f[0], Tree: f[1], Date: time.Unix(seconds, 0), Subject: f[3]}, nil
}

// compare counts the commits that only a has and those that only b has.
func (r *Repository) compare(ctx context.Context, a, b string) (ahead, behind int, err error) {
	out, err := r.git.line(ctx, r.here("rev-list", "--left-right", "--count", a+"..."+b, "--"))
	if err != nil {
		return 0, 0, err
	}
	if _, err := fmt.Sscanf(out, "%d %d", &ahead, &behind); err != nil {
		return 0, 0, fmt.Errorf("commit counts %q: %w", out, err)
	}
	return ahead, behind, nil
}

// isObjectID reports whether s is a full object id of either format.
func isObjectID(s string) bool {
	if len(s) != 40 && len(s) != 64 {
		return false
	}
	return strings.Trim(s, "0123456789abcdef") == ""
}

// Dirty counts what is in the user's worktree but in no commit, and so will
// not reach an agent.
type Dirty struct {
	Staged, Unstaged, Untracked int
}

// Any reports whether anything is.
func (d Dirty) Any() bool { return d != Dirty{} }

// Dirty looks at the worktree that Open was called in.
func (r *Repository) Dirty(ctx context.Context) (Dirty, error) {
	if r.Here == "" {
		return Dirty{}, nil
	}
	c := r.here("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=normal", "--ignore-submodules=dirty")
	c.workTree, c.dir = r.Here, r.Here
	out, err := r.git.run(ctx, c)
	if err != nil {
		return Dirty{}, fmt.Errorf("look for uncommitted changes in %q: %w", r.Here, err)
	}
	return parseStatus(out), nil
}

// parseStatus counts the entries of `git status --porcelain -z --no-renames`.
func parseStatus(out []byte) Dirty {
	var d Dirty
	for e := range bytes.SplitSeq(out, []byte{0}) {
		if len(e) < 3 {
			continue
		}
		switch {
		case e[0] == '?':
			d.Untracked++
			continue
		case e[0] != ' ':
			d.Staged++
		}
		if e[1] != ' ' {
			d.Unstaged++
		}
	}
	return d
}

// maxFile bounds a file that is read from a commit into memory.
const maxFile = 1 << 20

// File is the content of a file as it is in the base commit, and whether there
// is one.
func (r *Repository) File(ctx context.Context, base Base, path string) ([]byte, bool, error) {
	return r.FileUpTo(ctx, base, path, maxFile)
}

// FileUpTo is File for one that may have so many bytes.
func (r *Repository) FileUpTo(ctx context.Context, base Base, path string, most int) ([]byte, bool, error) {
	if strings.ContainsAny(path, "\n\x00") {
		return nil, false, fmt.Errorf("file %q: a line break in the name", path)
	}
	c := r.common("cat-file", "--batch")
	c.stdin = strings.NewReader(base.Commit + ":" + path + "\n")
	limited := &limitedBuffer{limit: most + 256}
	c.stdout = limited
	err := r.git.runInto(ctx, c)
	if limited.exceeded {
		return nil, false, fmt.Errorf("file %q of %s is larger than %d bytes", path, base.Commit, most)
	}
	if err != nil {
		return nil, false, fmt.Errorf("read %q of %s: %w", path, base.Commit, err)
	}
	data, kind, err := parseBatch(limited.Bytes())
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("read %q of %s: %w", path, base.Commit, err)
	case kind == "blob":
		return data, true, nil
	default: // missing, or a directory
		return nil, false, nil
	}
}

// parseBatch reads one answer of `git cat-file --batch`: "id kind size\n", the
// content and a line break, or "name missing\n".
func parseBatch(out []byte) (data []byte, kind string, err error) {
	head, rest, _ := bytes.Cut(out, []byte("\n"))
	if bytes.HasSuffix(head, []byte(" missing")) {
		return nil, "missing", nil
	}
	f := strings.Fields(string(head))
	if len(f) != 3 || !isObjectID(f[0]) {
		return nil, "", fmt.Errorf("object header %q is not understood", head)
	}
	size, err := strconv.Atoi(f[2])
	if err != nil || size < 0 || size > len(rest) {
		return nil, "", fmt.Errorf("object header %q does not fit %d bytes", head, len(rest))
	}
	return rest[:size], f[1], nil
}

// limitedBuffer refuses to grow beyond limit.
type limitedBuffer struct {
	bytes.Buffer
	limit    int
	exceeded bool
}

// errTooLarge ends a program whose output is not wanted any more.
var errTooLarge = errors.New("output is too large")

// Write implements io.Writer.
func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.limit {
		b.exceeded = true
		return 0, errTooLarge
	}
	return b.Buffer.Write(p)
}

// ReadFrom keeps io.Copy from going around Write.
func (b *limitedBuffer) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{b}, r)
}

// runInto is run for calls that have a stdout of their own.
func (d *door) runInto(ctx context.Context, c call) error {
	_, err := d.run(ctx, c)
	return err
}
