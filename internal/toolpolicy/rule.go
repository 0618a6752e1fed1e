package toolpolicy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/pelletier/go-toml/v2/unstable"
)

// rule is one [[rule]], ready to match.
type rule struct {
	id     string
	action Action
	reason string
	over   []ref
	source string
	line   int

	keys     []string // what it matches on, as in the file, for people
	tools    []glob
	commands []commandPattern
	env      []glob
	paths    []pathGlob
	access   access // of paths; all when not given
	urls     []urlGlob
	mcp      []glob
	agents   []glob
	phases   []Phase // pre when not given
	sure     bool    // what is not known does not match
}

// match is what the rule matches, for people.
func (r *rule) match() string { return strings.Join(r.keys, " ") }

// glob is a pattern for a name; * also matches "/" where names have some.
type glob string

func (g glob) matches(s string) bool {
	ok, err := doublestar.Match(string(g), s)
	return err == nil && ok
}

func anyGlob(globs []glob, s string) bool {
	return slices.ContainsFunc(globs, func(g glob) bool { return g.matches(s) })
}

// The bounds of one pattern: trying {a,b}{c,d} takes time for each
// combination.
const (
	maxPattern = 2048
	maxGroups  = 3
)

// checkGlob says what is wrong with a pattern.
func checkGlob(s string) error {
	switch {
	case !doublestar.ValidatePattern(s):
		return fmt.Errorf("%q is no glob", s)
	case len(s) > maxPattern:
		return fmt.Errorf("is %d bytes long, wants at most %d", len(s), maxPattern)
	case strings.Count(s, "{") > maxGroups || strings.Count(s, "**") > maxGroups:
		return fmt.Errorf("%q has more than %d groups in braces, or of **", s, maxGroups)
	}
	return nil
}

// parseGlob reads a pattern for a flat name.
func parseGlob(s string) (glob, error) { return glob(s), checkGlob(s) }

// parseMCP reads "server/tool"; a server alone means all its tools.
func parseMCP(s string) (glob, error) {
	if !strings.Contains(s, "/") {
		s += "/*"
	}
	if strings.Count(s, "/") != 1 || strings.HasPrefix(s, "/") || strings.HasSuffix(s, "/") {
		return "", fmt.Errorf("%q is not of the form \"server/tool\"", s)
	}
	return parseGlob(s)
}

// ruleText is a [[rule]] while it is read.
type ruleText struct {
	rule
	line, column int
	hasAccess    bool
}

// ruleKey takes one key of a [[rule]].
func (v value) ruleKey(key string, r *ruleText) {
	switch key {
	case "id":
		r.id = v.str(key)
	case "action":
		r.action = Action(v.oneOf(key, string(Deny), string(Ask), string(Warn), string(Allow)))
	case "reason":
		r.reason = v.str(key)
	case "over":
		r.over = v.refs(key)
	case "sure":
		r.sure = v.boolean(key)
	default:
		v.matchKey(key, r)
	}
}

// matchKey takes one of the keys that say what a rule matches.
func (v value) matchKey(key string, r *ruleText) {
	switch key {
	case "tool":
		r.tools = compile(v, key, r, parseGlob)
	case "command":
		r.commands = compile(v, key, r, parseCommand)
	case "env":
		r.env = compile(v, key, r, parseEnv)
	case "path":
		r.paths = compile(v, key, r, parsePath)
	case "url":
		r.urls = compile(v, key, r, parseURL)
	case "mcp":
		r.mcp = compile(v, key, r, parseMCP)
	case "agent":
		r.agents = compile(v, key, r, parseGlob)
	case "access":
		r.hasAccess = true
		for _, a := range compile(v, key, r, parseAccess) {
			r.access |= a
		}
	case "phase":
		r.phases = compile(v, key, r, parsePhase)
	default:
		v.parser.problem(v.at, "unknown key %q", "rule."+key)
	}
}

func compile[T any](v value, key string, r *ruleText, parse func(string) (T, error)) (all []T) {
	var words []string
	for _, t := range v.texts(key) {
		item, err := parse(t.string)
		if err != nil {
			v.parser.problem(t.at, "%s: %v", key, err)
		}
		all, words = append(all, item), append(words, t.string)
	}
	r.keys = append(r.keys, fmt.Sprintf("%s = %q", key, words))
	return all
}

func parsePhase(s string) (Phase, error) {
	p := Phase(s)
	if !slices.Contains([]Phase{Pre, Post, Stop}, p) {
		return "", fmt.Errorf("is one of pre, post, stop, not %q", s)
	}
	return p, nil
}

// endRule checks the [[rule]] that was read and adds it to the layer.
func (p *parser) endRule() {
	r := p.rule
	p.rule = nil
	if r == nil {
		return
	}
	at := unstable.Position{Line: r.line, Column: r.column}
	for _, err := range r.check() {
		p.problem(at, "rule %q: %v", r.id, err)
	}
	if line, twice := p.ids[r.id]; twice {
		p.problem(at, "rule %q is there already, on line %d", r.id, line)
	}
	if len(p.layer.rules) == maxRules {
		p.problem(at, "more than %d rules", maxRules)
	}
	p.ids[r.id] = r.line
	r.source, r.rule.line = p.layer.source, r.line
	if len(r.phases) == 0 {
		r.phases = []Phase{Pre}
	}
	if r.access == 0 {
		r.access = accessAll
	}
	p.layer.rules = append(p.layer.rules, &r.rule)
}

// check gives what is wrong with a rule as a whole.
func (r *ruleText) check() (errs []error) {
	wrong := func(is bool, text string) {
		if is {
			errs = append(errs, errors.New(text))
		}
	}
	wrong(!idPattern().MatchString(r.id), "id: wants letters a-z, digits and dashes, 64 at most")
	wrong(reserved(r.id), "id: is what verdicts without a rule are called")
	wrong(r.action == "", "has no action")
	wrong((r.action == Deny || r.action == Ask) && strings.TrimSpace(r.reason) == "", "has no reason: the model reads it instead of the tool's result")
	wrong(len(r.over) > 0 && r.action != Allow, "over: only a rule of action allow goes over others")
	wrong(r.hasAccess && len(r.paths) == 0, "access: is about paths, and there is no path")
	wrong(r.action == Ask && slices.ContainsFunc(r.phases, func(p Phase) bool { return p != Pre }), "phase: a person can only be asked before a tool runs")
	wrong(r.sure && len(r.commands)+len(r.env)+len(r.urls) == 0, "sure: is about commands, env and URLs, and there are none")
	wrong(len(r.keys) == 0, "matches everything: say so with tool = \"*\"")
	return errs
}
