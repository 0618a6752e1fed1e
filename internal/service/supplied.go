package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"agentprocess/internal/config"
	"agentprocess/internal/image"
	"agentprocess/internal/inspect"
	"agentprocess/internal/preset"
	"agentprocess/internal/projecthook"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/toolpolicy"
	"agentprocess/internal/trust"
	"agentprocess/internal/workspace"
)

// policyFile is the project's policy, read from the base commit.
const policyFile = ".agent-process/policy.toml"

// importFile is where the project says what it is stricter about when an
// agent's work comes home, read from the base commit.
const importFile = ".agent-process/import.toml"

// projectImport reads that file. It only narrows, and so needs nobody's
// agreement.
func projectImport(f workspace.TreeFile) (inspect.Policy, error) {
	policy, problems := config.ParseImport(importFile+" (base commit)", f.Data)
	if len(problems) > 0 {
		return policy, sandbox.Fail(sandbox.CodePolicy, problems, "its keys are those of [import] in config.toml; nothing was started")
	}
	return policy, nil
}

// supplied is what a repository brings along that would act on its agents or
// steer them, as it is in the base commit.
type supplied struct {
	trusted, untrusted []trust.Item
	imports            inspect.Policy // what it is stricter about when work comes home
	presets            *presets       // what the lines preset:NAME stand for
	unread             error          // why what says how the image is made cannot be read
}

// supplied looks at what the base commit brings along, and at what of it a
// person has agreed to.
func (s *Service) supplied(ctx context.Context, repo *workspace.Repository, base workspace.Base) (*supplied, error) {
	locks := preset.Lockfiles()
	var there []string
	files, err := repo.Files(ctx, base, func(path string) bool {
		if !strings.Contains(path, "/") && slices.Contains(locks, path) {
			there = append(there, path)
		}
		return path == importFile || trust.Wanted(path) || image.Wanted(path)
	})
	if err != nil {
		return nil, err
	}
	sup := &supplied{}
	list := make([]trust.File, 0, len(files))
	for _, f := range files {
		if f.Path != importFile {
			list = append(list, trust.File{Path: f.Path, Mode: f.Mode, Data: f.Data})
			continue
		}
		if sup.imports, err = projectImport(f); err != nil {
			return nil, err
		}
	}
	items := trust.Find(list)
	var named *trust.Item
	if sup.presets, named, err = s.registries(ctx, repo, base, list); err != nil {
		return nil, err
	}
	sup.presets.locks = there
	if named != nil {
		items = append(items, *named)
	}
	if recipe, found, err := s.imageFiles(ctx, repo, base, list); err != nil {
		sup.unread = err
	} else if found {
		items = append(items, recipe)
	}
	sup.trusted, sup.untrusted, err = s.trustBook().Check(repo.CommonDir, items)
	return sup, err
}

func (s *Service) trustBook() *trust.Book {
	b := trust.Open(s.Paths.TrustFile())
	b.Now = s.Now
	return b
}

// item is what there is of a kind, and whether it is trusted.
func (p *supplied) item(kind trust.Kind) (item trust.Item, trusted, ok bool) {
	for _, i := range p.trusted {
		if i.Kind == kind {
			return i, true, true
		}
	}
	for _, i := range p.untrusted {
		if i.Kind == kind {
			return i, false, true
		}
	}
	return trust.Item{}, false, false
}

// notices tell what stays off, and what to do about it.
func (p *supplied) notices() []string {
	var names []string
	for _, i := range p.untrusted {
		if i.Kind == trust.KindImage {
			continue // it does nothing until somebody asks for it, who is told then
		}
		name := string(i.Kind)
		if i.Kind == trust.KindPolicy {
			name += " (what it forbids holds)"
		}
		if i.Was != nil {
			name += " (changed since you trusted it)"
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("the repository brings along what nobody here has looked at, so it stays off: %s; `agent-process trust` shows it",
		strings.Join(names, ", "))}
}

// policy is the tool policy of a run: what is built in, the person's own file,
// and the project's as it is in the base commit.
func (s *Service) policy(o StartOptions, sup *supplied) (*toolpolicy.Policy, error) {
	options := toolpolicy.Options{Scope: o.Scope}
	user, err := os.ReadFile(s.Paths.PolicyFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, policyError(fmt.Errorf("read policy: %w", err))
	}
	if err == nil {
		if options.User, err = toolpolicy.Parse(s.Paths.PolicyFile(), user); err != nil {
			return nil, policyError(err)
		}
	}
	if item, trusted, ok := sup.item(trust.KindPolicy); ok {
		options.ProjectTrusted = trusted
		if options.Project, err = toolpolicy.Parse(policyFile+" (base commit)", item.Files[0].Data); err != nil {
			return nil, policyError(err)
		}
	}
	p, err := toolpolicy.New(options)
	if err != nil {
		return nil, policyError(err)
	}
	return p, nil
}

func policyError(err error) error {
	return sandbox.Fail(sandbox.CodePolicy, err, "nothing was started; docs/policy.md says what a policy may hold")
}

// hookFiles are the project's hooks, when they are trusted.
func (p *supplied) hookFiles() []projecthook.File {
	item, trusted, _ := p.item(trust.KindHooks)
	if !trusted {
		return nil
	}
	var files []projecthook.File
	for _, f := range item.Files {
		files = append(files, projecthook.File{Name: strings.TrimPrefix(f.Path, projecthook.Dir+"/"), Data: f.Data, Mode: f.Mode})
	}
	return files
}
