package service

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"agentprocess/internal/forge"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/term"
	"agentprocess/internal/workspace"
)

// PROptions say what PR is to do. What is empty is found out.
type PROptions struct {
	Name   string
	Remote string
	Base   string
	Title  string
	Draft  bool
	// Hooks has the person's pre-push hook run.
	Hooks bool
}

// PR is an agent's branch on a remote, and the request that was opened for it.
type PR struct {
	workspace.Pushed
	Name string `json:"name"`
	// At is the remote's URL, without what is secret in it.
	At   string `json:"at"`
	Base string `json:"base,omitempty"`
	// URL is that of the request; empty when nothing here could open one.
	URL string `json:"url,omitempty"`
	// Existed is set when there was one already: the push has updated it.
	Existed bool   `json:"existed,omitempty"`
	Tool    string `json:"tool,omitempty"`
	// Next is what a person does to open it.
	Next    string           `json:"next,omitempty"`
	Stat    sandbox.DiffStat `json:"stat"`
	Flagged []workspace.Flag `json:"flagged"`
	Running bool             `json:"running,omitempty"`
	Held    []string         `json:"held,omitempty"`
}

// PR pushes an agent's branch, with the person's own git, and opens a request
// for it, with their gh or glab. Again, it pushes what is new.
func (s *Service) PR(ctx context.Context, dir string, o PROptions) (PR, error) {
	out := PR{Name: o.Name}
	repo, run, home, err := s.homeward(ctx, dir, o.Name)
	if err != nil {
		return out, err
	}
	out.Running, out.Held = home.Running, home.Held
	work, err := repo.Work(ctx, o.Name)
	if err != nil {
		return out, err
	}
	out.Stat, out.Flagged = work.Stat, work.Flagged
	remotes, err := remotesFor(ctx, repo, o.Remote)
	if err != nil {
		return out, err
	}
	remote := remotes[0]
	out.At = forge.Shown(remote.Push)
	request := forge.Request{Branch: workspace.Branch(o.Name), Draft: o.Draft}
	request.Place, request.Fork = places(remotes)
	if out.Base = o.Base; out.Base == "" {
		if out.Base, err = repo.RemoteBase(ctx, remote.Name); err != nil {
			return out, err
		}
	}
	request.Base = out.Base
	if out.Pushed, err = repo.Push(ctx, workspace.PushOptions{Name: o.Name, Remote: remote.Name, Hooks: o.Hooks}); err != nil {
		return out, err
	}
	said, err := s.Store.LastSaid(ctx, run.ID)
	if err != nil {
		return out, err
	}
	request.Title, request.Body = requestText(o, run, work, said)
	return out, s.openRequest(ctx, repo, request, &out)
}

// openRequest opens the request, or says how a person does.
func (s *Service) openRequest(ctx context.Context, repo *workspace.Repository, r forge.Request, out *PR) error {
	byHand := "open a pull request of " + r.Branch + " at " + out.At
	if r.Place.Path != "" {
		if page := r.Place.Compare(r.Base, r.Branch); page != "" {
			byHand = page
		}
	}
	out.Next = byHand
	if r.Place.Path == "" {
		return nil
	}
	top := repo.Here
	if top == "" {
		top = repo.CommonDir
	}
	tool := forge.Find(ctx, r.Place, top, s.Environ)
	if tool == nil {
		return nil
	}
	out.Tool = tool.Name
	var err error
	if out.URL, err = tool.Existing(ctx, r); err == nil && out.URL == "" {
		out.URL, err = tool.Open(ctx, r)
	} else {
		out.Existed = err == nil
	}
	if err != nil {
		return sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("%s is pushed; open the request: %w", r.Branch, err), "try again, or by hand: "+byHand)
	}
	out.Next = ""
	return nil
}

// remotesFor puts the remote that was asked for, or that git would push to,
// before the others.
func remotesFor(ctx context.Context, repo *workspace.Repository, name string) ([]workspace.Remote, error) {
	list, err := repo.Remotes(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(list))
	for i, r := range list {
		names[i] = r.Name
	}
	switch at := slices.Index(names, name); {
	case len(list) == 0:
		return nil, sandbox.Fail(sandbox.CodeRepository, fmt.Errorf("%q has no remote to push to", repo.Top),
			"nothing was pushed; git remote add origin URL makes one, `agent-process merge` does without")
	case name != "" && at < 0:
		return nil, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("there is no remote %q", name), "there are: "+strings.Join(names, ", "))
	case at > 0:
		list = slices.Insert(slices.Delete(slices.Clone(list), at, at+1), 0, list[at])
	}
	return list, nil
}

// places are where the request is opened, and where its branch is: a remote
// called upstream, beside the one that is pushed to, is what that is a fork of.
func places(remotes []workspace.Remote) (place, fork forge.Place) {
	where := func(r workspace.Remote) forge.Place {
		if p, ok := forge.Parse(r.Push); ok {
			return p
		}
		p, _ := forge.Parse(r.URL) // what insteadOf leads elsewhere
		return p
	}
	fork = where(remotes[0])
	for _, r := range remotes[1:] {
		if p := where(r); r.Name == "upstream" && p.Host == fork.Host && p.Host != "" {
			return p, fork
		}
	}
	return fork, fork
}

// requestText is title and body of a request: the person's words as they are,
// and the agent's where they are nothing but text.
func requestText(o PROptions, run sandbox.Run, work workspace.Work, said string) (title, body string) {
	m := commitMessage(o.Name, run.Goal, "")
	if run.Goal == "" && len(work.Commits) == 1 {
		m.Subject = work.Commits[0].Subject
	}
	if o.Title != "" {
		m.Subject, m.Body = o.Title, strings.TrimSpace(run.Goal)
	}
	parts := []string{m.Body}
	if said != "" {
		parts = append(parts, "What the agent said of it:\n\n"+fenced(said))
	}
	var commits, flagged strings.Builder
	for _, c := range work.Commits {
		commits.WriteString(c.ID[:12] + " " + c.Subject + "\n")
	}
	for _, f := range work.Flagged {
		flagged.WriteString(f.Path + ": " + f.Reason + "\n")
	}
	if flagged.Len() > 0 {
		parts = append(parts, "Read these before you build, test or open it:\n\n"+fenced(flagged.String()))
	}
	parts = append(parts, "Commits:\n\n"+fenced(commits.String()))
	body = strings.TrimSpace(strings.Join(parts, "\n\n"))
	return term.Visible(m.Subject), term.VisibleLines(body) + "\n"
}

// maxFenced bounds what of an agent's text goes into a request.
const maxFenced = 16 << 10

// fenced makes text a block of code: mentions of people, words that close
// issues, images and hidden comments are nothing but text there.
func fenced(text string) string {
	if len(text) > maxFenced {
		text = strings.ToValidUTF8(text[:maxFenced], "") + "\n…"
	}
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence + "text\n" + strings.TrimRight(text, "\n") + "\n" + fence
}
