package preset

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
)

// shape is what is read at a place.
type shape int

const (
	pages   shape = iota // requests by GET, at the URL and below it
	whole                // the same on all of the URL's host: packages stand elsewhere there
	gitRepo              // one git repository, to fetch from
	gitHost              // every repository at or below the URL
)

// Place is where packages are read from, as a line of an egress list.
type Place struct {
	line string
	host string
}

// Rule is the place as a line of an egress list.
func (p Place) Rule() string { return p.line }

// Host is the name of the place's host; empty for one that needs no finding.
func (p Place) Host() string { return p.host }

var (
	// errNoPlace is for what names no place on a network, such as a file.
	errNoPlace = errors.New("it is no http or https URL")
	errAddress = errors.New("it names an address, which no line of a list can; give it a name with --resolve NAME=ADDRESS and list that")
	errURL     = errors.New("it holds a URL that cannot be read")
)

// parsePlace makes a line of a URL. No error repeats the URL: it may hold a
// password.
func parsePlace(raw string, as shape) (Place, error) {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return Place{}, errNoPlace
	case err != nil:
		return Place{}, errURL
	case u.Scheme != "https" && u.Scheme != "http":
		return Place{}, errNoPlace
	}
	host := strings.ToLower(u.Hostname())
	if _, err := netip.ParseAddr(host); err == nil {
		return Place{}, errAddress
	}
	if host == "" || strings.ContainsAny(host, "*?, \t#/%") || host == "localhost" {
		return Place{}, errNoPlace
	}
	return Place{line: line(u, host, as), host: host}, nil
}

// withoutUser is a URL without the credentials that it may hold; empty when it
// is none, or has characters that a file of settings could take for more.
func withoutUser(raw string) string {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	u.User = nil
	if text := u.String(); !strings.ContainsAny(text, "\"'\\\n\r \t${}#;%") {
		return text
	}
	return ""
}

func line(u *url.URL, host string, as shape) string {
	var b strings.Builder
	if u.Scheme == "http" {
		b.WriteString("http://")
	}
	b.WriteString(host)
	if port := u.Port(); port != "" && (u.Scheme != "https" || port != "443") && (u.Scheme != "http" || port != "80") {
		b.WriteString(":" + port)
	}
	dir := "/" + strings.Trim(u.EscapedPath(), "/")
	plain := !strings.ContainsAny(dir, `%*?#;\ `) && !strings.Contains(dir, "//")
	switch as {
	case gitRepo, gitHost:
		if repo := strings.TrimSuffix(dir, ".git"); plain && repo != "/" {
			if as == gitHost {
				repo += "/**"
			}
			b.WriteString(repo)
		}
		return b.String() + " git:read"
	case pages:
		if plain && dir != "/" {
			b.WriteString(dir + "/**")
		}
	case whole:
	}
	return b.String() + " GET"
}
