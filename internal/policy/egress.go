package policy

import (
	"slices"
	"strings"
)

// Verdict is the answer to a request.
type Verdict string

// The verdicts there are.
const (
	Allow Verdict = "allow"
	Deny  Verdict = "deny"
)

// Schemes of a Request.
const (
	SchemeHTTP  = "http"
	SchemeHTTPS = "https"
	SchemeTCP   = "tcp" // neither of them
)

// MethodWebsocket stands in a Request for what becomes a websocket: it starts
// as a GET and may then carry anything.
const MethodWebsocket = "WEBSOCKET"

// Request asks for a connection, or, with a Method, for one request in it.
type Request struct {
	Host   string // in the spelling of NormalizeHost
	Port   uint16
	Scheme string // empty when it is not known yet

	Method string // empty while only a connection is asked for
	Path   string // escaped, as it was sent
	Query  string // as it was sent; only git's service is read
	LFS    string // the operation that the body of a Git LFS batch asks for
}

// Decision is the answer to a Request.
type Decision struct {
	Verdict Verdict
	Rule    Rule   // that decided; the zero value when none did
	Reason  string // why it is denied
	Fix     string // the narrowest rule that would allow it, if one can
}

// Allowed reports whether the verdict is Allow.
func (d Decision) Allowed() bool { return d.Verdict == Allow }

// Set is the rules of one run. It does not change; a nil Set denies all.
type Set struct {
	rules  []Rule
	exact  map[string][]int // indices of rules, by name
	below  map[string][]int // the same for wildcards
	denies bool             // whether any rule does
	learns bool             // see Learning
}

// NewSet makes a Set of rules from any number of sources. Presets must have
// been replaced by what they stand for; here they allow nothing.
func NewSet(sources ...[]Rule) *Set {
	s := &Set{exact: map[string][]int{}, below: map[string][]int{}}
	for _, rules := range sources {
		for _, r := range rules {
			if r.Preset != "" || r.Name == "" {
				continue
			}
			index := s.exact
			if r.Wildcard {
				index = s.below
			}
			index[r.Name] = append(index[r.Name], len(s.rules))
			s.rules = append(s.rules, r)
			s.denies = s.denies || r.Deny
		}
	}
	return s
}

// Learning gives a set that also allows what no rule is about. What a line denies
// stays denied, and so does what no line could allow. Such a decision is by the
// rule "learn", and has a Fix: the line that would allow it.
func (s *Set) Learning() *Set {
	learning := Set{learns: true}
	if s != nil {
		learning = *s
		learning.learns = true
	}
	return &learning
}

// learnRule decides what is let through to be learned.
func learnRule() Rule { return Rule{Text: "learn", Source: "--learn"} }

// Rules are the rules of the set, in order.
func (s *Set) Rules() []Rule {
	if s == nil {
		return nil
	}
	return slices.Clone(s.rules)
}

// Decide answers a request.
func (s *Set) Decide(q Request) Decision { return s.DecideUnless(q, nil) }

// DecideUnless is Decide without the rules whose budget is spent.
func (s *Set) DecideUnless(q Request, spent func(Rule) bool) Decision {
	host, err := NormalizeHost(q.Host)
	switch {
	case err != nil:
		return Decision{Verdict: Deny, Reason: err.Error()}
	case q.Port == 0:
		return Decision{Verdict: Deny, Reason: "there is no port 0"}
	case Local(host):
		return Decision{Verdict: Deny, Reason: "localhost is the sandbox itself, which is reached without the proxy"}
	}
	q.Host = host
	a := ask{Request: q}
	if q.Method != "" {
		a.paths, a.plain = readings(q.Path)
		a.op = a.gitOp()
	}
	if s != nil && s.denies {
		for i := range s.matches(host) {
			if r := &s.rules[i]; r.Deny && a.deniedBy(r) {
				return Decision{Verdict: Deny, Rule: *r, Reason: "it is denied by the line " + r.Cite()}
			}
		}
	}
	var nearest miss
	for i := range s.matches(host) {
		r := &s.rules[i]
		if r.Deny {
			continue
		}
		m := a.misses(r)
		if m.how == fits && spent != nil && spent(*r) {
			m.how = missBudget
		}
		if m.how == fits {
			return Decision{Verdict: Allow, Rule: *r}
		}
		if m.how > nearest.how {
			nearest = m
		}
		if m.how == missPort {
			nearest.ports = append(nearest.ports, r.Ports...)
		}
	}
	d := Decision{Verdict: Deny, Reason: a.reason(nearest), Fix: a.fix(nearest)}
	// On the ports of the web only what can be told from its first bytes passes.
	blind := q.Scheme == SchemeTCP && (q.Port == DefaultPort || q.Port == 80)
	if s != nil && s.learns && d.Fix != "" && !blind {
		return Decision{Verdict: Allow, Rule: learnRule(), Fix: d.Fix}
	}
	return d
}

// Lists reports whether host is listed, on whatever port, and by which rule.
func (s *Set) Lists(host string) (Rule, bool) {
	host, err := NormalizeHost(host)
	if err != nil || Local(host) {
		return Rule{}, false
	}
	found := -1
	for i := range s.matches(host) {
		r := &s.rules[i]
		switch {
		case r.Deny && len(r.Ports) == 0 && !r.PerRequest():
			return *r, false
		case !r.Deny && found < 0:
			found = i
		}
	}
	switch {
	case found >= 0:
		return s.rules[found], true
	case s != nil && s.learns:
		return learnRule(), true
	}
	return Rule{}, false
}

// Inspects reports whether requests to a host and port must be seen one by
// one to be judged: no rule allows all of them, or one denies some.
func (s *Set) Inspects(host string, port uint16) bool {
	whole, some := false, false
	for i := range s.matches(host) {
		r := &s.rules[i]
		switch {
		case !r.hasPort(port):
		case r.Secret != "", r.Deny && r.PerRequest():
			return true
		case r.Deny:
		case r.PerRequest():
			some = true
		default:
			whole = true
		}
	}
	return some && !whole
}

// Opened gives the names, once each, whose TLS may have to be opened: a rule
// that allows them judges requests, or a rule that denies does.
func (s *Set) Opened() []Rule {
	var out []Rule
	seen := map[string]bool{}
	for _, r := range s.Rules() {
		if r.Deny || r.TCP || seen[r.Pattern()] {
			continue
		}
		if r.PerRequest() || slices.ContainsFunc(s.rules, func(d Rule) bool { return d.Deny && d.PerRequest() && overlap(d, r) }) {
			seen[r.Pattern()] = true
			out = append(out, Rule{Name: r.Name, Wildcard: r.Wildcard})
		}
	}
	return out
}

// overlap reports whether there is a name that both rules are about.
func overlap(a, b Rule) bool {
	switch {
	case !a.Wildcard:
		return b.Names(a.Name)
	case !b.Wildcard:
		return a.Names(b.Name)
	}
	return a.Name == b.Name || a.Names(b.Name) || b.Names(a.Name)
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
