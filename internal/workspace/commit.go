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

	"agentprocess/internal/sandbox"
)

// Execer runs programs inside a sandbox; a [sandbox.Sandbox] is one.
type Execer interface {
	Exec(ctx context.Context, cmd sandbox.Command) (sandbox.Process, error)
}

// ErrGitDir says that the private git directory is of no use any more, or not
// for committing. The work is in the tree still: import what commits there are,
// if that works; close the sandbox, call [Workspace.Rescue], start another with
// the new [Workspace.Mounts], and commit and import there.
var ErrGitDir = errors.New("the agent's private git directory is unusable")

// Message is a commit message, before its trailers.
type Message struct {
	Subject string
	Body    string
	// Agent names who did the work in the trailer; empty means the agent's name.
	Agent string
	// CoAuthor, such as "Name <address>", becomes a Co-authored-by trailer.
	CoAuthor string
}

// text is the message as git stores it.
func (m Message) text(name string) string {
	var b strings.Builder
	b.WriteString(firstOf(oneLine(m.Subject), "work of agent "+name) + "\n\n")
	if body := strings.TrimSpace(strings.ReplaceAll(m.Body, "\x00", "")); body != "" {
		b.WriteString(body + "\n\n")
	}
	b.WriteString("Agent: " + firstOf(oneLine(m.Agent), name) + "\n")
	if m.CoAuthor != "" {
		b.WriteString("Co-authored-by: " + oneLine(m.CoAuthor) + "\n")
	}
	return b.String()
}

func oneLine(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(s, "\x00", "")), " ")
}

// CommitResult says what a commit inside did.
type CommitResult struct {
	// Changed is set when there was something to commit.
	Changed bool
	// Notices are what git had to say of files it left out.
	Notices []string
	// Outside are the first paths that were left uncommitted because they are
	// outside the scope, and OutsideCount is how many there are. The import
	// holds them.
	Outside      []string
	OutsideCount int
}

// Commit commits what is in the tree, by git inside the sandbox: as the user,
// hooks off, agent configuration left out. It fails with ErrGitDir when the
// agent ruined its git directory.
func (w *Workspace) Commit(ctx context.Context, box Execer, msg Message) (CommitResult, error) {
	g := &insideGit{box: box, dir: w.rec.Dir, env: w.insideEnv()}
	var result CommitResult
	stderr, err := w.stage(ctx, g)
	if err != nil {
		return result, err
	}
	if stderr != "" {
		result.Notices = append(result.Notices, stderr)
	}
	left, err := w.park(ctx, g)
	if err != nil {
		return result, err
	}
	if left != nil {
		result.Outside, result.OutsideCount = left.paths, left.count
	}
	exit, stderr, err := g.run(ctx, "", "diff-index", "--cached", "--quiet", "HEAD", "--")
	switch {
	case err != nil:
		return result, err
	case exit > 1:
		return result, g.ruined("diff-index", exit, stderr)
	case exit == 1:
		result.Changed = true
		exit, stderr, err := g.run(ctx, msg.text(w.rec.Name), "commit", "-q", "--no-verify", "--cleanup=verbatim", "-F", "-")
		if err != nil {
			return result, err
		}
		if exit != 0 {
			return result, g.ruined("commit", exit, stderr)
		}
	}
	// The agent may have left its branch; what it ends on is what it made.
	exit, stderr, err = g.run(ctx, "", "update-ref", "--no-deref", headCopy, "HEAD")
	if err != nil {
		return result, err
	}
	if exit != 0 {
		return result, g.ruined("update-ref", exit, stderr)
	}
	return result, w.snapshot(ctx, g, left)
}

// headCopy is the ref inside that holds what HEAD was at the last commit: a
// fetch can ask for it by pattern, which it cannot for HEAD.
const headCopy = "refs/agent-process/head"

// stage adds everything to the index. A lock that a killed git left behind is
// removed.
func (w *Workspace) stage(ctx context.Context, g *insideGit) (notice string, err error) {
	add := []string{"add", "-A", "--ignore-errors", "--", ".", ":(exclude,glob)**/.claude", ":(exclude,glob)**/.claude/**"}
	left, err := w.leftOut(ctx, g)
	if err != nil {
		return "", err
	}
	if left != "" {
		add = append(add, ":(exclude,glob,icase)**/.gitmodules")
	}
	for try := 1; ; try++ {
		exit, stderr, err := g.run(ctx, "", add...)
		switch {
		case err != nil:
			return "", err
		case exit == 0:
			return left, nil
		case exit == 1: // some files could not be added, the others were
			return strings.TrimSpace(left + "\n" + stderr), w.checkWrites(ctx, g, stderr)
		case try == 3:
			return "", g.ruined("add", exit, stderr)
		case w.rec.Rescues > 0 && strings.Contains(stderr, "working-tree-encoding"):
			// Files as they are, since they are not what .gitattributes calls them.
			_, _, err = g.exec(ctx, "* !working-tree-encoding\n", "tee", w.rec.Dir+"/.git/info/attributes")
		case !strings.Contains(stderr, "index.lock"):
			return "", g.ruined("add", exit, stderr)
		case try == 1: // somebody inside may just be at work
			err = pause(ctx, 500*time.Millisecond)
		case try == 2:
			_, _, err = g.exec(ctx, "", "rm", "-f", w.rec.Dir+"/.git/index.lock")
		}
		if err != nil {
			return "", err
		}
	}
}

// leftOut says what a rescue does without: a .gitmodules that git refuses is
// one of the things that make commits useless, and would again.
func (w *Workspace) leftOut(ctx context.Context, g *insideGit) (notice string, err error) {
	if w.rec.Rescues == 0 {
		return "", nil
	}
	exit, _, err := g.run(ctx, "", "ls-files", "--error-unmatch", "-m", "-o", "--", ":(glob,icase)**/.gitmodules")
	if err != nil || exit != 0 {
		return "", err
	}
	return "changes to .gitmodules were left out", nil
}

// checkWrites tells files that cannot be added, such as a repository without a
// commit, from objects that cannot be written.
func (w *Workspace) checkWrites(ctx context.Context, g *insideGit, complaint string) error {
	probe := "can objects be written? " + w.repo.cfg.Now().String() + complaint
	exit, stderr, err := g.run(ctx, probe, "hash-object", "-w", "--stdin")
	if err == nil && exit != 0 {
		err = g.ruined("hash-object", exit, stderr)
	}
	return err
}

// insidePath is the PATH of programs that we run inside.
const insidePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// insideEnv is the environment of git inside. Nothing there can harm the host;
// it keeps a poisoned configuration from spoiling the commit.
func (w *Workspace) insideEnv() []string {
	id := w.repo.Identity()
	date := strconv.FormatInt(w.repo.cfg.Now().Unix(), 10) + " " + id.Zone
	env := []string{
		"PATH=" + insidePath, "HOME=/nonexistent", "LC_ALL=C",
		"GIT_DIR=" + w.rec.Dir + "/.git", "GIT_WORK_TREE=" + w.rec.Dir,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0", "GIT_EDITOR=true", "GIT_NO_REPLACE_OBJECTS=1",
		"GIT_AUTHOR_NAME=" + id.Name, "GIT_AUTHOR_EMAIL=" + id.Email, "GIT_AUTHOR_DATE=" + date,
		"GIT_COMMITTER_NAME=" + id.Name, "GIT_COMMITTER_EMAIL=" + id.Email, "GIT_COMMITTER_DATE=" + date,
	}
	return append(env, configEnv(map[string]string{
		"core.hooksPath": "/dev/null", "core.fsmonitor": "false", "core.bare": "false", "core.sparseCheckout": "false",
		"commit.gpgSign": "false", "gc.auto": "0", "maintenance.auto": "false", "safe.directory": "*",
		"advice.addEmbeddedRepo": "false", "protocol.allow": "never", "core.attributesFile": "/dev/null",
	})...)
}

// insideGit runs git inside a sandbox.
type insideGit struct {
	box Execer
	dir string
	env []string
}

// maxComplaint bounds what is kept of the stderr of a program inside.
const maxComplaint = 4 << 10

// run runs git and gives its exit status and what it complained of.
func (g *insideGit) run(ctx context.Context, stdin string, args ...string) (int, string, error) {
	return g.exec(ctx, stdin, append([]string{"git"}, args...)...)
}

func (g *insideGit) exec(ctx context.Context, stdin string, argv ...string) (int, string, error) {
	return g.pipe(ctx, stdin, io.Discard, argv...)
}

// pipe is exec for programs whose output is wanted; it is the agent's.
func (g *insideGit) pipe(ctx context.Context, stdin string, stdout io.Writer, argv ...string) (int, string, error) {
	complaint := &head{limit: maxComplaint}
	cmd := sandbox.Command{Argv: argv, Env: g.env, Dir: g.dir, Stdout: stdout, Stderr: complaint}
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	p, err := g.box.Exec(ctx, cmd)
	if err != nil {
		return 0, "", fmt.Errorf("run %q inside: %w", argv, err)
	}
	exit, err := p.Wait()
	if err != nil {
		return 0, "", fmt.Errorf("run %q inside: %w", argv, err)
	}
	if ctx.Err() != nil {
		return 0, "", context.Cause(ctx)
	}
	return exit.Code, complaint.String(), nil
}

// ruined is the error for a git directory that git inside cannot work with.
func (g *insideGit) ruined(what string, exit int, stderr string) error {
	return fmt.Errorf("git %s inside ended with %d, saying %q: %w", what, exit, stderr, ErrGitDir)
}

// head keeps the first bytes written to it and drops the rest.
type head struct {
	buf   bytes.Buffer
	limit int
}

// Write implements io.Writer.
func (h *head) Write(p []byte) (int, error) {
	if room := h.limit - h.buf.Len(); room > 0 {
		h.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// String is what was kept, trimmed.
func (h *head) String() string { return strings.TrimSpace(h.buf.String()) }

// Rescue puts a fresh private git directory, at the last published commit, in
// the place of one that the agent ruined. The sandbox must be closed; the tree
// is as it was, and Mounts give the new state.
func (w *Workspace) Rescue(ctx context.Context) error {
	// Saved first: should this process die here, a number is skipped at most.
	err := w.update(func(r *record) {
		r.Rescues++
		r.Private = privateName + "-" + strconv.Itoa(r.Rescues)
	})
	if err != nil {
		return err
	}
	index := w.path("index-" + strconv.Itoa(w.rec.Rescues))
	c := w.quarantine("read-tree", w.Tip())
	c.index = index
	if _, err := w.repo.git.run(ctx, c); err != nil {
		return fmt.Errorf("rescue the work of %q: %w", w.rec.Name, err)
	}
	if err := w.makePrivate(ctx, index); err != nil {
		return fmt.Errorf("rescue the work of %q: %w", w.rec.Name, err)
	}
	return nil
}
