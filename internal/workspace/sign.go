package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"agentprocess/internal/execx"
)

// The bounds of signing what an agent made.
const (
	maxSigned = 500
	signTime  = time.Minute
)

// Signed says what became of commits that the person's git would have signed.
type Signed struct {
	// Tip is the end of the branch now; empty when nothing was signed.
	Tip     string
	Commits int
	// Why is why they are not signed, and Hint what signs them.
	Why, Hint string
}

// Sign signs what this run brought home, when the person's git is configured to
// sign commits: by their own git, with their key, after the inspection. The
// commits become others, on the same files; all of them or none. Call it after
// the last import.
func (w *Workspace) Sign(ctx context.Context) (Signed, error) {
	var out Signed
	tip := w.Tip()
	if !w.repo.signs() || tip == w.rec.Start.Commit {
		return out, nil
	}
	out.Hint = fmt.Sprintf("git rebase --force-rebase --gpg-sign %s %s", w.rec.Base.Commit[:12], Branch(w.rec.Name))
	if out.Why = w.repo.cannotSign(); out.Why != "" {
		return out, nil
	}
	err := w.repo.locked(ctx, func() error {
		refs, err := w.repo.refs(ctx, branchRef(w.rec.Name))
		if err != nil || refs[branchRef(w.rec.Name)] != tip {
			return err // somebody else's now
		}
		signing, cancel := context.WithTimeoutCause(ctx, signTime, fmt.Errorf("it took longer than %s", signTime))
		defer cancel()
		signed, n, err := w.repo.signAll(signing, w.rec.Name, tip, w.rec.Base.Commit, w.rec.Start.Commit)
		if err != nil {
			out.Why = firstOf(oneLine(causeOf(signing, err)), "it failed")
			return nil
		}
		if signed == tip {
			return nil
		}
		if err := w.update(func(r *record) { r.Signed = signed }); err != nil {
			return err
		}
		out.Tip, out.Commits = signed, n
		return w.repo.updateRefs(ctx, fmt.Sprintf("agent-process: sign %d commits of %s", n, w.rec.Name),
			"start\nupdate "+branchRef(w.rec.Name)+" "+signed+" "+tip+"\nupdate "+pinPrefix(w.rec.Name)+"imported "+signed+"\nprepare\ncommit\n")
	})
	return out, err
}

// causeOf is what a person should hear of an error.
func causeOf(ctx context.Context, err error) string {
	if cause := context.Cause(ctx); cause != nil {
		return cause.Error()
	}
	if e, ok := errors.AsType[*execx.RunError](err); ok && e.Stderr != "" {
		return e.Stderr
	}
	return err.Error()
}

// signs reports whether the person's git signs commits.
func (r *Repository) signs() bool {
	switch strings.ToLower(r.settings.value("commit.gpgsign")) {
	case "true", "yes", "on", "1":
		return true
	}
	return false
}

// cannotSign says why nothing is signed here. A program that is named by a path
// from where git happens to stand is one that an agent may have written.
func (r *Repository) cannotSign() string {
	if r.git.cred != nil {
		return "the repository belongs to somebody else, whose key it would be"
	}
	for _, key := range []string{"gpg.program", "gpg.openpgp.program", "gpg.x509.program", "gpg.ssh.program", "gpg.ssh.defaultkeycommand"} {
		program := r.settings.value(key)
		if strings.Contains(program, "/") && !filepath.IsAbs(program) && !strings.HasPrefix(program, "~/") {
			return fmt.Sprintf("%s is %q, which depends on where git stands", key, program)
		}
	}
	return ""
}

// signAll signs the commits of tip that neither olds nor the person's branches,
// tags and remotes have, parents first, and gives the last one.
func (r *Repository) signAll(ctx context.Context, name, tip string, olds ...string) (signed string, n int, err error) {
	args := []string{"rev-list", "--topo-order", "--reverse", "--parents", fmt.Sprintf("--max-count=%d", maxSigned+1), tip}
	for _, old := range olds {
		args = append(args, "^"+old)
	}
	out, err := r.git.run(ctx, r.common(append(args, "--not", "--exclude="+Branch(name), "--branches", "--tags", "--remotes", "--")...))
	if err != nil {
		return "", 0, err
	}
	list, err := parseCommits(out)
	if err != nil {
		return "", 0, err
	}
	if len(list) > maxSigned {
		return "", 0, fmt.Errorf("there are more than %d", maxSigned)
	}
	became := map[string]string{}
	for _, c := range list {
		parents := make([]string, len(c.parents))
		for i, p := range c.parents {
			parents[i] = firstOf(became[p], p)
		}
		if became[c.id], err = r.sign(ctx, c.id, parents); err != nil {
			return "", 0, err
		}
	}
	return firstOf(became[tip], tip), len(list), nil
}

// sign makes a commit again, on parents, with the person's signature.
func (r *Repository) sign(ctx context.Context, id string, parents []string) (string, error) {
	raw, err := r.git.run(ctx, r.common("cat-file", "commit", id))
	if err != nil {
		return "", err
	}
	head, message, _ := bytes.Cut(raw, []byte("\n\n"))
	env, encoding := identities(head)
	args := []string{"git", "--git-dir=" + r.CommonDir, "-c", "i18n.commitEncoding=" + firstOf(encoding, "UTF-8"), "commit-tree", "--gpg-sign", "-F", "-", id + "^{tree}"}
	for _, p := range parents {
		args = append(args, "-p", p)
	}
	user := slices.DeleteFunc(userEnviron(r.cfg.Environ), func(kv string) bool { return strings.HasPrefix(kv, "GPG_TTY=") }) // nobody sits there to be asked
	out, err := execx.Output(ctx, execx.Cmd{Argv: args, Dir: r.CommonDir, Env: append(user, env...), Stdin: bytes.NewReader(message)})
	return strings.TrimSpace(string(out)), err
}

// identities are the author and committer of a commit as git takes them from its
// environment, and the encoding of its message.
func identities(head []byte) (env []string, encoding string) {
	for line := range strings.Lines(string(head)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch key {
		case "encoding":
			encoding = value
		case "author", "committer":
			who, when, _ := strings.Cut(value, "> ")
			name, email, _ := strings.Cut(who, "<")
			prefix := "GIT_" + strings.ToUpper(key) + "_"
			env = append(env, prefix+"NAME="+strings.TrimSpace(name), prefix+"EMAIL="+email, prefix+"DATE=@"+when)
		}
	}
	return env, encoding
}
