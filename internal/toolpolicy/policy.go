package toolpolicy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Action is what a rule does to a call.
type Action string

// The actions, weakest first.
const (
	Allow Action = "allow"
	Warn  Action = "warn"
	Ask   Action = "ask"
	Deny  Action = "deny"
)

// strength orders actions: of all rules that match, the strongest wins.
func (a Action) strength() int {
	return slices.Index([]Action{Allow, Warn, Ask, Deny}, a)
}

// Phase is when a call is judged.
type Phase string

// The phases.
const (
	Pre  Phase = "pre"  // before a tool runs
	Post Phase = "post" // after it ran
	Stop Phase = "stop" // when the agent has finished a turn
)

// The ids of what decides without a rule of any file.
const (
	// RuleScope denies changes outside the globs of Options.Scope.
	RuleScope = "scope"
	// RuleUnparsed is for command lines that cannot be understood.
	RuleUnparsed = "unparsed"
	// RuleMalformed is for input that is not what its tool takes.
	RuleMalformed = "malformed"
	// RuleUnresolved is for paths that could not be resolved.
	RuleUnresolved = "unresolved"
)

// reserved ids cannot be a rule's.
func reserved(id string) bool {
	return slices.Contains([]string{RuleScope, RuleUnparsed, RuleMalformed, RuleUnresolved}, id)
}

// Call is one tool call, or the end of a turn, to be judged.
type Call struct {
	Phase Phase
	// Agent is who asks.
	Agent string
	// Tool is the tool's name as the agent's CLI says it; empty with Stop.
	Tool string
	// Input is the tool's input, a JSON object.
	Input json.RawMessage
	// Dir, Workspace and Home are absolute paths inside the sandbox.
	Dir, Workspace, Home string
}

// Resolver gives the real paths inside the sandbox of absolute paths: symlinks
// followed, ".." applied after them, and what does not exist yet resolved by
// its nearest parent. Every path asked for must be in the answer.
type Resolver func(ctx context.Context, paths []string) (map[string]string, error)

// Verdict is the answer to a Call.
type Verdict struct {
	Action Action
	// Rule is the id of what decided, empty for an Allow that no rule asked
	// for; Source is the file it is from, "built-in" for our own.
	Rule, Source string
	// Reason is what the model reads.
	Reason string
	// Warnings are the reasons of all rules of action warn that matched.
	Warnings []string
}

// Options say what a Policy is made of. Nil layers are empty.
type Options struct {
	User, Project *Layer
	// ProjectTrusted makes the project's widenings count.
	ProjectTrusted bool
	// Scope are globs of what may be changed; empty means everything.
	Scope []string
}

// Policy judges calls. It is immutable, and safe for concurrent use.
type Policy struct {
	layers   []*Layer // weakest say first: built-in, user, project
	rules    []*active
	programs map[string]bool // that rules are about; see hidden.go
	unparsed setting
	scope    []pathGlob
	scopeText,
	ignored []string
	trusted bool
}

// setting is a value and who set it.
type setting struct {
	action Action
	source string
}

// active is a rule with what the layers above made of it.
type active struct {
	*rule
	layer int
	// off says who disabled it, note who tried to in vain.
	off, note string
	// over are the rules that it beats; nil for one whose widening is ignored.
	over []*active
}

// New stacks the layers: built-in, user, project. It fails when a layer
// refers to rules that no layer below it has.
func New(o Options) (*Policy, error) {
	p := &Policy{trusted: o.ProjectTrusted, unparsed: setting{Deny, BuiltinSource}}
	var problems FileErrors
	for i, l := range []*Layer{Builtin(), o.User, o.Project} {
		if l == nil {
			l = &Layer{}
		}
		if l.broken != nil {
			return nil, l.broken
		}
		p.layers = append(p.layers, l)
		problems = append(problems, p.stack(i, l)...)
	}
	for _, text := range o.Scope {
		g, err := parsePath(strings.TrimPrefix(text, "./"))
		if err == nil && (g.base != baseWorkspace || g.not) {
			err = fmt.Errorf("wants a path below the workspace")
		}
		if err != nil {
			problems = append(problems, FileError{Source: "--scope", Text: fmt.Sprintf("%q: %v", text, err)})
		}
		p.scope, p.scopeText = append(p.scope, g), append(p.scopeText, text)
	}
	p.programs = programsOf(p.rules)
	return p, problems.err()
}

// projectLayer is the index of the layer whose widenings want trust.
const projectLayer = 2

// stack puts a layer on top of those there are.
func (p *Policy) stack(i int, l *Layer) (problems FileErrors) {
	below := len(p.rules)
	widens := i != projectLayer || p.trusted
	for _, ref := range l.disable {
		targets := p.named(ref.id, below)
		if len(targets) == 0 {
			problems = append(problems, ref.problem(l.source, "disable"))
		}
		for _, t := range targets {
			if widens {
				t.off = l.source
			} else {
				t.note = fmt.Sprintf("%s wants it disabled: ignored until the project is trusted", l.source)
			}
		}
	}
	for _, r := range l.rules {
		a := &active{rule: r, layer: i}
		for _, ref := range r.over {
			targets := p.named(ref.id, below)
			if len(targets) == 0 {
				problems = append(problems, ref.problem(l.source, "over"))
			}
			a.over = append(a.over, targets...)
		}
		if len(r.over) > 0 && !widens {
			a.over, a.note = nil, "it widens: ignored until the project is trusted"
		}
		p.rules = append(p.rules, a)
	}
	p.setUnparsed(l, widens)
	return problems
}

func (p *Policy) setUnparsed(l *Layer, widens bool) {
	switch {
	case l.unparsed == "":
	case !widens && l.unparsed.strength() < p.unparsed.action.strength():
		p.ignored = append(p.ignored, fmt.Sprintf("%s wants unparsed = %q: ignored until the project is trusted", l.source, l.unparsed))
	default:
		p.unparsed = setting{l.unparsed, l.source}
	}
}

// named are the first n rules' of that id.
func (p *Policy) named(id string, n int) (found []*active) {
	for _, a := range p.rules[:n] {
		if a.id == id {
			found = append(found, a)
		}
	}
	return found
}

// RuleInfo is a rule as people see it.
type RuleInfo struct {
	ID, Source string
	// Line is where it stands in Source, 0 for what no file says.
	Line   int
	Action Action
	Reason string
	// Match is what it matches, in the words of the file.
	Match string
	// Over are the rules it beats.
	Over []string
	// Off says that it does nothing, Note why, or what was ignored of it.
	Off  bool
	Note string
}

// Rules are all rules, of the lowest layer first, those that are off or
// ignored included; then what holds besides them.
func (p *Policy) Rules() []RuleInfo {
	var all []RuleInfo
	for _, a := range p.rules {
		info := RuleInfo{ID: a.id, Source: a.source, Line: a.line, Action: a.action, Reason: a.reason, Match: a.match(), Over: refs(a.rule.over)}
		switch {
		case a.off != "":
			info.Off, info.Note = true, "disabled by "+a.off
		case a.note != "":
			info.Off, info.Note = len(a.rule.over) > 0 && a.over == nil, a.note
		}
		all = append(all, info)
	}
	all = append(all, RuleInfo{
		ID: RuleUnparsed, Source: p.unparsed.source, Action: p.unparsed.action, Match: "command lines that cannot be understood",
		Reason: "What cannot be understood could be what a rule is about.", Note: strings.Join(p.ignored, "; "),
	})
	if len(p.scope) > 0 {
		all = append(all, RuleInfo{
			ID: RuleScope, Source: "--scope", Action: Deny, Match: "changes outside " + strings.Join(p.scopeText, ", "),
			Reason: p.scopeReason(),
		})
	}
	return all
}

func (p *Policy) scopeReason() string {
	return fmt.Sprintf("This run may only change %s. Leave everything else as it is, and say so if the task cannot be done that way.", strings.Join(p.scopeText, ", "))
}

// HookSettings are the bounds of one of the project's hooks; zero values are
// the caller's defaults.
type HookSettings struct {
	// Observe makes a hook that may fail without denying.
	Observe     bool
	Timeout     time.Duration
	MemoryBytes int64
}

// Hook gives the settings of [hooks.NAME]. The stricter one of two layers
// holds: the smaller bound, and observe only if no layer says false and one
// that may widen says true.
func (p *Policy) Hook(name string) HookSettings {
	var s HookSettings
	refused := false
	for i, l := range p.layers {
		h, ok := l.hooks[name]
		if !ok {
			continue
		}
		s.Timeout = narrower(s.Timeout, h.timeout)
		s.MemoryBytes = narrower(s.MemoryBytes, h.memory)
		if h.observe != nil {
			refused = refused || !*h.observe
			s.Observe = s.Observe || *h.observe && (i != projectLayer || p.trusted)
		}
	}
	s.Observe = s.Observe && !refused
	return s
}

// narrower is the smaller of two bounds, where 0 is none.
func narrower[T time.Duration | int64](a, b T) T {
	if a == 0 || b == 0 {
		return a + b
	}
	return min(a, b)
}
