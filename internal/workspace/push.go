package workspace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"agentprocess/internal/execx"
	"agentprocess/internal/sandbox"
)

// pushedName is below refs/agents/<name>/: what was pushed, by remote.
const pushedName = "pushed"

// PushOptions say where Push brings a branch.
type PushOptions struct {
	Name   string
	Remote string // as Remotes names it
	// Hooks has the person's pre-push hook run.
	Hooks bool
}

// Pushed says what Push did.
type Pushed struct {
	Branch string `json:"branch"`
	Remote string `json:"remote"`
	Tip    string `json:"tip"`
	// Updated is set when the remote did not have it.
	Updated bool `json:"updated"`
	// Own counts commits of the person's that went along, because the agent
	// started from them and the remote did not have them.
	Own int `json:"own_commits,omitempty"`
	// Hooks are the person's own that were not run.
	Hooks []string `json:"hooks_not_run,omitempty"`
}

// Push brings an agent's branch to a remote, with the person's own git: their
// configuration, credentials and terminal. What is overwritten there is at most
// what an earlier Push brought.
func (r *Repository) Push(ctx context.Context, o PushOptions) (Pushed, error) {
	out := Pushed{Branch: Branch(o.Name), Remote: o.Remote}
	base, tip, err := r.Ends(ctx, o.Name)
	if err != nil {
		return out, err
	}
	if out.Tip = tip; tip == base {
		return out, sandbox.Fail(sandbox.CodeNotFound, fmt.Errorf("%s has nothing to push: it is where the agent started", out.Branch), "")
	}
	if r.git.cred != nil {
		return out, sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("%q belongs to somebody else, whose credentials a push needs", r.CommonDir), "run this as the owner")
	}
	own, err := r.git.line(ctx, r.common("rev-list", "--count", base, "--not", "--remotes="+o.Remote))
	if err != nil {
		return out, fmt.Errorf("compare with %s: %w", o.Remote, err)
	}
	if _, err := fmt.Sscan(own, &out.Own); err != nil {
		return out, err
	}
	if !o.Hooks {
		out.Hooks = r.ownHooks("pre-push")
	}
	mark := pinPrefix(o.Name) + pushedName + "/" + o.Remote
	refs, err := r.refs(ctx, mark)
	if err != nil {
		return out, err
	}
	answer, err := r.pushAs(ctx, o, tip, "")
	if err == nil && strings.HasPrefix(answer, "!") && refs[mark] != "" { // the agent rewrote what was pushed
		answer, err = r.pushAs(ctx, o, tip, refs[mark])
	}
	if err == nil && strings.HasPrefix(answer, "!") {
		_, why, _ := strings.Cut(answer, "\t[")
		err = sandbox.Fail(sandbox.CodeConflict, fmt.Errorf("push %s: %s does not take it: [%s", out.Branch, o.Remote, why),
			"somebody else may have moved that branch there: git fetch "+shellQuote(o.Remote)+" "+out.Branch)
	}
	if err != nil {
		return out, err
	}
	out.Updated = !strings.HasPrefix(answer, "=")
	if refs[mark] == tip {
		return out, nil
	}
	return out, r.updateRefs(ctx, "agent-process: push "+out.Branch, "update "+mark+" "+tip+"\n")
}

// pushAs runs the person's git, and gives what it says of the branch: a mark,
// "!" when the remote does not take it, and the reason at the end.
func (r *Repository) pushAs(ctx context.Context, o PushOptions, tip, before string) (string, error) {
	ref := branchRef(o.Name)
	args := []string{"git", "push", "--porcelain", "--no-follow-tags", "--recurse-submodules=no"}
	if !o.Hooks {
		args = append(args, "--no-verify")
	}
	if before != "" {
		args = append(args, "--force-with-lease="+ref+":"+before)
	}
	env := slices.DeleteFunc(userEnviron(r.cfg.Environ), func(kv string) bool { return strings.HasPrefix(kv, "GIT_TERMINAL_PROMPT=") })
	out, err := execx.Output(ctx, execx.Cmd{
		Argv: append(args, "--", o.Remote, tip+":"+ref), Dir: firstOf(r.Here, r.GitDir), Env: env,
	})
	var answer string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, ":"+ref+"\t") {
			answer = strings.TrimSpace(line)
		}
	}
	if e, failed := errors.AsType[*execx.RunError](err); failed && !strings.HasPrefix(answer, "!") {
		return "", sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("push %s to %s: git ended with %d: %s", Branch(o.Name), o.Remote, e.Exit, e.Stderr),
			"see what your own git says: git push "+shellQuote(o.Remote)+" "+Branch(o.Name))
	}
	if strings.HasPrefix(answer, "!") {
		err = nil
	}
	return answer, err
}

// Remote is a repository that the person pushes to.
type Remote struct {
	Name string
	URL  string // as configured
	Push string // where git pushes, after insteadOf and the like
}

// Remotes are those of the repository, the one that a push would take first.
func (r *Repository) Remotes(ctx context.Context) ([]Remote, error) {
	out, err := r.asUser(ctx, firstOf(r.Here, r.GitDir), "remote")
	if err != nil {
		return nil, fmt.Errorf("list the remotes: %w", err)
	}
	names := strings.Fields(string(out))
	branch := strings.TrimPrefix(headRef(r.GitDir), "refs/heads/")
	for _, name := range []string{
		"origin", r.settings.value("branch." + branch + ".remote"), r.settings.value("remote.pushdefault"), r.settings.value("branch." + branch + ".pushremote"),
	} {
		if at := slices.Index(names, name); at > 0 {
			names = slices.Insert(slices.Delete(names, at, at+1), 0, name)
		}
	}
	list := make([]Remote, len(names))
	for i, name := range names {
		url, err := r.asUser(ctx, firstOf(r.Here, r.GitDir), "remote", "get-url", "--push", "--", name)
		if err != nil {
			return nil, fmt.Errorf("where is the remote %q: %w", name, err)
		}
		list[i] = Remote{Name: name, URL: r.settings.value("remote." + name + ".url"), Push: strings.TrimSpace(string(url))}
	}
	return list, nil
}

// RemoteBase is the branch of a remote that what is checked out here follows,
// if there is one, else the one that the remote calls its own; empty when
// neither is known.
func (r *Repository) RemoteBase(ctx context.Context, remote string) (string, error) {
	prefix := "refs/remotes/" + remote + "/"
	branch := strings.TrimPrefix(headRef(r.GitDir), "refs/heads/")
	refs, err := r.refs(ctx, prefix+branch)
	if err != nil {
		return "", err
	}
	if refs[prefix+branch] != "" && !strings.HasPrefix(branch, sandbox.BranchPrefix) {
		return branch, nil
	}
	head, err := r.git.line(ctx, r.common("symbolic-ref", "-q", prefix+"HEAD"))
	if execx.ExitCode(err) == 1 {
		return "", nil
	}
	return strings.TrimPrefix(head, prefix), err
}
