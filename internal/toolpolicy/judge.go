package toolpolicy

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Judge decides a call. What it cannot understand, and paths that cannot be
// resolved, it denies.
func (p *Policy) Judge(ctx context.Context, c Call, resolve Resolver) Verdict {
	if c.Phase == "" {
		c.Phase = Pre
	}
	sc, err := open(c)
	if err != nil {
		return Verdict{Action: Deny, Rule: RuleMalformed, Source: BuiltinSource, Reason: fmt.Sprintf("%s: %v.", RuleMalformed, err)}
	}
	p.hide(&sc)
	j := &judging{policy: p, call: c, scene: sc}
	if err := j.place(ctx, sc.subjects, resolve); err != nil {
		return Verdict{
			Action: Deny, Rule: RuleUnresolved, Source: BuiltinSource,
			Reason: fmt.Sprintf("The paths of this call could not be resolved, so nothing can be said of them: %v.", err),
		}
	}
	for _, a := range p.rules {
		if a.off == "" && j.concerns(a) {
			j.hold(a, sc.subjects)
		}
	}
	j.holdScope(sc.subjects)
	return j.verdict()
}

// judging is one call while it is judged.
type judging struct {
	policy *Policy
	call   Call
	scene
	lexical, real roots
	hits          []hit
}

// hit is a rule that matches.
type hit struct {
	action Action
	rule   *active // nil for the scope
	sure   match
	aside  bool   // it matches by way of what is below a path
	what   string // of the call matched
	target *target
	url    *location
}

// concerns says whether a rule is for calls such as this one at all.
func (j *judging) concerns(a *active) bool {
	return slices.Contains(a.phases, j.call.Phase) &&
		(len(a.agents) == 0 || anyGlob(a.agents, j.call.Agent)) &&
		(len(a.tools) == 0 || anyGlob(a.tools, j.call.Tool))
}

// hold holds a rule against all of the call.
func (j *judging) hold(a *active, subjects []*subject) {
	if a.action == Allow && len(a.over) == 0 {
		return // everything is allowed that no rule is against
	}
	if a.action == Allow {
		return // looked at when a rule that it is over matches
	}
	for _, s := range subjects {
		for _, h := range j.match(a, s) {
			if h.what == "" {
				h.what = s.text()
			}
			if (h.sure == yes || !a.sure) && !j.covered(h, s) {
				j.hits = append(j.hits, h)
			}
		}
	}
	if a.sure {
		return
	}
	h := hit{action: a.action, rule: a, sure: maybe}
	switch mentioned := func(p commandPattern) bool { return p.from == nil && p.mentions(j.code) }; {
	case len(j.odd) > 0 && len(a.commands)+len(a.env) > 0:
	case j.code != "" && slices.ContainsFunc(a.commands, mentioned):
		h.what = j.codeIn + " code"
	default:
		return
	}
	if !j.covered(h, &subject{tool: j.call.Tool}) {
		j.hits = append(j.hits, h)
	}
}

// match gives what of a subject a rule matches: one hit for each path or URL
// that the rule is about, or one for the subject.
func (j *judging) match(a *active, s *subject) (hits []hit) {
	sure := yes
	if len(a.mcp) > 0 && !anyGlob(a.mcp, s.mcp) {
		return nil
	}
	if len(a.commands) > 0 {
		if sure = j.matchCommands(a, s); sure == no {
			return nil
		}
	}
	if len(a.env) > 0 {
		if sure = min(sure, s.hasEnv(a.env)); sure == no {
			return nil
		}
	}
	base := hit{action: a.action, rule: a, sure: sure}
	if s.of != nil {
		base.sure, base.what = maybe, s.text()
	}
	if len(a.urls) > 0 {
		hits = j.matchURLs(a, s, base)
	} else {
		hits = []hit{base}
	}
	if len(a.paths) == 0 || len(hits) == 0 {
		return hits
	}
	base, hits = hits[0], nil
	for i := range s.targets {
		t := &s.targets[i]
		if t.access&a.access == 0 {
			continue
		}
		if on, direct := j.onPath(a.paths, t); on {
			h := base
			if h.target, h.aside = t, !direct; s.of == nil {
				h.what = t.text
			}
			hits = append(hits, h)
		}
	}
	return hits
}

func (j *judging) matchCommands(a *active, s *subject) match {
	if s.cmd == nil {
		return no
	}
	sure := no
	for i := range a.commands {
		p := &a.commands[i]
		m := p.match(s.cmd)
		switch {
		case s.of != nil && (m != yes || !p.hides()):
			m = no // it is a guess: only what is surely meant counts
		case p.from != nil:
			m = min(m, p.fed(s))
		}
		sure = max(sure, m)
	}
	return sure
}

// fed says whether a command may get the output of one that matches the
// pattern before the "|".
func (p *commandPattern) fed(s *subject) match {
	if !readsProgram(s.cmd) {
		return no
	}
	sure := no
	for _, c := range s.earlier {
		sure = max(sure, p.from.match(c))
	}
	return sure
}

// readsProgram is false for an interpreter that is told what to run by its
// words: what comes in through a pipe is data then.
func readsProgram(c *command) bool {
	switch c.Name {
	case "sh", "bash", "zsh", "dash", "ksh", "ash", "fish", "python", "python3", "perl", "ruby", "node", "php":
	default:
		return true
	}
	for _, w := range c.Words[min(1, len(c.Words)):] {
		switch {
		case !w.Known:
			return false
		case w.Text == "-" || w.Text == "-s" || w.Text == "/dev/stdin":
			return true
		case strings.HasPrefix(w.Text, "--"):
		case strings.HasPrefix(w.Text, "-"):
			if strings.ContainsAny(w.Text, "cem") {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func (s *subject) hasEnv(globs []glob) match {
	sure := no
	for _, w := range s.env {
		if anyGlob(globs, flat(w.Text)) {
			sure = max(sure, yes)
		} else if name, _, ok := strings.Cut(w.Text, "="); !w.Known && ok && anyGlob(globs, name+"=") {
			sure = max(sure, maybe)
		}
	}
	return sure
}

func (j *judging) matchURLs(a *active, s *subject, base hit) (hits []hit) {
	for i := range s.urls {
		u := &s.urls[i]
		if slices.ContainsFunc(a.urls, func(g urlGlob) bool { return g.matches(*u) }) {
			h := base
			h.url, h.what = u, u.text
			hits = append(hits, h)
		}
	}
	if s.oddURL {
		base.sure = maybe
		hits = append(hits, base)
	}
	return hits
}

// covered says whether a rule that allows goes over a hit: it must match the
// very thing.
func (j *judging) covered(h hit, s *subject) bool {
	return slices.ContainsFunc(j.policy.rules, func(a *active) bool {
		return a.off == "" && a.action == Allow && slices.Contains(a.over, h.rule) && j.concerns(a) && j.allows(a, h, s)
	})
}

func (j *judging) allows(a *active, h hit, s *subject) bool {
	if len(a.mcp) > 0 && !anyGlob(a.mcp, s.mcp) || len(a.env) > 0 && s.hasEnv(a.env) != yes {
		return false
	}
	if len(a.commands) > 0 && (s.cmd == nil || !slices.ContainsFunc(a.commands, func(p commandPattern) bool {
		return (p.matchExact(s.cmd) || s.of != nil && p.matchExact(s.of.cmd)) && (p.from == nil || p.fed(s) == yes)
	})) {
		return false
	}
	return j.allowsPath(a, h, s) && j.allowsURL(a, h, s)
}

func (j *judging) allowsPath(a *active, h hit, s *subject) bool {
	onPath := func(t *target) bool {
		return t.access&^a.access == 0 && t.lexical != "" && t.known && matchPath(a.paths, t.lexical, j.lexical) && matchPath(a.paths, t.real, j.real)
	}
	switch {
	case len(a.paths) == 0:
		return true
	case h.target != nil:
		return onPath(h.target)
	}
	for i := range s.targets {
		if !onPath(&s.targets[i]) {
			return false
		}
	}
	return len(s.targets) > 0
}

func (j *judging) allowsURL(a *active, h hit, s *subject) bool {
	onURL := func(l location) bool {
		return slices.ContainsFunc(a.urls, func(g urlGlob) bool { return g.matches(l) })
	}
	switch {
	case len(a.urls) == 0:
		return true
	case h.url != nil:
		return onURL(*h.url)
	}
	return len(s.urls) > 0 && !s.oddURL && !slices.ContainsFunc(s.urls, func(l location) bool { return !onURL(l) })
}

// onPath says whether a rule's patterns are about a target, and directly so.
// Of one that is not wholly known, what is known counts: it may be the end of
// a path that a pattern is for.
func (j *judging) onPath(patterns []pathGlob, t *target) (on, direct bool) {
	except := excepts(patterns)
	if t.lexical != "" && (!t.vague || !except) {
		on1, direct1 := j.at(patterns, t, t.lexical, j.lexical)
		on2, direct2 := on1, direct1
		if t.real != t.lexical || j.real != j.lexical {
			on2, direct2 = j.at(patterns, t, t.real, j.real)
		}
		if on1 || on2 {
			return true, direct1 || direct2
		}
	}
	if t.known || except {
		return false, false
	}
	wild := strings.ContainsAny(t.text, "*?[{")
	return slices.ContainsFunc(patterns, func(g pathGlob) bool {
		return g.matchesTail(t.text) || wild && t.lexical != "" && (g.meets(t.lexical, j.lexical) || g.meets(t.real, j.real))
	}), true
}

// at says whether patterns are about a target at one of its places.
func (j *judging) at(patterns []pathGlob, t *target, p string, r roots) (on, direct bool) {
	except := excepts(patterns)
	if t.within && matchPath(patterns, p+"/-", r) || (!t.within || !except) && matchPath(patterns, p, r) {
		return true, true
	}
	// Who deletes or moves a directory does so to all that is in it.
	if t.within {
		if _, all := below(p, r.workspace); all {
			return false, false // some of the files of a whole tree: not surely these
		}
	}
	return t.access&remove != 0 && !except && slices.ContainsFunc(patterns, func(g pathGlob) bool { return g.inside(p, r) }), false
}

// excepts says that patterns take something away.
func excepts(patterns []pathGlob) bool {
	return slices.ContainsFunc(patterns, func(g pathGlob) bool { return g.not })
}

func (j *judging) holdScope(subjects []*subject) {
	p := j.policy
	if len(p.scope) == 0 || j.call.Phase != Pre {
		return
	}
	for _, s := range subjects {
		for i := range s.targets {
			t := &s.targets[i]
			if t.lexical == "" || t.guess || t.vague || t.access&(write|remove) == 0 {
				continue
			}
			if j.leavesScope(t.lexical, j.lexical) || j.leavesScope(t.real, j.real) {
				j.hits = append(j.hits, hit{action: Deny, sure: yes, what: t.text, target: t})
				return
			}
		}
	}
}

// leavesScope is about the workspace: what is outside of it is no part of what
// comes back.
func (j *judging) leavesScope(p string, r roots) bool {
	if _, in := below(r.workspace, p); !in {
		return false
	}
	return !matchPath(j.policy.scope, p, r)
}

// text is what a subject is called in a reason.
func (s *subject) text() string {
	switch {
	case s.cmd == nil:
		return s.tool
	case s.of != nil:
		return s.of.text()
	}
	var b strings.Builder
	for i, w := range s.cmd.Words {
		if i > 0 {
			b.WriteByte(' ')
		}
		if b.WriteString(w.Text); !w.Known {
			b.WriteString("…")
		}
		if b.Len() > maxQuote {
			break
		}
	}
	if len(s.cmd.Via) > 0 {
		b.WriteString(" (in " + strings.Join(s.cmd.Via, ", ") + ")")
	}
	return b.String()
}

// maxQuote is how much of a call a reason repeats.
const maxQuote = 200
