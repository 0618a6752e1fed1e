package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"agentprocess/internal/image"
	"agentprocess/internal/policy"
	"agentprocess/internal/proxy"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/trust"
	"agentprocess/internal/workspace"
)

// imageEngine is a runtime that has images.
type imageEngine interface {
	// ImageID is the id of an image that is there.
	ImageID(ctx context.Context, name string) (string, error)
	// OpenNetwork starts a sandbox whose network builds can have.
	OpenNetwork(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error)
	// BuildImage builds an image and gives its id.
	BuildImage(ctx context.Context, b image.Build) (string, error)
	// Images are those that were built here.
	Images(ctx context.Context) ([]image.Built, error)
	// RemoveImage removes one, unless a container has it.
	RemoveImage(ctx context.Context, id string) error
}

// ImageOptions say for what an image is built.
type ImageOptions struct {
	Dir, Base string
	Backend   sandbox.Backend // its Image is not used
	Allow     []string        // egress rules besides those of files
	Resolve   map[string]proxy.Target
	// Rebuild builds it also when it is there.
	Rebuild bool
	// Progress is told of steps and notices, Output of all that is said meanwhile.
	Progress, Output func(string)
}

// ImageResult is what became of a build.
type ImageResult struct {
	Runtime string `json:"runtime"`
	Tag     string `json:"tag"`
	ID      string `json:"id"`
	Source  string `json:"source"`
	// Cached says that it was there already.
	Cached bool `json:"cached"`
}

// imageFiles is what of the base commit says how the project's image is made:
// one file, and those that it names.
func (s *Service) imageFiles(ctx context.Context, repo *workspace.Repository, base workspace.Base, list []trust.File) (trust.Item, bool, error) {
	source, ok := image.Source(recipeFiles(list))
	if !ok {
		return trust.Item{}, false, nil
	}
	files := []trust.File{trust.File(source)}
	more, err := image.More(source)
	if err != nil || len(more) == 0 {
		return trust.Image(files), true, nil //nolint:nilerr // what cannot be read is shown as it is, and fails when somebody asks for it
	}
	found, err := repo.FilesBelow(ctx, base, more, func(string) bool { return true })
	if err != nil {
		return trust.Item{}, false, fmt.Errorf("what %s names: %w", source.Path, err)
	}
	for _, f := range found {
		if f.Path != source.Path {
			files = append(files, trust.File{Path: f.Path, Mode: f.Mode, Data: f.Data})
		}
	}
	return trust.Image(files), true, nil
}

func recipeFiles(list []trust.File) []image.File {
	files := make([]image.File, 0, len(list))
	for _, f := range list {
		files = append(files, image.File(f))
	}
	return files
}

// recipe is how the project's image is made, if a person has agreed to it.
func (p *supplied) recipe() (image.Recipe, error) {
	item, trusted, ok := p.item(trust.KindImage)
	switch {
	case p.unread != nil:
		return image.Recipe{}, sandbox.Fail(sandbox.CodePolicy, p.unread, "")
	case ok && !trusted:
		return image.Recipe{}, sandbox.Fail(sandbox.CodePolicy, fmt.Errorf("nobody here has looked at how the repository makes its image: %s", strings.Join(item.Paths(), ", ")),
			"`agent-process trust` shows it; nothing was built")
	}
	r, err := image.Find(recipeFiles(item.Files))
	if err != nil {
		return r, sandbox.Fail(sandbox.CodePolicy, err, "nothing was built; docs/images.md says what can be. Anything else: build it yourself, and give its name to --image")
	}
	return r, nil
}

// BuildImage builds the image of the project that dir is in, or finds it.
func (s *Service) BuildImage(ctx context.Context, o ImageOptions) (ImageResult, error) {
	c := &checked{}
	var err error
	if c.repo, err = s.open(ctx, o.Dir); err != nil {
		return ImageResult{}, err
	}
	if c.base, err = c.repo.Resolve(ctx, o.Base); err != nil {
		return ImageResult{}, err
	}
	if c.supplied, err = s.supplied(ctx, c.repo, c.base); err != nil {
		return ImageResult{}, err
	}
	if c.rules, err = s.rules(ctx, StartOptions{Egress: Egress{Allow: o.Allow}}, c); err != nil {
		return ImageResult{}, err
	}
	if err := s.leaveBy(c); err != nil {
		return ImageResult{}, err
	}
	return s.projectImage(ctx, c, o)
}

// projectImage builds the image of what was checked on the first engine that
// works, or the one that was asked for.
func (s *Service) projectImage(ctx context.Context, c *checked, o ImageOptions) (ImageResult, error) {
	recipe, err := c.supplied.recipe()
	if err != nil {
		return ImageResult{}, err
	}
	name, engine, err := s.imageEngine(ctx, o.Backend)
	if err != nil {
		return ImageResult{}, err
	}
	b := &imageBuild{svc: s, engine: engine, checked: c, recipe: recipe, options: o}
	res, err := b.run(ctx)
	res.Runtime = name
	return res, err
}

// imageEngine is the engine that was asked for, or the first that answers.
func (s *Service) imageEngine(ctx context.Context, b sandbox.Backend) (string, imageEngine, error) {
	names := []string{runtimeDocker, runtimePodman}
	switch {
	case b.Runtime == runtimeNative:
		return "", nil, sandbox.Fail(sandbox.CodeUsage, errors.New("the native runtime has no images"), "use --runtime docker or podman")
	case slices.Contains(names, b.Runtime):
		names = []string{b.Runtime}
	}
	var errs []error
	for _, name := range names {
		rt, err := s.Open(sandbox.Backend{Runtime: name, OCIRuntime: b.OCIRuntime})
		if err == nil {
			engine, ok := rt.(imageEngine)
			if !ok {
				return "", nil, fmt.Errorf("the runtime %s has no images", name)
			}
			if _, err = engine.Images(ctx); err == nil {
				return name, engine, nil
			}
		}
		errs = append(errs, err)
	}
	err := errors.Join(errs...)
	return "", nil, sandbox.Fail(sandbox.CodeRuntime, err, sandbox.ErrorHint(errs[0]))
}

// chooseProject chooses an engine for a run in the project's own image, which it
// builds when it is not there.
func (s *Service) chooseProject(ctx context.Context, o StartOptions, c *checked) error {
	if o.Backend.Image != image.Project {
		return nil
	}
	res, err := s.projectImage(ctx, c, ImageOptions{Backend: o.Backend, Resolve: o.Resolve, Progress: o.Progress})
	if err != nil {
		return err
	}
	b := sandbox.Backend{Runtime: res.Runtime, Image: res.Tag, OCIRuntime: o.Backend.OCIRuntime}
	c.chosen, err = s.try(ctx, b, "the project's own image, from "+res.Source)
	return err
}

// Images are the images that were built here, of the engines that answer.
func (s *Service) Images(ctx context.Context, b sandbox.Backend) ([]image.Built, error) {
	_, engine, err := s.imageEngine(ctx, b)
	if err != nil {
		return nil, err
	}
	return engine.Images(ctx)
}

// PrunedImage is an image that was to be removed.
type PrunedImage struct {
	image.Built
	Kept string `json:"kept,omitempty"` // why it is still there
}

// PruneImages removes images that were built here: those that a newer one of the
// same project replaces, or all.
func (s *Service) PruneImages(ctx context.Context, b sandbox.Backend, all bool) ([]PrunedImage, error) {
	_, engine, err := s.imageEngine(ctx, b)
	if err != nil {
		return nil, err
	}
	images, err := engine.Images(ctx) // newest first
	if err != nil {
		return nil, err
	}
	newest := map[string]bool{}
	var pruned []PrunedImage
	for _, i := range images {
		if !all && i.Tag != "" && !newest[i.Project] {
			newest[i.Project] = true
			continue
		}
		p := PrunedImage{Built: i}
		if err := engine.RemoveImage(ctx, i.ID); err != nil {
			p.Kept = err.Error()
		}
		pruned = append(pruned, p)
	}
	return pruned, nil
}

// builders is a runtime that knows the sandboxes of builds.
type builders interface {
	Builds() ([]string, error)
}

// cleanBuilds removes what builds left that were killed. Engines are spoken to
// only where something is left.
func (s *Service) cleanBuilds(ctx context.Context) (done []Cleaned, err error) {
	var errs []error
	for _, name := range []string{runtimeDocker, runtimePodman} {
		rt, err := s.Open(sandbox.Backend{Runtime: name})
		if err != nil {
			continue // no such engine here
		}
		b, ok := rt.(builders)
		if !ok {
			continue
		}
		ids, err := b.Builds()
		errs = append(errs, err)
		for _, id := range ids {
			if builderLives(id) {
				continue
			}
			if err := rt.Cleanup(ctx, id); err != nil {
				errs = append(errs, err)
				continue
			}
			done = append(done, Cleaned{Name: id, What: "removed what was left of an image's build"})
		}
	}
	return done, errors.Join(errs...)
}

// builderLives reports whether the process that a build's id names is there: one
// that is not ours counts, too, since nothing is lost by waiting.
func builderLives(id string) bool {
	text, _, _ := strings.Cut(strings.TrimPrefix(id, image.BuildPrefix), "-")
	pid, err := strconv.Atoi(text)
	return err == nil && pid > 0 && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// buildRules are what programs of a build may reach: what the agent may but for
// what its own program needs.
func buildRules(rules []policy.Rule) []policy.Rule {
	return slices.DeleteFunc(slices.Clone(rules), func(r policy.Rule) bool { return r.Layer == policy.LayerBuiltin && !r.Deny })
}
