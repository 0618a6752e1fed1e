package toolpolicy

import (
	"fmt"
	"net/url"
	"path"
	"strings"
)

// location is a URL as far as rules see it.
type location struct {
	text               string
	scheme, host, port string
	path               string // begins with "/", decoded and clean
}

// urlGlob is a pattern for URLs: [scheme://]host[:port][/path].
type urlGlob struct {
	scheme, host, port string
	path               string // "" means any
}

// parseURL reads a pattern for URLs.
func parseURL(s string) (urlGlob, error) {
	var u urlGlob
	rest := strings.ToLower(s)
	if scheme, after, ok := strings.Cut(rest, "://"); ok {
		u.scheme, rest = scheme, after
	}
	host, after, hasPath := strings.Cut(rest, "/")
	if hasPath {
		u.path = s[len(s)-len(after)-1:] // in its own case
	}
	u.host = host
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		u.host, u.port = host[:i], host[i+1:]
	}
	for _, part := range []string{u.scheme, u.host, u.port, u.path} {
		if err := checkGlob(part); err != nil {
			return u, err
		}
	}
	if u.host == "" {
		return u, fmt.Errorf("%q names no host: write \"*/path\" for any", s)
	}
	return u, nil
}

// matches says whether the pattern is for l. A host *.example.com is every
// name below example.com, at any depth, and not that name itself.
func (u urlGlob) matches(l location) bool {
	part := func(pattern, s string) bool {
		return pattern == "" || glob(pattern).matches(s)
	}
	if !part(u.scheme, l.scheme) || !part(u.port, l.port) || !glob(u.host).matches(l.host) {
		return false
	}
	p := strings.TrimSuffix(u.path, "/")
	return p == "" || glob(p).matches(l.path) || glob(p+"/").matches(l.path)
}

// parseLocation reads a URL, also in the forms that curl and git take without
// a scheme.
func parseLocation(s string) (location, bool) {
	s = strings.TrimSpace(s)
	text := s
	if !strings.Contains(s, "://") {
		if host, p, ok := strings.Cut(s, ":"); ok && strings.Contains(host, "@") && !strings.HasPrefix(p, "//") {
			s = "ssh://" + host + "/" + strings.TrimPrefix(p, "/") // git@host:path
		} else {
			s = "http://" + strings.TrimLeft(s, "/")
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" {
		return location{text: text}, false
	}
	l := location{text: text, scheme: strings.ToLower(u.Scheme), host: strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), port: u.Port()}
	if l.port == "" {
		l.port = map[string]string{"http": "80", "https": "443", "ssh": "22", "git": "9418", "ftp": "21"}[l.scheme]
	}
	l.path = path.Clean("/" + u.Path)
	return l, true
}
