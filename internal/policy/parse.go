package policy

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	denyWord   = "deny"
	presetWord = "preset:"

	maxRules  = 20_000
	maxText   = 4 << 20
	maxErrors = 50
	maxPorts  = 64
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

// WithLayer marks rules as a layer's.
func WithLayer(layer Layer, rules []Rule) []Rule {
	out := slices.Clone(rules)
	for i := range out {
		out[i].Layer = layer
	}
	return out
}

// field is one word of a line: a host, and more words that narrow it.
type field struct {
	text   string
	column int
}

func (f field) fail(err error) *SyntaxError {
	return &SyntaxError{Column: f.column, Text: f.text, Err: err}
}

func parseLine(line string) (Rule, bool, *SyntaxError) {
	fields := splitFields(line)
	if len(fields) == 0 {
		return Rule{}, false, nil
	}
	words := make([]string, len(fields))
	for i, f := range fields {
		words[i] = f.text
	}
	first := fields[0]
	rest := fields[1:]
	if name, ok := strings.CutPrefix(first.text, presetWord); ok {
		if !plainWord(name) || len(rest) > 0 {
			return Rule{}, false, first.fail(ErrRulePreset)
		}
		return Rule{Preset: name, Text: first.text}, true, nil
	}
	deny := strings.EqualFold(first.text, denyWord)
	if deny {
		if len(rest) == 0 {
			return Rule{}, false, first.fail(ErrRuleNothing)
		}
		first, rest = rest[0], rest[1:]
	}
	rule, offset, err := parseHost(first.text, deny)
	if err != nil {
		return Rule{}, false, field{first.text, first.column + offset}.fail(err)
	}
	if !deny && rule.Name == denyWord && !rule.Wildcard { // as a line it could not be told from the word
		return Rule{}, false, first.fail(ErrRuleNothing)
	}
	rule.Text = strings.Join(words, " ")
	for _, f := range rest {
		if err := rule.narrow(f.text); err != nil {
			return Rule{}, false, f.fail(err)
		}
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

// parseHost reads "[scheme://][*.]name[:ports][/path]". offset is where, in
// characters from the start of text, an error lies.
func parseHost(text string, deny bool) (rule Rule, offset int, err error) {
	rule = Rule{Deny: deny}
	rest := text
	if scheme, after, ok := strings.Cut(text, "://"); ok && !strings.Contains(scheme, "/") {
		rule.Scheme = strings.ToLower(scheme)
		if rule.Scheme != "http" && rule.Scheme != "https" {
			return rule, 0, ErrRuleScheme
		}
		rest = after
	}
	offset = len(text) - len(rest) // a scheme is ASCII
	authority, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if bad, err := misplaced(authority); err != nil {
		return rule, offset + bad, err
	}
	name, ports, hasPorts := strings.Cut(authority, ":")
	rule.Ports = defaultPorts(deny, rule.Scheme)
	if hasPorts {
		if rule.Ports, err = parsePorts(ports); err != nil {
			return rule, offset + utf8.RuneCountInString(name) + 1, err
		}
	}
	if err := checkGlob(path); err != nil {
		return rule, offset + utf8.RuneCountInString(authority), err
	}
	rule.Path = path
	name, rule.Wildcard = strings.CutPrefix(name, "*.")
	rule.Name, err = ruleName(name)
	return rule, offset, err
}

// misplaced finds what people write in rules that a host cannot have.
func misplaced(authority string) (offset int, err error) {
	if i := strings.IndexAny(authority, "?#"); i >= 0 {
		offset = utf8.RuneCountInString(authority[:i])
		if authority[i] == '#' {
			return offset, ErrRuleComment
		}
		return offset, ErrRulePath
	}
	if strings.HasPrefix(authority, "[") || strings.Count(authority, ":") > 1 {
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

// parsePorts reads "443,8000-8010" and sorts and joins it.
func parsePorts(text string) ([]Ports, error) {
	words := strings.Split(text, ",")
	if len(words) > maxPorts {
		return nil, ErrRulePorts
	}
	var all []Ports
	for _, word := range words {
		from, to, isRange := strings.Cut(word, "-")
		first, err := parsePort(from)
		if err != nil {
			return nil, err
		}
		last := first
		if isRange {
			if last, err = parsePort(to); err != nil {
				return nil, err
			}
		}
		if last < first {
			return nil, ErrRulePorts
		}
		all = append(all, Ports{first, last})
	}
	slices.SortFunc(all, func(a, b Ports) int { return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last)) })
	out := all[:1]
	for _, p := range all[1:] {
		if before := &out[len(out)-1]; int(p.First) <= int(before.Last)+1 {
			before.Last = max(before.Last, p.Last)
		} else {
			out = append(out, p)
		}
	}
	return slices.Clip(out), nil
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
