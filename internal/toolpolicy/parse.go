package toolpolicy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// The bounds of a policy file, so that no file makes judging slow.
const (
	maxFile   = 1 << 20
	maxRules  = 1000
	maxValues = 1000 // of one key
)

// The bounds of a hook's settings.
const (
	maxHookTimeout = 10 * time.Minute
	minHookMemory  = 1 << 20
)

var (
	idPattern   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`) })
	sizePattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?i)([0-9]{1,9})\s*(?:([kmg])i?)?b?$`) })
)

// hookNames are the hooks a project can have.
func hookNames() []string {
	return []string{"pre-any", "pre-bash", "pre-writes", "post-writes", "post-stop"}
}

// Parse reads a policy.toml; source is its name in problems and verdicts. The
// error is of type [FileErrors], with all of them.
func Parse(source string, data []byte) (*Layer, error) {
	p := &parser{layer: &Layer{source: source, hooks: map[string]hookSettings{}}, ids: map[string]int{}}
	if len(data) > maxFile {
		p.problem(unstable.Position{}, "has %d bytes, wants at most %d", len(data), maxFile)
		return nil, p.problems
	}
	// The decoder knows what is no TOML, keys given twice included; the
	// parser underneath it knows where each value stands.
	if err := toml.Unmarshal(data, &map[string]any{}); err != nil {
		p.syntax(err)
		return nil, p.problems
	}
	p.toml.Reset(data)
	for p.toml.NextExpression() {
		p.expression(p.toml.Expression())
	}
	if err := p.toml.Error(); err != nil {
		p.syntax(err)
	}
	p.endRule()
	if len(p.problems) > 0 {
		return nil, p.problems
	}
	return p.layer, nil
}

type parser struct {
	toml     unstable.Parser
	layer    *Layer
	table    []string
	rule     *ruleText // the [[rule]] we are in
	ids      map[string]int
	problems FileErrors
}

// value is one value of a file.
type value struct {
	parser *parser
	node   *unstable.Node
	at     unstable.Position
}

func (p *parser) problem(at unstable.Position, format string, args ...any) {
	p.problems = append(p.problems, FileError{Source: p.layer.source, Line: at.Line, Column: at.Column, Text: fmt.Sprintf(format, args...)})
}

func (p *parser) syntax(err error) {
	at := unstable.Position{Line: 1, Column: 1}
	if e, ok := errors.AsType[*toml.DecodeError](err); ok {
		at.Line, at.Column = e.Position()
	}
	p.problem(at, "%s", strings.TrimPrefix(err.Error(), "toml: "))
}

func (p *parser) expression(node *unstable.Node) {
	key, at := p.key(node.Key())
	switch node.Kind {
	case unstable.ArrayTable:
		p.openArray(key, at)
	case unstable.Table:
		p.openTable(key, at)
	case unstable.KeyValue:
		p.assign(append(slices.Clone(p.table), key...), value{p, node.Value(), at})
	default: // a comment
	}
}

// key gives the parts of a key and where it starts.
func (p *parser) key(parts unstable.Iterator) (names []string, at unstable.Position) {
	for parts.Next() {
		part := parts.Node()
		if len(names) == 0 {
			at = p.toml.Shape(part.Raw).Start
		}
		names = append(names, string(part.Data))
	}
	return names, at
}

func (p *parser) openArray(key []string, at unstable.Position) {
	p.endRule()
	p.table = key
	if !slices.Equal(key, []string{"rule"}) {
		p.problem(at, "unknown table %q", strings.Join(key, "."))
		return
	}
	p.rule = &ruleText{line: at.Line, column: at.Column}
}

func (p *parser) openTable(key []string, at unstable.Position) {
	p.endRule()
	p.table = key
	if key[0] != "hooks" || len(key) > 2 {
		p.problem(at, "unknown table %q", strings.Join(key, "."))
		p.table = nil
		return
	}
	if len(key) == 2 && !slices.Contains(hookNames(), key[1]) {
		p.problem(at, "hooks: no hook is called %q, only %s", key[1], strings.Join(hookNames(), ", "))
	}
}

func (p *parser) assign(path []string, v value) {
	switch {
	case p.rule != nil && len(path) == 2:
		v.ruleKey(path[1], p.rule)
	case len(path) == 3 && path[0] == "hooks":
		v.hookKey(path[1], path[2])
	case len(path) == 1 && path[0] == "unparsed":
		p.layer.unparsed = Action(v.oneOf("unparsed", string(Deny), string(Ask)))
	case len(path) == 1 && path[0] == "disable":
		p.layer.disable = v.refs("disable")
	case len(path) == 1 && path[0] == "rule":
		p.problem(v.at, "rule: wants tables, [[rule]]")
	default:
		p.problem(v.at, "unknown key %q", strings.Join(path, "."))
	}
}

func (v value) wrong(key, want string) {
	v.parser.problem(v.at, "%s: wants %s, got %s", key, want, strings.ToLower(v.node.Kind.String()))
}

func (v value) str(key string) string {
	if v.node.Kind != unstable.String {
		v.wrong(key, "a string")
		return ""
	}
	return string(v.node.Data)
}

func (v value) boolean(key string) bool {
	if v.node.Kind != unstable.Bool {
		v.wrong(key, "true or false")
		return false
	}
	return string(v.node.Data) == "true"
}

func (v value) oneOf(key string, words ...string) string {
	s := v.str(key)
	if v.node.Kind == unstable.String && !slices.Contains(words, s) {
		v.parser.problem(v.at, "%s: is one of %s, not %q", key, strings.Join(words, ", "), s)
		return ""
	}
	return s
}

// text is one string of a value, and where it stands.
type text struct {
	string
	at unstable.Position
}

// texts takes a string or a list of strings, none of them empty.
func (v value) texts(key string) (all []text) {
	switch v.node.Kind {
	case unstable.String:
		all = []text{{string(v.node.Data), v.at}}
	case unstable.Array:
		for items := v.node.Children(); items.Next(); {
			item := items.Node()
			if item.Kind != unstable.String {
				value{v.parser, item, v.at}.wrong(key, "strings")
				continue
			}
			at := v.at
			if item.Raw.Length > 0 {
				at = v.parser.toml.Shape(item.Raw).Start
			}
			all = append(all, text{string(item.Data), at})
		}
		if len(all) == 0 {
			v.parser.problem(v.at, "%s: the list is empty", key)
		}
	default:
		v.wrong(key, "a string or a list of strings")
	}
	if len(all) > maxValues {
		v.parser.problem(v.at, "%s: has %d values, wants at most %d", key, len(all), maxValues)
	}
	for _, t := range all {
		if strings.TrimSpace(t.string) == "" {
			v.parser.problem(t.at, "%s: is empty", key)
		}
	}
	return all
}

func (v value) refs(key string) (all []ref) {
	if v.node.Kind == unstable.Array && v.node.Child() == nil {
		return nil // disable = [] says what it means
	}
	for _, t := range v.texts(key) {
		if !idPattern().MatchString(t.string) {
			v.parser.problem(t.at, "%s: %q is no id of a rule", key, t.string)
			continue
		}
		all = append(all, ref{t.string, t.at.Line, t.at.Column})
	}
	return all
}

func (v value) hookKey(name, key string) {
	full := "hooks." + name + "." + key
	if !slices.Contains(hookNames(), name) {
		if len(v.parser.table) < 2 { // otherwise its table is a problem already
			v.parser.problem(v.at, "hooks: no hook is called %q, only %s", name, strings.Join(hookNames(), ", "))
		}
		return
	}
	h := v.parser.layer.hooks[name]
	switch key {
	case "observe":
		b := v.boolean(full)
		h.observe = &b
	case "timeout":
		h.timeout = v.duration(full)
	case "memory":
		h.memory = v.size(full)
	default:
		v.parser.problem(v.at, "unknown key %q", full)
	}
	v.parser.layer.hooks[name] = h
}

func (v value) duration(key string) time.Duration {
	s := v.str(key)
	if v.node.Kind != unstable.String {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 || d > maxHookTimeout {
		v.parser.problem(v.at, "%s: wants a time such as \"10s\", at most %v, not %q", key, maxHookTimeout, s)
		return 0
	}
	return d
}

func (v value) size(key string) int64 {
	s := v.str(key)
	if v.node.Kind != unstable.String {
		return 0
	}
	n := int64(-1)
	if m := sizePattern().FindStringSubmatch(strings.TrimSpace(s)); m != nil {
		if i, err := strconv.ParseInt(m[1], 10, 64); err == nil {
			n = i << (10 * (strings.Index("kmg", strings.ToLower(m[2])) + 1) * min(len(m[2]), 1))
		}
	}
	if n < minHookMemory {
		v.parser.problem(v.at, "%s: wants a size such as \"256MB\", at least 1MB, not %q", key, s)
		return 0
	}
	return n
}
