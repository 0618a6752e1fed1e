package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/tailscale/hujson"
)

// maxContainer bounds a devcontainer.json, in bytes.
const maxContainer = 1 << 20

// container is a devcontainer.json, as far as it is obeyed.
type container struct {
	Image      string `json:"image"`
	DockerFile string `json:"dockerFile"` // the old place of build.dockerfile
	Context    string `json:"context"`
	Build      struct {
		Dockerfile string            `json:"dockerfile"`
		Context    string            `json:"context"`
		Args       map[string]string `json:"args"`
		Target     string            `json:"target"`
		Options    []string          `json:"options"`
	} `json:"build"`
	Compose      any               `json:"dockerComposeFile"`
	Features     map[string]any    `json:"features"`
	Order        []string          `json:"overrideFeatureInstallOrder"`
	ContainerEnv map[string]string `json:"containerEnv"`
	RemoteEnv    map[string]string `json:"remoteEnv"`
	RemoteUser   string            `json:"remoteUser"`
	User         string            `json:"containerUser"`
	OnCreate     any               `json:"onCreateCommand"`
	UpdateTree   any               `json:"updateContentCommand"`
	PostCreate   any               `json:"postCreateCommand"`
	Mounts       []any             `json:"mounts"`

	all map[string]any
}

// standard makes JSON of JSON with comments.
func standard(data []byte) ([]byte, error) {
	if len(data) > maxContainer {
		return nil, fmt.Errorf("%d bytes are too many", len(data))
	}
	return hujson.Standardize(bytes.Clone(data)) // it works in place
}

func parseContainer(data []byte) (container, error) {
	var c container
	data, err := standard(data)
	if err != nil {
		return c, err
	}
	return c, errors.Join(json.Unmarshal(data, &c), json.Unmarshal(data, &c.all))
}

// dockerfilePath is where in the tree its Dockerfile is, empty when there is none.
func (c container) dockerfilePath(source string) (string, error) {
	name := c.Build.Dockerfile
	if name == "" {
		name = c.DockerFile
	}
	if name == "" {
		return "", nil
	}
	return inTree(source, name)
}

// inTree is a path that is relative to the file source, in the tree.
func inTree(source, name string) (string, error) {
	p := path.Join(path.Dir(source), name)
	if path.IsAbs(name) || p == ".." || strings.HasPrefix(p, "../") {
		return "", fmt.Errorf("the path %q leads out of the tree", truncated(name))
	}
	return p, nil
}

// fromContainer makes the recipe of a devcontainer.json.
func fromContainer(f File, files []File) (Recipe, error) {
	r, err := parseRecipe(f, files)
	if err != nil {
		return Recipe{}, fmt.Errorf("%s: %w", f.Path, err)
	}
	return r, nil
}

func parseRecipe(f File, files []File) (Recipe, error) {
	c, err := parseContainer(f.Data)
	if err != nil {
		return Recipe{}, err
	}
	r := Recipe{Source: f.Path}
	if c.Compose != nil {
		return r, errors.New("dockerComposeFile: several containers cannot be an agent's sandbox; name an image or a Dockerfile")
	}
	if err := c.system(&r, f.Path, files); err != nil {
		return r, err
	}
	if err := c.features(&r, f.Path, files); err != nil {
		return r, err
	}
	c.environment(&r)
	if err := checkEnv("containerEnv", r.Env); err != nil {
		return r, err
	}
	c.user(&r)
	for _, hook := range []struct {
		key   string
		value any
	}{{"onCreateCommand", c.OnCreate}, {"updateContentCommand", c.UpdateTree}, {"postCreateCommand", c.PostCreate}} {
		commands, err := readCommand(hook.value)
		if err != nil {
			return r, fmt.Errorf("%s: %w", hook.key, err)
		}
		r.Commands = append(r.Commands, commands...)
	}
	for _, m := range c.Mounts {
		c.mount(&r, m)
	}
	c.leftOut(&r)
	return r, nil
}

// system is what the image begins with.
func (c container) system(r *Recipe, source string, files []File) error {
	name, err := c.dockerfilePath(source)
	switch {
	case err != nil:
		return err
	case name == "" && c.Image == "":
		return errors.New("it names neither an image nor a Dockerfile")
	case name == "":
		if !ValidReference(c.Image) {
			return fmt.Errorf("image %q is no name of an image", truncated(c.Image))
		}
		r.Image = c.Image
		return nil
	}
	context := c.Build.Context
	if context == "" {
		context = c.Context
	}
	if r.Context, err = inTree(source, path.Join(".", context)); err != nil {
		return err
	}
	if r.Context == "." {
		r.Context = ""
	}
	at := slices.IndexFunc(files, func(f File) bool { return f.Path == name && f.Mode&0o170000 == 0o100000 })
	if at < 0 {
		return fmt.Errorf("the Dockerfile %q is not in the commit", name)
	}
	r.Args, r.Target = map[string]string{}, c.Build.Target
	for k, v := range c.Build.Args {
		if r.Args[k], err = r.replace("build.args", k, v); err != nil {
			return err
		}
		if !validName(k) || !oneLine(v) {
			return fmt.Errorf("build.args: %q cannot be an ARG", truncated(k))
		}
	}
	if r.Dockerfile, err = ParseDockerfile(files[at].Data, r.Args); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if r.Target != "" && !r.Dockerfile.HasTarget(r.Target) {
		return fmt.Errorf("build.target: %s has no stage %q", name, truncated(r.Target))
	}
	if len(c.Build.Options) > 0 {
		r.notice("build.options", "they would change what the engine allows")
	}
	return nil
}

// features reads the features, in the order that is asked for.
func (c container) features(r *Recipe, source string, files []File) error {
	order := slices.DeleteFunc(slices.Clone(c.Order), func(n string) bool { _, ok := c.Features[n]; return !ok })
	for _, n := range slices.Sorted(maps.Keys(c.Features)) {
		if !slices.Contains(order, n) {
			order = append(order, n)
		}
	}
	for _, n := range order {
		f, err := readFeature(source, n, c.Features[n], files)
		if err != nil {
			return err
		}
		r.Features = append(r.Features, f)
	}
	return nil
}

func (c container) environment(r *Recipe) {
	all := maps.Clone(c.ContainerEnv)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, c.RemoteEnv)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		v, err := r.replace("containerEnv", k, all[k])
		if err != nil {
			r.Notices = append(r.Notices, err.Error())
			continue
		}
		r.Env = append(r.Env, k+"="+v)
	}
}

func (c container) user(r *Recipe) {
	user := c.RemoteUser
	if user == "" {
		user = c.User
	}
	switch {
	case user == "":
	case user == "root" || !userName().MatchString(user):
		r.notice("remoteUser "+truncated(user), "agents are never root, and have an ordinary name")
	default:
		r.User = user
	}
}

var userName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`) })

var placeholder = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\$\{([A-Za-z]+)(?::([^:}]*))?(?::([^}]*))?\}`)
})

// replace puts in what the specification's variables stand for. Nothing of this
// machine is one of them.
func (r *Recipe) replace(what, key, value string) (string, error) {
	var odd string
	out := placeholder().ReplaceAllStringFunc(value, func(m string) string {
		p := placeholder().FindStringSubmatch(m)
		if p[1] != "localEnv" {
			odd = m
			return ""
		}
		r.notice(what+" "+truncated(key), m+" would bring in a variable of this machine: it is "+fmt.Sprintf("%q", p[3]))
		return p[3]
	})
	if odd != "" {
		return "", fmt.Errorf("%s %s: %s is not known when an image is made", what, truncated(key), truncated(odd))
	}
	return out, nil
}

// readCommand reads a command: a line of shell, words, or several of these.
func readCommand(v any) ([]Command, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		if strings.TrimSpace(v) == "" {
			return nil, nil
		}
		return []Command{{"/bin/sh", "-c", workspace(v)}}, nil
	case []any:
		var c Command
		for _, word := range v {
			s, ok := word.(string)
			if !ok || strings.ContainsRune(s, 0) {
				return nil, errors.New("want a list of strings")
			}
			c = append(c, workspace(s))
		}
		if len(c) == 0 || c[0] == "" {
			return nil, errors.New("the program's name is missing")
		}
		return []Command{c}, nil
	case map[string]any:
		var all []Command
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if _, nested := v[name].(map[string]any); nested {
				return nil, fmt.Errorf("%q: want a string or a list", truncated(name))
			}
			c, err := readCommand(v[name])
			if err != nil {
				return nil, err
			}
			all = append(all, c...)
		}
		return all, nil
	default:
		return nil, errors.New("want a string, a list or an object")
	}
}

// workspace puts the directory in which commands run for its names.
func workspace(s string) string {
	return strings.NewReplacer("${containerWorkspaceFolder}", ".", "${localWorkspaceFolder}", ".").Replace(s)
}

// mount maps one of mounts: what is empty and private can be had, nothing of the
// host.
func (c container) mount(r *Recipe, v any) {
	kind, target, source := mountParts(v)
	what := fmt.Sprintf("mount at %s", truncated(target))
	switch {
	case kind == "bind":
		r.notice(what, fmt.Sprintf("%s of this machine is not shown to agents", truncated(source)))
	case kind != "volume" && kind != "tmpfs":
		r.notice(what, "its type is not known")
	case !path.IsAbs(target) || path.Clean(target) != target || target == "/" || strings.ContainsAny(target, "$\"\\,:") || !oneLine(target):
		r.notice(what, "it is not a plain absolute path outside the tree")
	case slices.ContainsFunc(reserved(), func(dir string) bool { return target == dir || strings.HasPrefix(target, dir+"/") }):
		r.notice(what, "that is the system's own")
	default:
		r.Volumes = append(r.Volumes, target)
		r.Notices = append(r.Notices, what+" is empty memory of each run: nothing is shared between agents")
	}
}

// reserved are directories where nothing is mounted for a project.
func reserved() []string {
	return []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/sys", "/dev", "/etc", "/run", "/opt/agent-process", "/tmp", "/var/tmp", "/home/agent"}
}

func mountParts(v any) (kind, target, source string) {
	parts := map[string]string{}
	switch v := v.(type) {
	case string:
		for part := range strings.SplitSeq(v, ",") {
			key, value, _ := strings.Cut(part, "=")
			parts[strings.TrimSpace(key)] = value
		}
	case map[string]any:
		for key, value := range v {
			parts[key] = fmt.Sprint(value)
		}
	}
	for _, other := range []string{"dst", "destination"} {
		if parts["target"] == "" {
			parts["target"] = parts[other]
		}
	}
	if parts["source"] == "" {
		parts["source"] = parts["src"]
	}
	return parts["type"], parts["target"], parts["source"]
}

// leftOut says which keys do nothing here, and why.
func (c container) leftOut(r *Recipe) {
	const walls = "a sandbox is what it is, whatever a project says"
	const start = "nothing of a project runs but what makes the image or prepares the tree"
	why := map[string]string{
		"initializeCommand": "it would run on your machine", "postStartCommand": start, "postAttachCommand": start,
		"runArgs": walls, "privileged": walls, "capAdd": walls, "securityOpt": walls, "appPort": walls,
		"workspaceMount": "the tree is mounted where agents find it", "workspaceFolder": "the tree is mounted where agents find it",
	}
	quiet := []string{
		"$schema", "name", "customizations", "extensions", "settings", "forwardPorts", "portsAttributes", "otherPortsAttributes", "shutdownAction", "overrideCommand",
		"updateRemoteUserUID", "userEnvProbe", "hostRequirements", "waitFor", "secrets", "init", "service", "runServices",
		"image", "dockerFile", "context", "build", "features", "overrideFeatureInstallOrder", "containerEnv", "remoteEnv", "remoteUser", "containerUser",
		"onCreateCommand", "updateContentCommand", "postCreateCommand", "mounts",
	}
	for _, key := range slices.Sorted(maps.Keys(c.all)) {
		if text, ok := why[key]; ok {
			r.notice(key, text)
		} else if !slices.Contains(quiet, key) {
			r.notice(truncated(key), "it is not known here")
		}
	}
}

func (r *Recipe) notice(what, why string) {
	r.Notices = append(r.Notices, what+" is left out: "+why)
}

// checkEnv refuses variables that a Dockerfile cannot hold.
func checkEnv(what string, env []string) error {
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		if !validName(name) || !oneLine(value) {
			return fmt.Errorf("%s: %q cannot be a variable of an image", what, truncated(name))
		}
	}
	return nil
}

// oneLine reports whether s is printable and on one line, so that it can stand
// in an instruction.
func oneLine(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
