package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"agentprocess/internal/sandbox"
)

// value is one value of a file.
type value struct {
	kind  unstable.Kind
	text  string
	items []value // of an array
}

// valueOf reads a node of the parser, which reuses it afterwards.
func valueOf(node *unstable.Node) value {
	v := value{kind: node.Kind, text: string(node.Data)}
	for children := node.Children(); node.Kind == unstable.Array && children.Next(); {
		if child := children.Node(); child.Kind != unstable.Comment {
			v.items = append(v.items, valueOf(child))
		}
	}
	return v
}

// setting is one key and what it does to a Config.
type setting struct {
	key string
	set func(*Config, value) error
}

// settings are all keys there are, in the order in which people see them. To
// add one, add a line here and a field to Config.
func settings() []setting {
	return append([]setting{
		{"agent", func(c *Config, v value) error { return v.oneOf(&c.Agent, AgentClaude, AgentExec) }},
		{"agent-path", func(c *Config, v value) error { return v.path(&c.AgentPath) }},
		{"model", func(c *Config, v value) error { return v.str(&c.Model) }},
		{"timeout", func(c *Config, v value) (err error) {
			return v.parsed(func(s string) error { c.Timeout, err = ParseDuration(s); return err })
		}},
		{"history", func(c *Config, v value) error { return v.history(&c.History) }},
		{"keep", func(c *Config, v value) error { return v.boolean(&c.Keep) }},
		{"runtime", func(c *Config, v value) error {
			return v.oneOf(&c.Backend.Runtime, sandbox.RuntimeAuto, "native", "docker", "podman")
		}},
		{"image", func(c *Config, v value) error { return v.str(&c.Backend.Image) }},
		{"oci-runtime", func(c *Config, v value) error { return v.str(&c.Backend.OCIRuntime) }},
		{"memory", func(c *Config, v value) error { return v.size(&c.Limits.MemoryBytes) }},
		{"pids", func(c *Config, v value) error { return v.count(&c.Limits.PIDs) }},
		{"cpus", func(c *Config, v value) error { return v.number(&c.Limits.CPUs) }},
		{"disk", func(c *Config, v value) error { return v.size(&c.Limits.DiskBytes) }},
		{"proxy", func(c *Config, v value) error { return v.str(&c.Proxy) }},
		{"no-proxy", func(c *Config, v value) error { return v.str(&c.NoProxy) }},
		{"notify", func(c *Config, v value) error { return v.command(&c.Notify) }},
	}, importSettings()...)
}

func keys() []string {
	var all []string
	for _, s := range settings() {
		all = append(all, s.key)
	}
	return all
}

// Parse reads the text of a file over the defaults; name stands in problems.
// The parser underneath is used rather than a decoder because it knows where
// every value stands, so that nothing stops at the first problem.
func Parse(name string, data []byte) (Config, FileErrors) { return parseWith(settings(), name, data) }

func parseWith(list []setting, name string, data []byte) (Config, FileErrors) {
	p := parse{file: name, cfg: Default(), seen: map[string]int{}, known: map[string]setting{}}
	for _, s := range list {
		p.known[s.key] = s
	}
	p.toml.Reset(data)
	for p.toml.NextExpression() {
		p.expression(p.toml.Expression())
	}
	if err := p.toml.Error(); err != nil {
		p.syntax(data, err)
	}
	return p.cfg, p.problems
}

type parse struct {
	toml     unstable.Parser
	file     string
	cfg      Config
	known    map[string]setting
	seen     map[string]int // key to line
	table    string         // the [table] we are in, with its dot
	unknown  bool           // there is no such table
	problems FileErrors
}

func (p *parse) expression(node *unstable.Node) {
	name, at := p.key(node.Key())
	switch node.Kind {
	case unstable.Table, unstable.ArrayTable:
		p.table = name + "."
		if p.unknown = node.Kind == unstable.ArrayTable || !hasTable(p.known, p.table); p.unknown {
			p.problem(at, "unknown table %q", name)
		}
	case unstable.KeyValue:
		p.assign(p.table+name, at, node.Value())
	default: // a comment
	}
}

func (p *parse) assign(key string, at unstable.Position, node *unstable.Node) {
	s, known := p.known[key]
	switch line, twice := p.seen[key], p.seen[key] > 0; {
	case p.unknown:
		return // its table is a problem already
	case !known:
		p.problem(at, "unknown key %q", key)
	case twice:
		p.problem(at, "key %q is given twice, first on line %d", key, line)
	default:
		p.seen[key] = at.Line
		if err := s.set(&p.cfg, valueOf(node)); err != nil {
			p.problem(at, "%s: %v", key, err)
		}
	}
}

// key gives a dotted key and where it starts.
func (p *parse) key(parts unstable.Iterator) (string, unstable.Position) {
	var names []string
	var at unstable.Position
	for parts.Next() {
		part := parts.Node()
		if len(names) == 0 {
			at = p.toml.Shape(part.Raw).Start
		}
		names = append(names, string(part.Data))
	}
	return strings.Join(names, "."), at
}

func (p *parse) problem(at unstable.Position, format string, args ...any) {
	p.problems = append(p.problems, FileError{File: p.file, Line: at.Line, Column: at.Column, Text: fmt.Sprintf(format, args...)})
}

// syntax reports what is no TOML; the parser cannot go on behind it.
func (p *parse) syntax(data []byte, err error) {
	at := unstable.Position{Line: 1 + strings.Count(string(data), "\n"), Column: 1}
	if e, ok := errors.AsType[*unstable.ParserError](err); ok && len(e.Highlight) > 0 {
		at = p.toml.Shape(p.toml.Range(e.Highlight)).Start
	}
	p.problem(at, "%v", err)
}

func (v value) expect(kind unstable.Kind, what string) error {
	if v.kind != kind {
		return fmt.Errorf("wants %s, got %s", what, strings.ToLower(v.kind.String()))
	}
	return nil
}

func (v value) str(to *string) error {
	if err := v.expect(unstable.String, "a string"); err != nil {
		return err
	}
	*to = v.text
	return nil
}

func (v value) parsed(parse func(string) error) error {
	if err := v.expect(unstable.String, `a duration such as "2h"`); err != nil {
		return err
	}
	return parse(v.text)
}

func (v value) oneOf(to *string, words ...string) error {
	var s string
	if err := v.str(&s); err != nil {
		return err
	}
	if !slices.Contains(words, s) {
		return fmt.Errorf("wants one of %q, got %q", words, s)
	}
	*to = s
	return nil
}

// history takes "all", "base", or a number of commits.
func (v value) history(to *string) error {
	if v.kind == unstable.Integer {
		var n int64
		err := v.count(&n)
		*to = strconv.FormatInt(n, 10)
		return err
	}
	return v.oneOf(to, "all", "base")
}

func (v value) path(to *string) error {
	var s string
	if err := v.str(&s); err != nil {
		return err
	}
	if !strings.HasPrefix(s, "/") {
		return fmt.Errorf("wants an absolute path, got %q", s)
	}
	*to = s
	return nil
}

// command takes a program and its arguments, which no shell sees.
func (v value) command(to *[]string) error {
	if err := v.expect(unstable.Array, `a list such as ["notify-send", "agent-process"]`); err != nil {
		return err
	}
	words := make([]string, len(v.items))
	for i, item := range v.items {
		if err := item.str(&words[i]); err != nil {
			return fmt.Errorf("word %d: %w", i+1, err)
		}
		if strings.ContainsRune(words[i], 0) {
			return fmt.Errorf("word %d holds a NUL byte", i+1)
		}
	}
	if len(words) > 0 && words[0] == "" {
		return errors.New("the program's name is empty")
	}
	*to = words
	return nil
}

func (v value) boolean(to *bool) error {
	if err := v.expect(unstable.Bool, "true or false"); err != nil {
		return err
	}
	*to = v.text == "true"
	return nil
}

// size takes "2GB", or a number of bytes.
func (v value) size(to *int64) (err error) {
	if v.kind != unstable.String && v.kind != unstable.Integer {
		return v.expect(unstable.String, `a size such as "2GB"`)
	}
	*to, err = ParseSize(v.text)
	return err
}

func (v value) count(to *int64) error {
	if err := v.expect(unstable.Integer, "a whole number"); err != nil {
		return err
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(v.text, "_", ""), 0, 64)
	if err != nil || n <= 0 {
		return fmt.Errorf("wants a whole number above 0, got %q", v.text)
	}
	*to = n
	return nil
}

func (v value) number(to *float64) error {
	if v.kind != unstable.Integer && v.kind != unstable.Float {
		return v.expect(unstable.Float, "a number")
	}
	n, err := strconv.ParseFloat(strings.ReplaceAll(v.text, "_", ""), 64)
	if err != nil || n <= 0 || math.IsInf(n, 0) || math.IsNaN(n) {
		return fmt.Errorf("wants a number above 0, got %q", v.text)
	}
	*to = n
	return nil
}
