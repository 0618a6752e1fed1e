package policy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// DefaultPort is the port of a rule that names none.
const DefaultPort = 443

// Rule allows one name, or every name below one, on one port.
type Rule struct {
	Name     string // normalised, without the "*."
	Wildcard bool   // any depth below Name, not Name itself
	Port     uint16
	Source   string // where it was written: "--allow", "user", "built-in: claude"
	Line     int    // in Source, from 1
	Text     string // as it was written, without comment
}

// String is the rule in its shortest form, which parses to the same rule.
func (r Rule) String() string {
	name := r.Name
	if r.Wildcard {
		name = "*." + name
	}
	if r.Port == DefaultPort {
		return name
	}
	return name + ":" + strconv.Itoa(int(r.Port))
}

// Cite is the rule as it was written, and where, for the record and people.
func (r Rule) Cite() string {
	switch {
	case r.Source == "":
		return r.Text
	case r.Line > 1 || strings.Contains(r.Source, "/"):
		return fmt.Sprintf("%s (%s, line %d)", r.Text, r.Source, r.Line)
	}
	return fmt.Sprintf("%s (%s)", r.Text, r.Source)
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
	ErrRulePath     = errors.New("a rule names a host and a port; leave the path out")
	ErrRulePort     = errors.New("the port must be a number from 1 to 65535")
	ErrRuleWildcard = errors.New(`"*" stands only for whole labels at the start, as in "*.example.com"`)
	ErrRuleAddress  = errors.New("a rule names a host, not an address; for a service at a known address give it a name with --resolve NAME=ADDRESS and list the name")
	ErrRuleLocal    = errors.New("localhost is the sandbox itself; for a service of the host give it another name with --resolve NAME=ADDRESS and list that")
	ErrRuleField    = errors.New("unexpected text after the host; comments start with #")
	ErrRuleComment  = errors.New("put a space before the # of a comment")
	ErrRuleSize     = errors.New("too many rules or too much text")
)

const (
	maxRules  = 20_000
	maxText   = 4 << 20
	maxErrors = 50
)

// ParseRules reads rules, one a line; blank lines and what follows a '#' are
// left out. source says where text is from. All errors are collected, each a
// [*SyntaxError]; with any there are no rules.
func ParseRules(source, text string) ([]Rule, error) {
	if len(text) > maxText {
		return nil, &SyntaxError{Source: source, Line: 1, Column: 1, Err: ErrRuleSize}
	}
	var rules []Rule
	var errs []error
	line := 0
	for raw := range strings.SplitSeq(text, "\n") {
		line++
		rule, found, err := parseLine(strings.TrimSuffix(raw, "\r"))
		if err != nil {
			err.Source, err.Line = source, line
			errs = append(errs, err)
		}
		if len(rules) >= maxRules {
			errs = append(errs, &SyntaxError{Source: source, Line: line, Column: 1, Text: raw, Err: ErrRuleSize})
		}
		if len(rules) >= maxRules || len(errs) >= maxErrors {
			break
		}
		if found {
			rule.Source, rule.Line = source, line
			rules = append(rules, rule)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return rules, nil
}

// field is one word of a line. A line is a host and, later, more fields that
// narrow it; each is a word so that a place can be told for each.
type field struct {
	text   string
	column int
}

func parseLine(line string) (Rule, bool, *SyntaxError) {
	fields := splitFields(line)
	if len(fields) == 0 {
		return Rule{}, false, nil
	}
	rule, offset, err := parseHost(fields[0].text)
	at := field{fields[0].text, fields[0].column + offset}
	if err == nil && len(fields) > 1 {
		at, err = fields[1], ErrRuleField
	}
	if err != nil {
		return Rule{}, false, &SyntaxError{Column: at.column, Text: at.text, Err: err}
	}
	return rule, true, nil
}

// splitFields cuts a line at blanks and stops at a word that starts with '#'.
func splitFields(line string) []field {
	var out []field
	for start := 0; start < len(line); {
		if line[start] == ' ' || line[start] == '\t' {
			start++
			continue
		}
		if line[start] == '#' {
			break
		}
		end := start
		for end < len(line) && line[end] != ' ' && line[end] != '\t' {
			end++
		}
		out = append(out, field{line[start:end], utf8.RuneCountInString(line[:start]) + 1})
		start = end
	}
	return out
}

// parseHost reads "[scheme://][*.]name[:port]". offset is where, in
// characters from the start of text, an error lies.
func parseHost(text string) (rule Rule, offset int, err error) {
	rule = Rule{Port: DefaultPort, Text: text}
	rest := text
	if scheme, after, ok := strings.Cut(text, "://"); ok {
		switch strings.ToLower(scheme) {
		case "https":
		case "http":
			rule.Port = 80
		default:
			return rule, 0, ErrRuleScheme
		}
		rest = after
	}
	offset = len(text) - len(rest)
	if bad, err := misplaced(rest); err != nil {
		return rule, offset + bad, err
	}
	name, port, hasPort := strings.Cut(rest, ":")
	if hasPort {
		if rule.Port, err = parsePort(port); err != nil {
			return rule, offset + utf8.RuneCountInString(name) + 1, err
		}
	}
	name, rule.Wildcard = strings.CutPrefix(name, "*.")
	rule.Name, err = ruleName(name)
	return rule, offset, err
}

// misplaced finds what people write in rules that a host cannot have.
func misplaced(rest string) (offset int, err error) {
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		offset = utf8.RuneCountInString(rest[:i])
		if rest[i] == '#' {
			return offset, ErrRuleComment
		}
		return offset, ErrRulePath
	}
	if strings.HasPrefix(rest, "[") || strings.Count(rest, ":") > 1 {
		return 0, ErrRuleAddress
	}
	return 0, nil
}

func ruleName(name string) (string, error) {
	if strings.Contains(name, "*") {
		return "", ErrRuleWildcard
	}
	host, err := NormalizeHost(name)
	switch {
	case errors.Is(err, ErrHostAddress):
		return "", ErrRuleAddress
	case err != nil:
		return "", err
	case Local(host):
		return "", ErrRuleLocal
	}
	return host, nil
}

// parsePort reads a port as it is written in rules and in authorities:
// decimal, no sign, no leading zero.
func parsePort(text string) (uint16, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 || text[0] == '0' || text[0] == '+' {
		return 0, ErrRulePort
	}
	return uint16(port), nil
}
