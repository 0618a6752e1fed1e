package service

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"agentprocess/internal/agent"
	"agentprocess/internal/execx"
	"agentprocess/internal/policy"
	"agentprocess/internal/preset"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/trust"
	"agentprocess/internal/workspace"
)

// clientTime bounds a client of the person's that is asked where it reads from.
const clientTime = 30 * time.Second

// presets are what the presets of a start stand for, each looked up once.
type presets struct {
	svc   *Service
	repo  *workspace.Repository
	base  workspace.Base
	known map[string]preset.Result
	// listed are those that lists of files name, and not a flag alone: what the
	// project names for them can be agreed to.
	listed map[string]bool
	locks  []string // lockfiles at the root of the base commit
}

// find gives what a preset stands for.
func (p *presets) find(ctx context.Context, name string) (preset.Result, error) {
	if r, ok := p.known[name]; ok {
		return r, nil
	}
	files, problems, err := p.files(ctx, preset.ProjectFiles(name), func(file string) bool { return preset.Wanted(name, file) })
	if err != nil {
		return preset.Result{}, err
	}
	home, _ := p.svc.lookup("HOME")
	claude, err := agent.ClaudeRules(p.svc.Environ, nil)
	if err != nil {
		return preset.Result{}, err
	}
	f := preset.Finder{Home: home, Lookup: p.svc.lookup, Run: p.svc.askClient, Claude: claude, Project: files}
	r, err := f.Find(ctx, name)
	if err != nil {
		return r, sandbox.Fail(sandbox.CodePolicy, err, "or list the hosts themselves; docs/egress.md says where presets look")
	}
	r.Problems = append(r.Problems, problems...)
	p.known[name] = r
	return r, nil
}

// askClient runs a client of the person's where no project configures it.
func (s *Service) askClient(ctx context.Context, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, clientTime)
	defer cancel()
	out, err := execx.Output(ctx, execx.Cmd{Argv: argv, Dir: "/", Env: s.Environ})
	return string(out), err
}

// files reads files of the base commit by their names, at its root and one
// directory of cargo's.
func (p *presets) files(ctx context.Context, names []string, want func(string) bool) (files []preset.File, problems []string, err error) {
	if len(names) == 0 {
		return nil, nil, nil
	}
	there, err := p.there(ctx, append(slices.Clone(names), ".cargo"))
	if err != nil {
		return nil, nil, err
	}
	for _, name := range there {
		if !want(name) {
			continue
		}
		data, ok, err := p.repo.FileUpTo(ctx, p.base, name, preset.MaxLockfile)
		switch {
		case err != nil:
			problems = append(problems, fmt.Sprintf("%s is not looked into: %v", name, err))
		case ok:
			files = append(files, preset.File{Path: name, Data: data})
		}
	}
	return files, problems, nil
}

// there gives those of some paths that the base commit has.
func (p *presets) there(ctx context.Context, names []string) ([]string, error) {
	var there []string
	_, err := p.repo.FilesBelow(ctx, p.base, names, func(path string) bool {
		there = append(there, path)
		return false
	})
	return there, err
}

// named gives the presets that lists name, without those that do not parse:
// that is said elsewhere.
func named(texts ...string) []string {
	var names []string
	for _, text := range texts {
		rules, err := policy.ParseRules("list", text)
		if err != nil {
			continue
		}
		for _, r := range rules {
			if r.Preset != "" {
				names = append(names, r.Preset)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// registries is what a person has to agree to of what the project names for the
// presets of lists; nil when there is nothing.
func (s *Service) registries(ctx context.Context, repo *workspace.Repository, base workspace.Base, project []trust.File) (*presets, *trust.Item, error) {
	p := &presets{svc: s, repo: repo, base: base, known: map[string]preset.Result{}, listed: map[string]bool{}}
	user, err := s.userRules()
	if err != nil {
		return p, nil, err
	}
	texts := []string{user.text}
	for _, f := range project {
		if f.Path == allowlistFile {
			texts = append(texts, string(f.Data))
		}
	}
	var lines []string
	for _, name := range named(texts...) {
		r, err := p.find(ctx, name)
		if err != nil {
			continue // the lines are refused when they are used, and named
		}
		p.listed[name] = true
		for _, f := range r.Found {
			if f.Project {
				lines = append(lines, fmt.Sprintf("preset:%s  %s  (%s)", name, f.Rule(), sourceFile(f.From)))
			}
		}
	}
	if len(lines) == 0 {
		return p, nil, nil
	}
	item := trust.Registries(lines)
	return p, &item, nil
}

// sourceFile is a place without the number of its line, which changes with each
// package that is added.
func sourceFile(from string) string {
	if i := strings.LastIndexByte(from, ':'); i > 0 {
		return from[:i]
	}
	return from
}

// expand puts in the place of each preset what it stands for. What the project
// names for it counts once somebody has agreed to it.
func (c *checked) expand(ctx context.Context, rules []policy.Rule) ([]policy.Rule, error) {
	p := c.supplied.presets
	_, agreed, _ := c.supplied.item(trust.KindRegistries)
	var out []policy.Rule
	home := map[string]string{}
	for _, r := range rules {
		if r.Preset == "" {
			out = append(out, r)
			continue
		}
		found, err := p.find(ctx, r.Preset)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Cite(), err)
		}
		left := map[string]bool{}
		for _, f := range found.Found {
			if f.Project && (!agreed || !p.listed[r.Preset]) {
				left[f.Host()] = true
				continue
			}
			line, err := presetRule(r, f)
			if err != nil {
				return nil, err
			}
			out = append(out, line)
		}
		c.tellPreset(r, found, left)
		maps.Copy(home, found.Home)
	}
	for _, path := range slices.Sorted(maps.Keys(home)) {
		c.files = append(c.files, sandbox.File{Path: filepath.Join(agentHome, path), Data: []byte(home[path]), Mode: 0o644, Owned: true})
	}
	return out, nil
}

// presetRule is one place of a preset as a rule, in the layer of its line.
func presetRule(r policy.Rule, f preset.Found) (policy.Rule, error) {
	source := "preset:" + r.Preset + ", " + f.From
	rules, err := policy.ParseRules(source, f.Rule())
	if err != nil || len(rules) != 1 {
		return policy.Rule{}, sandbox.Fail(sandbox.CodePolicy, fmt.Errorf("preset:%s: %s names what no line can list: %w", r.Preset, f.From, err), "list the hosts themselves instead of the preset")
	}
	rules[0].Layer, rules[0].Line = r.Layer, 0
	return rules[0], nil
}

// tellPreset says what of a preset does not count.
func (c *checked) tellPreset(r policy.Rule, found preset.Result, left map[string]bool) {
	for _, problem := range found.Problems {
		c.notices = append(c.notices, "preset:"+r.Preset+": "+problem)
	}
	if len(left) == 0 {
		return
	}
	how := "`agent-process trust` shows them"
	if !c.supplied.presets.listed[r.Preset] {
		how = "list preset:" + r.Preset + " in an allowlist to be asked about them"
	}
	c.notices = append(c.notices, fmt.Sprintf("preset:%s: the project also names %s, which nobody here has agreed to, so they are left out; %s",
		r.Preset, strings.Join(slices.Sorted(maps.Keys(left)), ", "), how))
}

// suggest tells, in one line, of presets for lockfiles that are there.
func (c *checked) suggest(rules []policy.Rule) {
	listed := map[string]bool{}
	for _, r := range rules {
		listed[r.Preset] = true
	}
	var locks, names []string
	for _, file := range c.supplied.presets.locks {
		if name := preset.Suggested(file); name != "" && !listed[name] {
			locks, names = append(locks, file), append(names, "preset:"+name)
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) > 0 {
		c.suggestions = append(c.suggestions, fmt.Sprintf("%s: list %s in .agent-process/allowlist, or with --allow, to let packages be read",
			strings.Join(locks, ", "), strings.Join(names, ", ")))
	}
}
