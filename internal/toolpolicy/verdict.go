package toolpolicy

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// verdict makes one answer of all hits: the strongest.
func (j *judging) verdict() Verdict {
	best, rank := Verdict{Action: Allow}, 0
	var warnings []string
	for _, h := range j.hits {
		v := j.answer(h)
		if v.Action == Warn && !slices.Contains(warnings, v.Reason) {
			warnings = append(warnings, v.Reason)
		}
		if r := h.rank(v.Action); r > rank {
			best, rank = v, r
		}
	}
	best.Warnings = warnings
	return best
}

// rank orders answers: by their strength, and of those that are as strong what
// is sure first, then the rule of the higher layer, whose author knows more of
// the case, then the one that is about the very thing.
func (h hit) rank(a Action) int {
	r := a.strength() * 100
	if r == 0 {
		return 0
	}
	if h.sure == yes {
		r += 50
	}
	if h.rule != nil {
		r += 10 * h.rule.layer
	}
	if !h.aside {
		r++
	}
	return r
}

func (j *judging) answer(h hit) Verdict {
	p := j.policy
	switch {
	case h.rule == nil:
		return Verdict{Action: Deny, Rule: RuleScope, Source: "--scope", Reason: fmt.Sprintf("%s (%s is outside.)", p.scopeReason(), quote(h.what))}
	case h.sure == yes:
		return Verdict{
			Action: h.action, Rule: h.rule.id, Source: h.rule.source,
			Reason: strings.TrimSpace(fmt.Sprintf("%s (rule %s: %s)", h.rule.reason, h.rule.id, quote(h.what))),
		}
	case h.action == Warn:
		return Verdict{Action: Allow}
	}
	action := h.action
	if action == Deny {
		action = p.unparsed.action
	}
	return Verdict{Action: action, Rule: RuleUnparsed, Source: p.unparsed.source, Reason: j.unparsedReason(h)}
}

func (j *judging) unparsedReason(h hit) string {
	why := strings.Join(j.odd, "; ")
	if len(h.what) > 0 {
		why = "what " + quote(h.what) + " does is not known before it runs"
	}
	return fmt.Sprintf("This could be what rule %s is about, and it cannot be told: %s. Write commands plainly: the program, its subcommand and its options as they are, "+
		"not from variables, substitutions, eval or a pipe into a shell; put longer programs into a file.", h.rule.id, why)
}

// quote shortens text of a call for a reason.
func quote(s string) string {
	if len(s) > maxQuote {
		s = strings.ToValidUTF8(s[:maxQuote], "") + "…"
	}
	return "`" + s + "`"
}

// maxTargets bounds the paths of one call.
const maxTargets = 5000

// place gives all targets their absolute paths.
func (j *judging) place(ctx context.Context, subjects []*subject, resolve Resolver) error {
	c := j.call
	j.lexical = roots{workspace: path.Clean(c.Workspace), home: path.Clean(c.Home)}
	j.real = j.lexical
	ask, seen := []string{}, map[string]bool{}
	want := func(p string) {
		if !seen[p] {
			seen[p] = true
			ask = append(ask, p)
		}
	}
	for _, s := range subjects {
		for i := range s.targets {
			if t := &s.targets[i]; j.locate(s, t) {
				want(t.raw)
			}
		}
	}
	if len(ask) == 0 {
		return nil
	}
	if len(ask) > maxTargets {
		return fmt.Errorf("it names %d paths, more than %d", len(ask), maxTargets)
	}
	if !path.IsAbs(c.Dir) || !path.IsAbs(c.Workspace) || !path.IsAbs(c.Home) {
		return fmt.Errorf("directory %q, workspace %q and home %q are not all absolute", c.Dir, c.Workspace, c.Home)
	}
	want(c.Workspace)
	want(c.Home)
	if resolve == nil {
		return errors.New("nobody can resolve them")
	}
	found, err := resolve(ctx, ask)
	if err != nil {
		return err
	}
	for _, p := range ask {
		if !path.IsAbs(found[p]) {
			return fmt.Errorf("no answer for %q", p)
		}
	}
	j.real = roots{workspace: path.Clean(found[c.Workspace]), home: path.Clean(found[c.Home])}
	for _, s := range subjects {
		for i := range s.targets {
			if t := &s.targets[i]; t.lexical != "" {
				t.real = path.Clean(found[t.raw])
			}
		}
	}
	return nil
}

// locate gives a target its place; false when nothing is known of it.
func (j *judging) locate(s *subject, t *target) bool {
	text := t.text
	dir, ok := j.dir(s)
	switch {
	case text == "" && ok && !t.known && t.access == read:
		// Some file of where it is; of the workspace that says nothing.
		if _, in := below(path.Clean(j.call.Workspace), path.Clean(dir)); in {
			return false
		}
		t.raw, t.lexical, t.vague = dir, path.Clean(dir), true
		return true
	case text == "" || len(text) > maxPath:
		return false
	case strings.HasPrefix(text, "~") && (s.cmd == nil || !t.known):
		// A word of a shell is known when its ~ is no home.
		name, below, _ := strings.Cut(text[1:], "/")
		switch name {
		case "":
			t.raw = j.call.Home + "/" + below
		case "root":
			t.raw = "/root/" + below
		default: // somebody's, where homes usually are; ~+ and ~- are not known
			t.raw, t.vague = "/home/"+name+"/"+below, true
		}
	case strings.HasPrefix(text, "/"):
		t.raw, t.vague = text, !t.known
	case !ok:
		t.known = false
		return false
	default:
		t.raw, t.vague = dir+"/"+text, !t.known && text[0] != '.'
	}
	t.lexical = path.Clean(t.raw)
	if last := path.Base(text); !t.known && strings.Trim(last, "*.?") == "" {
		// All that is in a directory is the directory.
		if t.lexical = path.Clean(t.raw); last != "." && last != ".." {
			t.raw = path.Dir(t.lexical)
			t.lexical = t.raw
		}
		t.vague = t.vague && t.lexical != "/" && !strings.HasPrefix(text, "*")
	}
	return true
}

// maxPath is the longest path a kernel takes.
const maxPath = 4096

// dir is where a subject runs.
func (j *judging) dir(s *subject) (string, bool) {
	dir := j.call.Dir
	if s.cmd == nil {
		return dir, true
	}
	d := s.cmd.Dir
	switch {
	case strings.HasPrefix(d.Text, "~") && !d.Known:
		dir = j.call.Home + strings.TrimPrefix(d.Text, "~")
	case !d.Known:
		return "", false
	case strings.HasPrefix(d.Text, "/"):
		dir = d.Text
	case d.Text != "":
		dir += "/" + d.Text
	}
	if s.cmd.Name != "git" {
		return dir, true
	}
	for _, t := range s.cmd.tokens() { // git -C one -C two
		switch {
		case !t.outer || t.name != "-C":
		case t.hasValue != yes:
			return "", false
		case strings.HasPrefix(t.value, "/"):
			dir = t.value
		default:
			dir += "/" + t.value
		}
	}
	return dir, true
}
