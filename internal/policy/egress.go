package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Verdict is the answer to a request.
type Verdict string

// The verdicts there are.
const (
	Allow Verdict = "allow"
	Deny  Verdict = "deny"
)

// Request asks for a connection.
type Request struct {
	Host string // in the spelling of NormalizeHost
	Port uint16
	// Scheme is "http" for plain HTTP, "https" for TLS, empty when it is not
	// known or neither.
	Scheme string
}

// Decision is the answer to a Request.
type Decision struct {
	Verdict Verdict
	Rule    Rule   // that allows it; the zero value when denied
	Reason  string // why it is denied
	Fix     string // the narrowest rule that would allow it, if one can
}

// Allowed reports whether the verdict is Allow.
func (d Decision) Allowed() bool { return d.Verdict == Allow }

// Set is the rules of one run. It does not change; a nil Set denies all.
type Set struct {
	rules []Rule
	exact map[string][]int // indices of rules, by name
	below map[string][]int // the same for wildcards
}

// NewSet makes a Set of rules from any number of sources.
func NewSet(sources ...[]Rule) *Set {
	s := &Set{exact: map[string][]int{}, below: map[string][]int{}}
	for _, rules := range sources {
		for _, r := range rules {
			index := s.exact
			if r.Wildcard {
				index = s.below
			}
			index[r.Name] = append(index[r.Name], len(s.rules))
			s.rules = append(s.rules, r)
		}
	}
	return s
}

// Rules are the rules of the set, in order.
func (s *Set) Rules() []Rule {
	if s == nil {
		return nil
	}
	return slices.Clone(s.rules)
}

// Decide answers a request.
func (s *Set) Decide(q Request) Decision {
	host, err := NormalizeHost(q.Host)
	switch {
	case err != nil:
		return Decision{Verdict: Deny, Reason: err.Error()}
	case q.Port == 0:
		return Decision{Verdict: Deny, Reason: "there is no port 0"}
	case Local(host):
		return Decision{Verdict: Deny, Reason: "localhost is the sandbox itself, which is reached without the proxy"}
	case q.Scheme == "http" && q.Port == DefaultPort:
		return Decision{Verdict: Deny, Reason: "plain HTTP is not allowed on port 443"}
	}
	q.Host = host
	var ports []string
	for i := range s.matches(host) {
		if s.rules[i].Port == q.Port {
			return Decision{Verdict: Allow, Rule: s.rules[i]}
		}
		ports = append(ports, strconv.Itoa(int(s.rules[i].Port)))
	}
	return Decision{Verdict: Deny, Reason: denial(q, ports), Fix: q.fix()}
}

// Lists reports whether host is listed, on whatever port, and by which rule.
func (s *Set) Lists(host string) (Rule, bool) {
	host, err := NormalizeHost(host)
	if err != nil || Local(host) {
		return Rule{}, false
	}
	for i := range s.matches(host) {
		return s.rules[i], true
	}
	return Rule{}, false
}

// matches gives the rules for a normalised host, the most specific first.
func (s *Set) matches(host string) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		if s == nil {
			return
		}
		for _, i := range s.exact[host] {
			if !yield(i) {
				return
			}
		}
		for _, suffix, ok := strings.Cut(host, "."); ok; _, suffix, ok = strings.Cut(suffix, ".") {
			for _, i := range s.below[suffix] {
				if !yield(i) {
					return
				}
			}
		}
	}
}

func denial(q Request, ports []string) string {
	if len(ports) == 0 {
		return fmt.Sprintf("no rule lists %q", q.Host)
	}
	slices.Sort(ports)
	return fmt.Sprintf("%q is listed for port %s, not for %d", q.Host, strings.Join(slices.Compact(ports), ", "), q.Port)
}

func (q Request) fix() string {
	if q.Port == 80 {
		return "http://" + q.Host
	}
	return Rule{Name: q.Host, Port: q.Port}.String()
}

// Local reports whether a normalised host is the machine that asks (RFC 6761).
func Local(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// SplitAuthority cuts "host:port" and normalises the host. Without a port it
// gives the default one, or fails if that is 0.
func SplitAuthority(authority string, defaultPort uint16) (host string, port uint16, err error) {
	name, text, found := strings.Cut(authority, ":")
	if strings.HasPrefix(authority, "[") || strings.Contains(text, ":") {
		return "", 0, &HostError{Host: authority, Why: colonReason(bracketed(authority))}
	}
	if host, err = NormalizeHost(name); err != nil {
		return "", 0, err
	}
	port = defaultPort
	if found {
		if port, err = parsePort(text); err != nil {
			return "", 0, fmt.Errorf("authority %q: %w", clip(authority), err)
		}
	}
	if port == 0 {
		return "", 0, fmt.Errorf("authority %q: %w", clip(authority), ErrRulePort)
	}
	return host, port, nil
}

// bracketed is what stands in brackets, or all of it.
func bracketed(authority string) string {
	if inner, _, ok := strings.Cut(authority, "]"); ok {
		return inner
	}
	return authority
}
