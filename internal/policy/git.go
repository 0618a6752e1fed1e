package policy

import (
	"fmt"
	"slices"
	"strings"
)

// The methods that are told apart; net/http stays out of this package.
const (
	methodGet  = "GET"
	methodHead = "HEAD"
	methodPost = "POST"
)

// gitKind is what a request does to a repository.
type gitKind int

const (
	gitNone gitKind = iota // it is none of git's
	gitReadOp
	gitWriteOp
)

// gitOp is a request of git, of Git LFS, or for what a forge makes of a
// repository for downloading.
type gitOp struct {
	kind  gitKind
	repos []string // the repository's path, in each reading
	what  string   // "fetch", "push", "LFS upload" and so on
}

// gitOp finds what git operation the request is, in every reading the same.
func (a *ask) gitOp() gitOp {
	var op gitOp
	for i, path := range a.paths {
		repo, kind, what := a.gitOf(path)
		repo = strings.TrimSuffix(repo, ".git")
		if kind == gitNone || strings.Count(repo, "/") == 0 || i > 0 && kind != op.kind {
			return gitOp{}
		}
		op.kind, op.what = kind, what
		op.repos = append(op.repos, repo)
	}
	return op
}

const (
	lfsPart  = "/info/lfs/"
	lfsBatch = "objects/batch"
)

// gitOf takes a path apart. Smart HTTP (gitprotocol-http) has three paths;
// what of it is a push is said by the service.
func (a *ask) gitOf(path string) (repo string, kind gitKind, what string) {
	if repo, ok := strings.CutSuffix(path, "/info/refs"); ok {
		switch {
		case a.Method != methodGet:
			return repo, gitNone, ""
		case a.Query == "service=git-upload-pack":
			return repo, gitReadOp, "fetch"
		case a.Query == "service=git-receive-pack":
			return repo, gitWriteOp, "push"
		}
		return repo, gitNone, ""
	}
	if repo, ok := strings.CutSuffix(path, "/git-upload-pack"); ok {
		return repo, when(a.Method == methodPost, gitReadOp), "fetch"
	}
	if repo, ok := strings.CutSuffix(path, "/git-receive-pack"); ok {
		return repo, when(a.Method == methodPost, gitWriteOp), "push"
	}
	if repo, rest, ok := strings.Cut(path, lfsPart); ok {
		kind, what = a.lfs(rest)
		return repo, kind, what
	}
	if !a.reads() {
		return "", gitNone, ""
	}
	for _, part := range []string{"/-/releases/", "/-/archive/", "/-/raw/", "/releases/download/", "/archive/", "/raw/", "/zipball/", "/tarball/"} {
		if repo, _, ok := strings.Cut(path, part); ok {
			return repo, gitReadOp, "download"
		}
	}
	return "", gitNone, ""
}

// lfs judges a request to a Git LFS server (git-lfs docs/api). A batch that is
// not surely a download is an upload.
func (a *ask) lfs(rest string) (gitKind, string) {
	switch {
	case a.Method == methodPost && rest == lfsBatch && a.LFS == "download":
		return gitReadOp, "LFS download"
	case a.reads():
		return gitReadOp, "LFS download"
	}
	return gitWriteOp, "LFS upload"
}

// LFSBatch reports whether a request is a Git LFS batch, whose body says what
// it is about.
func (q Request) LFSBatch() bool {
	return q.Method == methodPost && strings.HasSuffix(q.Path, lfsPart+lfsBatch)
}

func (a *ask) reads() bool { return a.Method == methodGet || a.Method == methodHead }

func when(ok bool, kind gitKind) gitKind {
	if ok {
		return kind
	}
	return gitNone
}

// gitMisses holds the request against a rule with a git permission.
func (a *ask) gitMisses(r *Rule) closeness {
	switch {
	case a.op.kind == gitNone:
		return missGit
	case r.Path != "" && slices.ContainsFunc(a.op.repos, func(repo string) bool { return !matchGlob(strings.TrimSuffix(r.Path, ".git"), repo) }):
		return missPath
	case a.op.kind == gitWriteOp && r.Git != GitWrite:
		return missGit
	}
	return fits
}

// gitDenied reports whether a deny rule with a git permission is about the
// request: git:write is pushing alone, git:read all of git.
func (a *ask) gitDenied(r *Rule) bool {
	switch {
	case !a.plain:
		return true
	case a.op.kind == gitNone, r.Git == GitWrite && a.op.kind != gitWriteOp:
		return false
	}
	glob := strings.ToLower(strings.TrimSuffix(r.Path, ".git"))
	return glob == "" || slices.ContainsFunc(a.op.repos, func(repo string) bool { return matchGlob(glob, strings.ToLower(repo)) })
}

func (a *ask) gitReason(m miss) string {
	if a.op.kind == gitNone {
		return fmt.Sprintf("%s %s on %q is none of the requests that git makes, and the rule is %s", a.Method, quote(a.Path), a.Host, m.rule.Cite())
	}
	return fmt.Sprintf("a git %s to %s on %q needs git:write, and the rule is %s", a.op.what, quote(a.op.repos[0]), a.Host, m.rule.Cite())
}
