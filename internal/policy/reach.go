package policy

import (
	"net/url"
	"slices"
	"strings"
)

// Reach answers a request as a gateway does: first the connection it comes in,
// then, where requests are seen, the request itself.
func (s *Set) Reach(q Request) Decision { return s.ReachUnless(q, nil) }

// ReachUnless is Reach without the rules whose budget is spent.
func (s *Set) ReachUnless(q Request, spent func(Rule) bool) Decision {
	if q.Scheme != SchemeHTTP {
		d := s.DecideUnless(Request{Host: q.Host, Port: q.Port}, spent)
		if !d.Allowed() {
			return d
		}
		host, err := NormalizeHost(q.Host)
		if err != nil || q.Method == "" || !s.Inspects(host, q.Port) {
			return s.DecideUnless(Request{Host: q.Host, Port: q.Port, Scheme: q.Scheme}, spent)
		}
	}
	return s.DecideUnless(q, spent)
}

// About gives every rule that names a host, deny lines first, then the most
// specific first.
func (s *Set) About(host string) []Rule {
	host, err := NormalizeHost(host)
	if err != nil {
		return nil
	}
	var out []Rule
	for i := range s.matches(host) {
		out = append(out, s.rules[i])
	}
	slices.SortStableFunc(out, func(a, b Rule) int { return denyLast(a) - denyLast(b) })
	return out
}

func denyLast(r Rule) int {
	if r.Deny {
		return 0
	}
	return 1
}

// ParseTarget reads what a person wants to know about: HOST, HOST:PORT, a URL,
// or HOST/PATH for https. With a path, or in plain HTTP, it is a request by the
// method, else a connection.
func ParseTarget(method, text string) (Request, error) {
	scheme, rest, found := strings.Cut(text, "://")
	q := Request{Scheme: SchemeHTTPS, Method: method}
	port := uint16(DefaultPort)
	switch {
	case !found:
		rest = text
	case scheme == SchemeHTTP:
		q.Scheme, port = SchemeHTTP, 80
	case scheme != SchemeHTTPS:
		return q, &SyntaxError{Source: "target", Line: 1, Column: 1, Text: text, Err: ErrRuleScheme}
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	var err error
	if q.Host, q.Port, err = SplitAuthority(authority, port); err != nil {
		return q, err
	}
	if path == "" && !found && method == "" {
		q.Scheme = ""
		return q, nil
	}
	if q.Method == "" {
		q.Method = methodGet
	}
	path, _, _ = strings.Cut(path, "#")
	q.Path, q.Query, _ = strings.Cut(path, "?")
	if q.Path == "" {
		q.Path = "/"
	}
	// As every client does that is given a URL.
	q.Path = (&url.URL{Path: unescaped(q.Path), RawPath: q.Path}).EscapedPath()
	return q, nil
}

func unescaped(path string) string {
	plain, err := url.PathUnescape(path)
	if err != nil {
		return path
	}
	return plain
}

// IsLine reports whether a Fix is a line of a list, and not an option of start;
// a request that nothing would allow has neither.
func IsLine(fix string) bool { return fix != "" && fix[0] != '-' }

// AllowCommand is what a person types to let an agent reach what was denied: the
// rule where it can stand in a shell as it is, else the id of the denial. An
// agent chooses paths and thereby words of rules.
func AllowCommand(agent, rule, id string) string {
	what := id
	if plain := strings.Trim(rule, bareWord) == ""; IsLine(rule) && (plain || strings.Trim(rule, bareWord+" *") == "") {
		what = rule
		if !plain {
			what = "'" + rule + "'"
		}
	}
	return "agent-process allow " + agent + " " + what
}

// bareWord is what stands for itself in every shell.
const bareWord = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:/_,=-"
