package docker

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"

	"agentprocess/internal/image"
	"agentprocess/internal/sandbox"
)

// engine is a connection to an engine and what it said of itself.
type engine struct {
	*client.Client
	dialect
	kind  Kind
	host  string
	local bool // it is on this machine's kernel and sees its files
	info  system.Info

	mu     sync.Mutex
	images map[string]*rootImage
}

// rootImage is what an image says of itself, as far as it matters.
type rootImage struct {
	id       string
	env      []string
	volumes  []string
	user     string     // what agents are called
	commands [][]string // to run once the tree is there
}

// connect reaches the engine, once.
func (r *Runtime) connect(ctx context.Context) (*engine, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.engine != nil {
		return r.engine, nil
	}
	e, err := dial(ctx, r.config.Kind, r.config.Host)
	if err != nil {
		return nil, err
	}
	r.engine = e
	return e, nil
}

// dial reaches an engine and asks what it is.
func dial(ctx context.Context, kind Kind, host string) (*engine, error) {
	d, ok := dialects()[kind]
	if !ok {
		return nil, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("engine %q: there are %q and %q", kind, Docker, Podman), "")
	}
	opts, err := dialOptions(host)
	if err != nil {
		return nil, err
	}
	cli, err := client.New(opts...)
	if err != nil {
		return nil, sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("%s at %s: %w", kind, host, err), d.install)
	}
	e := &engine{Client: cli, dialect: d, kind: kind, host: host, local: strings.HasPrefix(host, "unix://"), images: map[string]*rootImage{}}
	info, err := cli.Info(ctx, client.InfoOptions{})
	if err != nil {
		err = errors.Join(err, cli.Close())
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("%s at %s does not answer: %w", kind, host, err), d.install+"; `"+d.runs+"` shows whether it runs")
	}
	e.info = info.Info
	return e, nil
}

// dialOptions are how to reach a host.
func dialOptions(host string) ([]client.Opt, error) {
	u, err := url.Parse(host)
	if err != nil || host == "" {
		return nil, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("engine address %q: want such as unix:///var/run/docker.sock", host), "see DOCKER_HOST")
	}
	opts := []client.Opt{client.WithHost(host), client.WithUserAgent("agent-process")}
	if u.Scheme == "tcp" || u.Scheme == "https" {
		opts = append(opts, client.WithTLSClientConfigFromEnv())
	}
	return opts, nil
}

// rootless says that the engine runs as an ordinary user.
func (e *engine) rootless() bool {
	return slices.ContainsFunc(e.info.SecurityOptions, func(o string) bool { return strings.HasPrefix(o, "name=rootless") })
}

// image looks at an image, once. It is never pulled here: what an agent runs in
// is a person's choice, and fetched where a person sees it.
func (e *engine) image(ctx context.Context, name string) (*rootImage, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if img, ok := e.images[name]; ok {
		return img, nil
	}
	if name == "" {
		return nil, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("the %s runtime needs an image", e.kind), "name one with --image, or `image = \"...\"` in config.toml")
	}
	got, err := e.ImageInspect(ctx, name)
	if notFound(err) {
		hint := "get it first: " + e.get + " " + name
		if strings.HasPrefix(name, image.Repository+":") {
			hint = "it was built here and is gone: `agent-process image build`, and --image " + image.Project
		}
		return nil, sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("image %q is not there", name), hint)
	}
	if err != nil {
		return nil, sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("image %q: %w", name, err), "")
	}
	img := &rootImage{id: got.ID}
	if c := got.Config; c != nil {
		img.env = c.Env
		for dir := range c.Volumes {
			if dir = path.Clean(dir); path.IsAbs(dir) && dir != "/" {
				img.volumes = append(img.volumes, dir)
			}
		}
		img.user = c.Labels[image.LabelUser]
		commands, err := image.ReadCommands(c.Labels[image.LabelCommands])
		if err != nil {
			return nil, sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("image %q: %w", name, err), "build it again")
		}
		for _, command := range commands {
			img.commands = append(img.commands, command)
		}
	}
	e.images[name] = img
	return img, nil
}

// path is the PATH of an image.
func (i *rootImage) path() string {
	for _, kv := range i.env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok && v != "" {
			return v
		}
	}
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}
