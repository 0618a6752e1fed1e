package forge

import (
	"net/url"
	"path"
	"strings"
)

// Place is a repository on a server.
type Place struct {
	Host string // without port
	Path string // such as "acme/project"
}

// Parse reads the URL of a remote in any form that git takes. A path on this
// machine is no place.
func Parse(remote string) (Place, bool) {
	var host, where string
	if u, err := url.Parse(remote); err == nil && u.Scheme != "" && u.Host != "" {
		host, where = u.Hostname(), u.Path
	} else if before, after, found := strings.Cut(remote, ":"); found && !strings.ContainsAny(before, "/\\") && !strings.HasPrefix(after, "//") {
		host, where = before[strings.LastIndexByte(before, '@')+1:], after // user@host:path
	}
	where = strings.TrimSuffix(strings.Trim(path.Clean("/"+where), "/"), ".git")
	if host == "" || where == "" || strings.HasPrefix(host, "-") {
		return Place{}, false
	}
	return Place{Host: strings.ToLower(host), Path: where}, true
}

// Owner is who the repository belongs to.
func (p Place) Owner() string { return path.Dir(p.Path) }

// String names the repository as gh and glab take it.
func (p Place) String() string { return p.Host + "/" + p.Path }

// Kind is what software a server runs.
type Kind string

// The kinds that are known.
const (
	GitHub    Kind = "github"
	GitLab    Kind = "gitlab"
	Bitbucket Kind = "bitbucket"
	Unknown   Kind = ""
)

// Kind guesses by the name of the host.
func (p Place) Kind() Kind {
	for _, k := range []Kind{GitHub, GitLab, Bitbucket} {
		if strings.Contains(p.Host, string(k)) {
			return k
		}
	}
	return Unknown
}

// Compare is the page where a person opens a request by hand; empty when it is
// not known where that is.
func (p Place) Compare(base, branch string) string {
	site := url.URL{Scheme: "https", Host: p.Host, Path: "/" + p.Path}
	switch p.Kind() {
	case GitHub:
		site = *site.JoinPath("compare", base+"..."+branch)
		site.RawQuery = "expand=1"
	case GitLab:
		site = *site.JoinPath("-", "merge_requests", "new")
		site.RawQuery = url.Values{"merge_request[source_branch]": {branch}, "merge_request[target_branch]": {base}}.Encode()
	case Bitbucket:
		site = *site.JoinPath("pull-requests", "new")
		site.RawQuery = url.Values{"source": {branch}, "dest": {base}}.Encode()
	default:
		return ""
	}
	return site.String()
}

// Shown is a remote's URL without what is secret in it.
func Shown(remote string) string {
	u, err := url.Parse(remote)
	if err != nil || u.User == nil {
		return remote
	}
	if _, secret := u.User.Password(); secret || u.Scheme != "ssh" {
		u.User = nil
	}
	return u.String()
}
