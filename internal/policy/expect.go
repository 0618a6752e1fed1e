package policy

import (
	"errors"
	"fmt"
	"strings"
)

// Case is a line of a file of expectations: what a set is to say to a request.
type Case struct {
	Want   Verdict
	Ask    Request
	Source string
	Line   int
	Text   string
}

// What can be wrong with a Case.
var (
	ErrCaseVerdict = errors.New(`a case starts with "allow" or "deny"`)
	ErrCaseTarget  = errors.New("a case is a verdict, perhaps a method, and a host or URL, such as: deny PUT https://registry.example.com/left-pad")
	ErrCaseNone    = errors.New("there is no case in it")
)

// ParseCases reads cases, one a line; blank lines and what follows a '#' are
// left out. All errors are collected.
func ParseCases(source, text string) ([]Case, error) {
	var cases []Case
	var errs []error
	line := 0
	for raw := range strings.SplitSeq(text, "\n") {
		line++
		fields := splitFields(strings.TrimSuffix(raw, "\r"))
		if len(fields) == 0 {
			continue
		}
		c, err := parseCase(fields)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %q: %w", source, line, clip(raw), err))
			if len(errs) >= maxErrors {
				break
			}
			continue
		}
		c.Source, c.Line = source, line
		cases = append(cases, c)
	}
	if len(errs) == 0 && len(cases) == 0 {
		errs = append(errs, fmt.Errorf("%s: %w", source, ErrCaseNone))
	}
	return cases, errors.Join(errs...)
}

func parseCase(fields []field) (Case, error) {
	var words []string
	for _, f := range fields {
		words = append(words, f.text)
	}
	c := Case{Want: Verdict(words[0]), Text: strings.Join(words, " ")}
	if c.Want != Allow && c.Want != Deny {
		return c, ErrCaseVerdict
	}
	var method, target string
	switch len(words) {
	case 2:
		target = words[1]
	case 3:
		method, target = words[1], words[2]
		if !methodLike(method) || strings.Contains(method, ",") {
			return c, ErrRuleMethod
		}
	default:
		return c, ErrCaseTarget
	}
	var err error
	c.Ask, err = ParseTarget(method, target)
	return c, err
}

// Failed is a case that came out otherwise.
type Failed struct {
	Case Case
	Got  Decision
}

// Check holds cases against a set and gives those that came out otherwise.
func (s *Set) Check(cases []Case) []Failed {
	var failed []Failed
	for _, c := range cases {
		if d := s.Reach(c.Ask); d.Verdict != c.Want {
			failed = append(failed, Failed{Case: c, Got: d})
		}
	}
	return failed
}
