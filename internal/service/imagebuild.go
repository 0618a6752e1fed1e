package service

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"agentprocess/internal/audit"
	"agentprocess/internal/gateway"
	"agentprocess/internal/hook"
	"agentprocess/internal/image"
	"agentprocess/internal/policy"
	"agentprocess/internal/proxy"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/workspace"
)

// imageBuild is the build of one image.
type imageBuild struct {
	svc     *Service
	engine  imageEngine
	checked *checked
	recipe  image.Recipe
	options ImageOptions

	network string       // the id of the sandbox whose network it has
	after   []string     // lines that follow each FROM
	trust   []image.File // certificates, in the context
	mu      sync.Mutex
	denied  []string // what it wanted to reach
	last    []string // what was said last
	steps   int      // that were begun
}

// run finds the image or builds it.
func (b *imageBuild) run(ctx context.Context) (ImageResult, error) {
	res := ImageResult{Source: b.recipe.Source}
	for _, n := range b.recipe.Notices {
		b.progress(b.recipe.Source + ": " + n)
	}
	var ids []string
	for _, base := range b.recipe.Bases() {
		id, err := b.engine.ImageID(ctx, base)
		if err != nil {
			return res, fmt.Errorf("%s: %w", b.recipe.Source, err)
		}
		ids = append(ids, id)
	}
	tree := ""
	if b.recipe.UsesContext() {
		var err error
		if tree, err = b.checked.repo.TreeID(ctx, b.checked.base, b.recipe.Context); err != nil {
			return res, err
		}
	}
	key := b.recipe.Key(ids, tree)
	res.Tag = image.Tag(key)
	id, err := b.engine.ImageID(ctx, res.Tag)
	if err == nil && !b.options.Rebuild {
		res.ID, res.Cached = id, true
		return res, nil
	}
	res.ID, err = b.build(ctx, key, res.Tag)
	return res, err
}

func (b *imageBuild) progress(text string) {
	if b.options.Progress != nil {
		b.options.Progress(text)
	}
}

// build makes the image under the gateway's rules.
func (b *imageBuild) build(ctx context.Context, key, tag string) (id string, err error) {
	done, err := b.openNetwork(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, done()) }()
	base := b.recipe.Image
	if b.recipe.Dockerfile != nil {
		base = tag + "-base"
		first := image.Build{Args: b.recipe.Args, Target: b.recipe.Target, Tag: base, Labels: map[string]string{image.LabelKey: key + "-base"}}
		if _, err := b.step(ctx, first, b.context); err != nil {
			return "", err
		}
	}
	last, err := b.recipe.Last(image.End{Base: base, After: b.after, Files: b.trust, Key: key, Project: b.checked.repo.CommonDir})
	if err != nil {
		return "", err
	}
	id, err = b.step(ctx, image.Build{Tag: tag}, func(_ context.Context, w io.Writer) error {
		_, err := w.Write(last)
		return err
	})
	if err != nil {
		return "", err
	}
	if b.recipe.Dockerfile != nil { // the name alone: what is built on it stays
		err = b.engine.RemoveImage(ctx, base)
	}
	return id, err
}

// step builds one Dockerfile with the context that write writes.
func (b *imageBuild) step(ctx context.Context, build image.Build, write func(context.Context, io.Writer) error) (string, error) {
	read, to := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := write(ctx, to)
		_ = to.CloseWithError(err) // it always succeeds
		written <- err
	}()
	build.Network, build.Context, build.Dockerfile, build.Output = b.network, read, image.DockerfileName, b.output
	build.Args = maps.Clone(build.Args)
	if build.Args == nil {
		build.Args = map[string]string{}
	}
	for _, kv := range networkEnv("build") {
		if name, value, _ := strings.Cut(kv, "="); strings.HasSuffix(strings.ToLower(name), "_proxy") && !strings.HasPrefix(name, "NODE_") {
			build.Args[name] = value // every Dockerfile has these, and none keeps them
		}
	}
	id, err := b.engine.BuildImage(ctx, build)
	_ = read.CloseWithError(io.ErrClosedPipe) // as above
	if werr := <-written; werr != nil && !errors.Is(werr, io.ErrClosedPipe) {
		err = errors.Join(werr, err)
	}
	if err == nil {
		return id, nil
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return "", b.failed(err)
}

// context writes the context of the project's Dockerfile.
func (b *imageBuild) context(ctx context.Context, out io.Writer) error {
	w := tar.NewWriter(out)
	ignore := image.File{Mode: 0o100644}
	if b.recipe.UsesContext() {
		err := b.checked.repo.Archive(ctx, b.checked.base, b.recipe.Context, func(f workspace.TreeFile) error {
			switch name, _, _ := strings.Cut(f.Path, "/"); {
			case name == ".agent-process-build":
				return nil // that is ours
			case f.Path == ".containerignore", f.Path == ".dockerignore" && ignore.Path == "":
				ignore.Path, ignore.Data = f.Path, f.Data
				return nil
			}
			return image.WriteFile(w, image.File(f))
		})
		if err != nil {
			return err
		}
	}
	files := append(slices.Clone(b.trust), image.File{Path: image.DockerfileName, Mode: 0o100644, Data: b.recipe.Dockerfile.Render(b.after)})
	if ignore.Path != "" {
		ignore.Data = append(slices.Clone(ignore.Data), "\n!.agent-process-build\n!.agent-process-build/**\n"...)
		files = append(files, ignore)
	}
	for _, f := range files {
		if err := image.WriteFile(w, f); err != nil {
			return err
		}
	}
	return w.Close()
}

// openNetwork opens the gateway of a build.
func (b *imageBuild) openNetwork(ctx context.Context) (done func() error, err error) {
	s := b.svc
	identity, err := s.Identity()
	if err != nil {
		return nil, err
	}
	egress, err := proxy.New(proxy.Config{
		Policy: policy.NewSet(buildRules(b.checked.rules)), Resolve: b.options.Resolve, Upstream: b.checked.upstream, UpstreamRoots: s.roots(), Record: b.record, Now: s.Now,
	})
	if err != nil {
		return nil, err
	}
	if err := b.trustGateway(egress.CAPEM()); err != nil {
		return nil, err
	}
	b.network = fmt.Sprintf("%s%d-%s", image.BuildPrefix, os.Getpid(), strings.ToLower(rand.Text()[:6]))
	box, err := b.engine.OpenNetwork(ctx, sandbox.Spec{ID: b.network, Identity: identity, Hostname: "build", Network: sandbox.NetworkGateway})
	if err != nil {
		return nil, err
	}
	n := &network{gateway: gateway.New(egress, &hook.Server{Recorder: unrecorded{}, Now: s.Now})}
	n.serve(ctx, box)
	return func() error { return errors.Join(n.close(), box.Close()) }, nil
}

// trustGateway has the programs of a build trust the certificate with which the
// gateway opens TLS. It stays in the image as a file that no sandbox shows, and
// its key is gone with the build.
func (b *imageBuild) trustGateway(ca []byte) error {
	if len(ca) == 0 && !b.svc.ownTrust() {
		return nil
	}
	files, err := b.svc.trustFiles(ca, false)
	if err != nil {
		return err
	}
	const dir = ".agent-process-build/trust"
	for _, f := range files {
		if name, ours := strings.CutPrefix(f.Path, sandbox.RunDir+"/"); ours {
			b.trust = append(b.trust, image.File{Path: dir + "/" + name, Mode: 0o100644, Data: f.Data})
		}
	}
	b.after = []string{"COPY " + dir + " " + sandbox.RunDir, "ARG " + strings.Join(trustEnv(false), " ")}
	return nil
}

// record notes what a build was denied.
func (b *imageBuild) record(r audit.Request) {
	if r.Verdict != audit.Deny || r.Host == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.denied) < 20 && !slices.Contains(b.denied, r.Host) {
		b.denied = append(b.denied, r.Host)
	}
}

// keptLines is how many lines of a build that failed are told.
const keptLines = 20

// longestStep is how much of an instruction is shown.
const longestStep = 100

var stepLine = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)^step \d+/\d+ ?: (.*)`) })

// output takes a line that the engine says.
func (b *imageBuild) output(line string) {
	b.mu.Lock()
	b.last = append(b.last, line)
	if len(b.last) > keptLines {
		b.last = b.last[1:]
	}
	b.mu.Unlock()
	m := stepLine().FindStringSubmatch(line)
	if m == nil && b.options.Output != nil && !strings.HasPrefix(line, " ---> ") && !strings.HasPrefix(line, "Removing intermediate container ") {
		b.options.Output(line)
	}
	if m != nil && !slices.Contains(b.after, m[1]) && !strings.HasPrefix(m[1], "LABEL "+image.LabelKey+"=") {
		b.steps++
		text := strings.Join(strings.Fields(m[1]), " ")
		if len(text) > longestStep {
			text = strings.ToValidUTF8(text[:longestStep], "") + "..."
		}
		b.progress(fmt.Sprintf("image %d/%d %s", b.steps, b.recipe.Steps(), text))
	}
}

// failed is a build's error with what was said before it, and what was denied.
func (b *imageBuild) failed(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.last) > 0 {
		err = fmt.Errorf("%w\n%s", err, strings.Join(b.last, "\n"))
	}
	hint := "anything that cannot be built here: build it yourself, and give its name to --image"
	if len(b.denied) > 0 {
		hint = "it was denied " + strings.Join(b.denied, ", ") + ": list what it needs in an allowlist, or with --allow"
	}
	return sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("%s: the image could not be built: %w", b.recipe.Source, err), hint)
}
