package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ask is a request while it is held against rules.
type ask struct {
	Request
	paths []string // the readings of Path
	plain bool     // whether there are any
	op    gitOp
}

// closeness says how near a rule came to allowing a request.
type closeness int

const (
	missName closeness = iota // no rule lists the host
	missPort
	missScheme
	missPath
	missMethod
	missGit
	missBudget
	fits
)

// miss is how a rule failed to allow a request.
type miss struct {
	how   closeness
	rule  *Rule
	ports []Ports
}

// misses holds the request against a rule that lists its host.
func (a *ask) misses(r *Rule) miss {
	m := miss{how: fits, rule: r}
	switch {
	case !r.hasPort(a.Port):
		m.how = missPort
	case !a.schemeFits(r):
		m.how = missScheme
	case a.Method == "":
	case r.Git != "":
		m.how = a.gitMisses(r)
	case r.Path != "" && !a.pathFits(r.Path):
		m.how = missPath
	case len(r.Methods) > 0 && !slices.Contains(r.Methods, a.Method) && (a.Method != methodHead || !slices.Contains(r.Methods, methodGet)):
		m.how = missMethod
	}
	return m
}

func (a *ask) schemeFits(r *Rule) bool {
	switch {
	case r.TCP, a.Scheme == "":
		return true
	case a.Scheme == SchemeHTTP:
		return r.Scheme != SchemeHTTPS && a.Port != DefaultPort
	case a.Scheme == SchemeHTTPS:
		return r.Scheme != SchemeHTTP
	}
	return r.Scheme == "" && !r.PerRequest() && a.Port != DefaultPort && a.Port != 80
}

// pathFits wants every reading of the path to be one of the glob's.
func (a *ask) pathFits(glob string) bool {
	return a.plain && !slices.ContainsFunc(a.paths, func(p string) bool { return !matchGlob(glob, p) })
}

// deniedBy reports whether a deny rule that names the host is about the
// request. What cannot be told counts as yes.
func (a *ask) deniedBy(r *Rule) bool {
	switch {
	case !r.hasPort(a.Port), r.Scheme != "" && a.Scheme != "" && r.Scheme != a.Scheme:
		return false
	case !r.PerRequest():
		return true
	case a.Method == "":
		return false
	case r.Path != "" && r.Git == "" && a.plain && !a.pathTouches(r.Path):
		return false
	case r.Git != "":
		return a.gitDenied(r)
	}
	gets := a.Method == methodHead || a.Method == MethodWebsocket
	return len(r.Methods) == 0 || slices.Contains(r.Methods, a.Method) || gets && slices.Contains(r.Methods, methodGet)
}

// pathTouches is satisfied by one reading, and by other capitals.
func (a *ask) pathTouches(glob string) bool {
	glob = strings.ToLower(glob)
	return slices.ContainsFunc(a.paths, func(p string) bool { return matchGlob(glob, strings.ToLower(p)) })
}

// reason says why nothing allows the request.
func (a *ask) reason(m miss) string {
	host := strconv.Quote(a.Host)
	switch m.how {
	case missName, fits: // said below
	case missPort:
		return fmt.Sprintf("%s is listed for port %s, not for %d", host, strings.ReplaceAll(portList(joined(m.ports)), ",", ", "), a.Port)
	case missScheme:
		return a.schemeReason(m)
	case missPath:
		if !a.plain {
			return fmt.Sprintf("the path %s can be read in more than one way, and rules for %s name paths", quote(a.Path), host)
		}
		return fmt.Sprintf("no rule for %s lists the path %s", host, quote(a.Path))
	case missMethod:
		return fmt.Sprintf("%s %s on %s is more than the rule %s", a.Method, quote(a.Path), host, m.rule.Cite())
	case missGit:
		return a.gitReason(m)
	case missBudget:
		return SpentReason(m.rule.Cite())
	}
	return "no rule lists " + host
}

func (a *ask) schemeReason(m miss) string {
	switch {
	case a.Scheme == SchemeHTTP && a.Port == DefaultPort:
		return "plain HTTP is not allowed on port 443"
	case a.Scheme == SchemeTCP:
		return fmt.Sprintf("what is spoken to %q on port %d is neither TLS nor HTTP, and no rule says tcp", a.Host, a.Port)
	}
	return fmt.Sprintf("%q is listed for %s on port %d, not for %s", a.Host, m.rule.Scheme, a.Port, a.Scheme)
}

// joined sorts and joins ranges.
func joined(ports []Ports) []Ports {
	out, err := parsePorts(portList(ports))
	if err != nil {
		return ports // too many to join
	}
	return out
}

// fix is the narrowest rule that would allow the request; empty when no rule
// would.
func (a *ask) fix(m miss) string {
	r := Rule{Name: a.Host, Ports: []Ports{{a.Port, a.Port}}}
	if a.Port == 80 {
		r.Scheme = SchemeHTTP
	}
	switch m.how {
	case missName, missPort:
	case missScheme:
		switch {
		case a.Scheme == SchemeTCP:
			r.Scheme, r.TCP = "", true
		case a.Port == DefaultPort:
			return ""
		default:
			r.Scheme = a.Scheme
		}
	case missBudget:
		return ""
	default:
		if !a.plain || strings.Contains(a.Method, ",") || !methodLike(a.Method) || new(Rule).setMethods(a.Method) != nil {
			return ""
		}
		return a.narrow(r, m).String()
	}
	if a.Scheme == SchemeHTTPS && a.Port == 80 {
		r.Scheme = SchemeHTTPS
	}
	return r.String()
}

// narrow adds to a rule what the request was for.
func (a *ask) narrow(r Rule, m miss) Rule {
	if r.Scheme == "" {
		r.Scheme = m.rule.Scheme
	}
	if a.op.kind == gitWriteOp || a.op.kind == gitReadOp && m.rule.Git != "" {
		r.Git = GitRead
		if a.op.kind == gitWriteOp {
			r.Git = GitWrite
		}
		r.Path = globOf(a.op.repos)
		return r
	}
	r.Path, r.Methods = globOf(a.paths), []string{a.Method}
	if a.Method == methodHead {
		r.Methods = []string{methodGet}
	}
	return r
}

// globOf writes the readings of a path as one glob.
func globOf(paths []string) string {
	if len(paths) == 1 {
		return literal(paths[0])
	}
	first, n := paths[0], 0
	for n < len(first) && !slices.ContainsFunc(paths, func(p string) bool { return n >= len(p) || p[n] != first[n] }) {
		n++
	}
	return literal(first[:strings.LastIndexByte(first[:n], '/')+1] + "**")
}

// literal is a path as a rule can have it; a segment that it cannot is "*".
func literal(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if i > 0 && s != "" && s != "**" && (strings.Contains(s, "*") || checkGlob("/"+s) != nil) {
			segments[i] = "*"
		}
	}
	glob := strings.Join(segments, "/")
	if glob == "/" || len(glob) > maxGlob {
		return "/**"
	}
	return glob
}

// quote bounds hostile text in a message.
func quote(s string) string { return strconv.Quote(clip(s)) }
