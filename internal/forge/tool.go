package forge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"agentprocess/internal/execx"
)

// Request is what is to be opened.
type Request struct {
	Place  Place  // where it is opened
	Fork   Place  // where the branch is, if that is another repository
	Branch string // which was pushed
	Base   string // the branch that it is for; empty is the server's choice
	Title  string
	Body   string
	Draft  bool
}

// head names the branch as gh wants it.
func (r Request) head() string {
	if r.Fork.Path != "" && r.Fork != r.Place {
		return r.Fork.Owner() + ":" + r.Branch
	}
	return r.Branch
}

// Tool is the person's gh or glab.
type Tool struct {
	Name string // "gh" or "glab"
	path string
	dir  string // where it runs
	env  []string
}

// Find gives the tool that the person has for a place; nil when there is none.
// Of a host that does not say by its name what it is, each tool is asked whether
// the person is logged in there.
func Find(ctx context.Context, p Place, dir string, environ []string) *Tool {
	names := map[Kind][]string{GitHub: {"gh"}, GitLab: {"glab"}, Unknown: {"gh", "glab"}}[p.Kind()]
	for _, name := range names {
		path, ok := execx.LookPath(name, pathOf(environ))
		if !ok {
			continue
		}
		t := &Tool{Name: name, path: path, dir: dir, env: append(slices.Clip(environ),
			"GH_PROMPT_DISABLED=1", "GH_NO_UPDATE_NOTIFIER=1", "NO_PROMPT=1", "GLAB_CHECK_UPDATE=false", "NO_COLOR=1", "PAGER=cat")}
		if p.Kind() != Unknown {
			return t
		}
		if _, err := t.run(ctx, "", "auth", "status", "--hostname", p.Host); err == nil {
			return t
		}
	}
	return nil
}

// pathOf is PATH of an environment.
func pathOf(environ []string) string {
	for _, kv := range environ {
		if value, ok := strings.CutPrefix(kv, "PATH="); ok {
			return value
		}
	}
	return ""
}

// Existing is the address of the open request of a branch; empty when there is
// none.
func (t *Tool) Existing(ctx context.Context, r Request) (string, error) {
	args := []string{"pr", "list", "--repo", r.Place.String(), "--head", r.Branch, "--state", "open", "--json", "url,headRepositoryOwner", "--limit", "30"}
	if t.Name == "glab" {
		args = []string{"mr", "list", "--repo", r.Place.String(), "--source-branch", r.Branch, "--output", "json"}
	}
	out, err := t.run(ctx, "", args...)
	if err != nil {
		return "", err
	}
	var list []struct {
		URL   string `json:"url"`
		Web   string `json:"web_url"`
		Owner struct {
			Login string `json:"login"`
		} `json:"headRepositoryOwner"`
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return "", fmt.Errorf("%s: its answer is not understood: %w", t.Name, err)
	}
	owner := r.Place.Owner()
	if r.Fork.Path != "" {
		owner = r.Fork.Owner()
	}
	for _, q := range list {
		if q.Owner.Login == "" || strings.EqualFold(q.Owner.Login, owner) {
			return firstURL(q.URL + "\n" + q.Web), nil
		}
	}
	return "", nil
}

// Open opens a request and gives its address.
func (t *Tool) Open(ctx context.Context, r Request) (string, error) {
	args := []string{"pr", "create", "--repo", r.Place.String(), "--head", r.head(), "--title=" + r.Title, "--body-file", "-"}
	base, body := "--base=", r.Body
	if t.Name == "glab" {
		args = []string{"mr", "create", "--repo", r.Place.String(), "--source-branch", r.Branch, "--title=" + r.Title, "--description=" + r.Body, "--yes"}
		base, body = "--target-branch=", ""
		if r.Fork.Path != "" && r.Fork != r.Place {
			args = append(args, "--head", r.Fork.Path)
		}
	}
	if r.Base != "" {
		args = append(args, base+r.Base)
	}
	if r.Draft {
		args = append(args, "--draft")
	}
	out, err := t.run(ctx, body, args...)
	if err != nil {
		return "", err
	}
	at := firstURL(string(out))
	if at == "" {
		return "", errors.New(t.Name + " opened it, and did not say where")
	}
	return at, nil
}

// run runs the tool; an error has what it complained of, without the text that
// it was given.
func (t *Tool) run(ctx context.Context, stdin string, args ...string) ([]byte, error) {
	out, err := execx.Output(ctx, execx.Cmd{Argv: append([]string{t.path}, args...), Dir: t.dir, Env: t.env, Stdin: strings.NewReader(stdin)})
	if e, ok := errors.AsType[*execx.RunError](err); ok {
		said := e.Stderr
		if said == "" {
			said = strings.TrimSpace(string(out))
		}
		return nil, fmt.Errorf("%s %s %s ended with %d: %s", t.Name, args[0], args[1], e.Exit, said)
	}
	return out, err
}

// firstURL finds the address in what a tool printed.
func firstURL(text string) string {
	for word := range strings.FieldsSeq(text) {
		if u, err := url.Parse(word); err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" {
			return word
		}
	}
	return ""
}
