package policy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// DefaultPort is the port of a rule that names none.
const DefaultPort = 443

// Layer is whose word a rule is.
type Layer string

// The layers there are, the widest first. Every layer may narrow; whether one
// may widen is not decided here.
const (
	LayerBuiltin  Layer = "built-in"
	LayerUser     Layer = "user"
	LayerProject  Layer = "project"
	LayerRun      Layer = "run"
	LayerApproval Layer = "approval"
)

// Git is what a rule lets git do.
type Git string

// What git may be let do; writing includes reading.
const (
	GitRead  Git = "read"
	GitWrite Git = "write"
)

// Ports is a range of ports, both ends in it.
type Ports struct {
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
}

// Budget bounds what may pass under a rule in one run; 0 is no bound.
type Budget struct {
	Up       int64 `json:"up,omitempty"`   // bytes out of the sandbox
	Down     int64 `json:"down,omitempty"` // bytes into it
	Requests int64 `json:"requests,omitempty"`
}

// Rule allows or denies one name, or every name below one. It is plain data:
// a list of rules can be written as JSON, or as text by String.
type Rule struct {
	Deny     bool     `json:"deny,omitempty"`
	Preset   string   `json:"preset,omitempty"` // stands for the rules of this preset, and says nothing else
	Name     string   `json:"name,omitempty"`   // normalised, without the "*."
	Wildcard bool     `json:"wildcard,omitempty"`
	Ports    []Ports  `json:"ports,omitempty"`   // sorted, apart; none, in a deny rule, is every port
	Scheme   string   `json:"scheme,omitempty"`  // "http", "https", or empty for either
	Path     string   `json:"path,omitempty"`    // a glob; for git of repositories
	Methods  []string `json:"methods,omitempty"` // sorted; none is all
	Git      Git      `json:"git,omitempty"`
	TCP      bool     `json:"tcp,omitempty"` // what is neither TLS nor HTTP, too
	Secret   string   `json:"secret,omitempty"`
	Budget   Budget   `json:"budget,omitzero"`

	Layer  Layer  `json:"layer,omitempty"`
	Source string `json:"source,omitempty"` // where it was written: "--allow", "built-in: claude"
	Line   int    `json:"line,omitempty"`   // in Source, from 1
	Text   string `json:"text,omitempty"`   // as it was written, without comment
}

// String is the rule in its shortest form, which parses to the same rule.
func (r Rule) String() string {
	if r.Preset != "" {
		return presetWord + r.Preset
	}
	var b strings.Builder
	if r.Deny {
		b.WriteString(denyWord + " ")
	}
	if r.Scheme != "" {
		b.WriteString(r.Scheme + "://")
	}
	if r.Wildcard {
		b.WriteString("*.")
	}
	b.WriteString(r.Name)
	if !slices.Equal(r.Ports, defaultPorts(r.Deny, r.Scheme)) {
		b.WriteString(":" + portList(r.Ports))
	}
	b.WriteString(r.Path)
	if len(r.Methods) > 0 {
		b.WriteString(" " + strings.Join(r.Methods, ","))
	}
	if r.Git != "" {
		b.WriteString(" git:" + string(r.Git))
	}
	if r.TCP {
		b.WriteString(" tcp")
	}
	if r.Secret != "" {
		b.WriteString(" secret=" + r.Secret)
	}
	r.Budget.write(&b)
	return b.String()
}

func (b Budget) write(to *strings.Builder) {
	for _, part := range []struct {
		word  string
		value int64
		size  bool
	}{{"max-up", b.Up, true}, {"max-down", b.Down, true}, {"max-requests", b.Requests, false}} {
		switch {
		case part.value == 0:
		case part.size:
			to.WriteString(" " + part.word + "=" + formatSize(part.value))
		default:
			to.WriteString(" " + part.word + "=" + strconv.FormatInt(part.value, 10))
		}
	}
}

func portList(ports []Ports) string {
	var words []string
	for _, p := range ports {
		word := strconv.Itoa(int(p.First))
		if p.Last != p.First {
			word += "-" + strconv.Itoa(int(p.Last))
		}
		words = append(words, word)
	}
	return strings.Join(words, ",")
}

// defaultPorts are the ports of a rule that names none.
func defaultPorts(deny bool, scheme string) []Ports {
	switch {
	case deny && scheme == "":
		return nil
	case scheme == "http":
		return []Ports{{80, 80}}
	}
	return []Ports{{DefaultPort, DefaultPort}}
}

// Cite is the rule as it was written, and where, for the record and people.
func (r Rule) Cite() string {
	switch {
	case r.Source == "":
		return r.Text
	case r.Line > 1 || r.Line == 1 && strings.Contains(r.Source, "/"):
		return fmt.Sprintf("%s (%s, line %d)", r.Text, r.Source, r.Line)
	}
	return fmt.Sprintf("%s (%s)", r.Text, r.Source)
}

// SpentReason is why nothing more is allowed by a rule that has a budget.
func SpentReason(cite string) string { return "the budget is spent of the rule " + cite }

// Where is where the rule stands.
func (r Rule) Where() string {
	if r.Line > 1 || r.Line == 1 && strings.Contains(r.Source, "/") {
		return fmt.Sprintf("%s:%d", r.Source, r.Line)
	}
	return r.Source
}

// PerRequest reports whether the rule judges each request, so that the TLS of
// its hosts has to be opened.
func (r Rule) PerRequest() bool {
	return r.Path != "" || len(r.Methods) > 0 || r.Git != "" || r.Secret != ""
}

// Pattern is the rule's name as it is written.
func (r Rule) Pattern() string {
	if r.Wildcard {
		return "*." + r.Name
	}
	return r.Name
}

// Names reports whether a normalised host is one of the rule's.
func (r Rule) Names(host string) bool {
	if r.Wildcard {
		return strings.HasSuffix(host, "."+r.Name)
	}
	return host == r.Name
}

// hasPort reports whether the rule is about a port.
func (r Rule) hasPort(port uint16) bool {
	for _, p := range r.Ports {
		if p.First <= port && port <= p.Last {
			return true
		}
	}
	return r.Deny && len(r.Ports) == 0
}

// SyntaxError is a line that is not a rule, with its place.
type SyntaxError struct {
	Source       string
	Line, Column int // from 1; Column counts characters
	Text         string
	Err          error
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %q: %v", e.Source, e.Line, e.Column, clip(e.Text), e.Err)
}

// Unwrap gives the cause.
func (e *SyntaxError) Unwrap() error { return e.Err }

// What can be wrong with a rule, besides its host.
var (
	ErrRuleScheme   = errors.New(`only "http://" and "https://" can stand before a host`)
	ErrRulePath     = errors.New(`a path is written plainly: no "?", "#", "%", ";" or "\", no empty or dot segments; "*" stands for part of a segment, "**" for any number of segments`)
	ErrRuleRoot     = errors.New(`"/" alone is one page only: leave it out for all of the host`)
	ErrRulePort     = errors.New("the port must be a number from 1 to 65535")
	ErrRulePorts    = errors.New("ports are numbers and ranges with commas between, such as 443,8000-8010")
	ErrRuleWildcard = errors.New(`"*" stands only for whole labels at the start, as in "*.example.com"`)
	ErrRuleAddress  = errors.New("a rule names a host, not an address; for a service at a known address give it a name with --resolve NAME=ADDRESS and list the name")
	ErrRuleLocal    = errors.New("localhost is the sandbox itself; for a service of the host give it another name with --resolve NAME=ADDRESS and list that")
	ErrRuleField    = errors.New("unexpected text after the host; what can stand there is methods (GET,POST), git:read, git:write, tcp, secret=NAME, max-up=10MB, max-down=10MB, max-requests=100; comments start with #")
	ErrRuleTwice    = errors.New("it is said twice")
	ErrRuleMethod   = errors.New("methods are written in capitals with commas between, such as GET,POST")
	ErrRuleGit      = errors.New("git:read or git:write")
	ErrRuleSecret   = errors.New("a secret's name is letters, digits, '-', '_' and '.'")
	ErrRuleBudget   = errors.New("a budget is a whole number above 0, of bytes with a unit such as 10MB")
	ErrRuleTogether = errors.New("that cannot stand together with the rest of the rule")
	ErrRulePreset   = errors.New("a preset is its name alone, such as preset:npm")
	ErrRuleNothing  = errors.New("it denies nothing: a host must follow")
	ErrRuleComment  = errors.New("put a space before the # of a comment")
	ErrRuleSize     = errors.New("too many rules or too much text")
)
