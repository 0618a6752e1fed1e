package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Project is the word by which a person asks for the image of the project.
const Project = "."

// Dockerfiles and settings that a project may bring, the first one counts.
const (
	OwnDockerfile   = ".agent-process/Dockerfile"
	devcontainer    = ".devcontainer/devcontainer.json"
	devcontainerTop = ".devcontainer.json"
)

// Repository is the name that images which were built here have in an engine.
const Repository = "agent-process/image"

// The labels of images that were built here.
const (
	LabelKey      = "agent-process.image"            // the hash of all that went into it
	LabelSource   = "agent-process.image.source"     // where the recipe is
	LabelProject  = "agent-process.image.project"    // for which repository
	LabelUser     = "agent-process.image.user"       // what agents in it are called
	LabelCommands = "agent-process.image.after-make" // JSON: commands to run once the tree is there
)

// File is a file of a commit.
type File struct {
	Path string
	Mode uint32 // git's
	Data []byte
}

// Recipe is how an image is made.
type Recipe struct {
	// Source is the file that says it.
	Source string
	// Image is what it begins with, when there is no Dockerfile.
	Image string
	// Dockerfile is one to build first.
	Dockerfile *Dockerfile
	// Context is the directory of the tree that it copies from; empty is the root.
	Context string
	Args    map[string]string
	Target  string
	// Env are variables of every program in it, K=V.
	Env []string
	// User is what agents are called.
	User string
	// Volumes are directories that are empty and private to each run.
	Volumes []string
	// Commands run once the tree is there, before the agent.
	Commands []Command
	// Features are scripts that add to it.
	Features []Feature
	// Notices say what is left out, and why.
	Notices []string
}

// Command is a program and its arguments.
type Command []string

// ReadCommands reads the label of commands.
func ReadCommands(label string) ([]Command, error) {
	if label == "" {
		return nil, nil
	}
	var all []Command
	if err := json.Unmarshal([]byte(label), &all); err != nil {
		return nil, fmt.Errorf("label %s: %w", LabelCommands, err)
	}
	return all, nil
}

// Wanted says whether a file of the tree may hold a recipe.
func Wanted(name string) bool {
	return name == OwnDockerfile || name == devcontainer || name == devcontainerTop
}

// defaultDockerfile is for people who have none.
const defaultDockerfile = `FROM debian:stable-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl git jq less make openssh-client patch procps python3 ripgrep unzip xz-utils && rm -rf /var/lib/apt/lists/*
`

// DefaultSource says that a recipe is ours.
const DefaultSource = "built-in default"

// Default is the recipe of people who have none.
func Default() (Recipe, error) {
	d, err := ParseDockerfile([]byte(defaultDockerfile), nil)
	return Recipe{Source: DefaultSource, Dockerfile: d}, err
}

// More gives, of the file that says how, the paths of other files of the tree
// that it needs: a Dockerfile, and directories of features.
func More(f File) (paths []string, err error) {
	if f.Path == OwnDockerfile {
		return nil, nil
	}
	c, err := parseContainer(f.Data)
	if err != nil {
		return nil, err
	}
	dockerfile, err := c.dockerfilePath(f.Path)
	if err != nil {
		return nil, err
	}
	if dockerfile != "" {
		paths = append(paths, dockerfile)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Features)) {
		if dir, err := featureDir(f.Path, name); err == nil {
			paths = append(paths, dir)
		}
	}
	return paths, nil
}

// Source is the file that says how an image is made, of those that are Wanted.
func Source(files []File) (File, bool) {
	for _, name := range []string{OwnDockerfile, devcontainer, devcontainerTop} {
		for _, f := range files {
			if f.Path == name {
				return f, true
			}
		}
	}
	return File{}, false
}

// Find reads the recipe of a project from its files, among which are those that
// More names. Without any it is the default.
func Find(files []File) (Recipe, error) {
	f, ok := Source(files)
	if !ok {
		return Default()
	}
	if f.Mode&0o170000 != 0o100000 {
		return Recipe{}, fmt.Errorf("%s is no regular file", f.Path)
	}
	if f.Path != OwnDockerfile {
		return fromContainer(f, files)
	}
	d, err := ParseDockerfile(f.Data, nil)
	if err != nil {
		return Recipe{}, fmt.Errorf("%s: %w", f.Path, err)
	}
	return Recipe{Source: f.Path, Dockerfile: d}, nil
}

// Bases are the images that must be there.
func (r Recipe) Bases() []string {
	if r.Dockerfile == nil {
		return []string{r.Image}
	}
	return r.Dockerfile.Bases()
}

// UsesContext reports whether it copies from the tree.
func (r Recipe) UsesContext() bool { return r.Dockerfile != nil && r.Dockerfile.UsesContext() }

// Steps is how many instructions it has.
func (r Recipe) Steps() int {
	n := bytes.Count(r.last(End{}), []byte("\n"))
	if r.Dockerfile != nil {
		n += len(r.Dockerfile.instructions)
	}
	return n
}

// Key is the hash of all that goes into an image: ids are those of Bases, and
// tree that of the context.
func (r Recipe) Key(ids []string, tree string) string {
	h := sha256.New()
	part := func(s string) { fmt.Fprintf(h, "%d:%s", len(s), s) }
	part("1")
	for _, id := range ids {
		part(id)
	}
	if r.Dockerfile != nil {
		part(string(r.Dockerfile.Render(nil)))
	}
	if r.UsesContext() {
		part(tree)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Args)) {
		part(k + "=" + r.Args[k])
	}
	part(r.Target)
	part(string(r.last(End{Base: "base"})))
	for _, f := range r.Features {
		for _, file := range f.Files {
			part(fmt.Sprintf("%s %o", file.Path, file.Mode))
			part(string(file.Data))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Tag is the name of the image with a key.
func Tag(key string) string { return Repository + ":" + key[:16] }

func (r Recipe) labels() map[string]string {
	labels := map[string]string{}
	if r.User != "" {
		labels[LabelUser] = r.User
	}
	if len(r.Commands) > 0 {
		text, err := json.Marshal(r.Commands)
		if err == nil { // lists of strings always can be
			labels[LabelCommands] = string(text)
		}
	}
	return labels
}

// End is what the last step of a recipe is made with.
type End struct {
	Base         string   // the image of the first step, or the recipe's Image
	After        []string // follows FROM
	Files        []File   // more that goes into the context
	Key, Project string   // for the labels
}

// Last is the context of the last step, with its Dockerfile: it adds what is no
// Dockerfile's, and the labels.
func (r Recipe) Last(e End) ([]byte, error) {
	files := slices.Clone(e.Files)
	for n, f := range r.Features {
		for _, file := range f.Files {
			files = append(files, File{Path: path.Join(featureContext(n), file.Path), Mode: file.Mode, Data: file.Data})
		}
	}
	return Tar(append(files, File{Path: DockerfileName, Mode: 0o100644, Data: r.last(e)}))
}

// DockerfileName is what a Dockerfile is called in contexts of ours: no file of
// a project's.
const DockerfileName = ".agent-process-build/Dockerfile"

func featureContext(n int) string { return fmt.Sprintf(".agent-process-build/feature-%d", n) }

func (r Recipe) last(e End) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "FROM %s\n", e.Base)
	for _, line := range e.After {
		fmt.Fprintln(&out, line)
	}
	if len(r.Features) > 0 {
		fmt.Fprintln(&out, "USER 0")
	}
	for n, f := range r.Features {
		dir := fmt.Sprintf("/tmp/agent-process-feature-%d", n)
		fmt.Fprintf(&out, "COPY %s %s\n", featureContext(n), dir)
		fmt.Fprintf(&out, "RUN cd %s && chmod +x install.sh && %s ./install.sh && rm -rf %s\n", dir, f.environment(r.User), dir)
		writePairs(&out, "ENV", f.Env)
	}
	writePairs(&out, "ENV", r.Env)
	if len(r.Volumes) > 0 {
		text, err := json.Marshal(r.Volumes)
		if err == nil { // a list of strings always can be
			fmt.Fprintf(&out, "VOLUME %s\n", text)
		}
	}
	labels := r.labels()
	labels[LabelKey], labels[LabelSource], labels[LabelProject] = e.Key, r.Source, e.Project
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, k+"="+labels[k])
	}
	writePairs(&out, "LABEL", pairs) // at the end, since no step is begun anew for another key
	return out.Bytes()
}

// writePairs writes K=V so that nothing in it is expanded.
func writePairs(out *bytes.Buffer, instruction string, pairs []string) {
	for i, kv := range pairs {
		name, value, _ := strings.Cut(kv, "=")
		if i == 0 {
			fmt.Fprint(out, instruction)
		}
		fmt.Fprintf(out, " %s=\"%s\"", name, strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "\n", " ").Replace(value))
	}
	if len(pairs) > 0 {
		fmt.Fprintln(out)
	}
}

// Tar makes a context of files.
func Tar(files []File) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		if err := WriteFile(w, f); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("make a context: %w", err)
	}
	return buf.Bytes(), nil
}

// WriteFile adds a file to a context.
func WriteFile(w *tar.Writer, f File) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: f.Path, Mode: int64(f.Mode & 0o755), Size: int64(len(f.Data)), Format: tar.FormatPAX}
	data := f.Data
	if f.Mode&0o170000 == 0o120000 {
		h.Typeflag, h.Linkname, h.Size, data = tar.TypeSymlink, string(f.Data), 0, nil
	}
	if err := w.WriteHeader(h); err != nil {
		return fmt.Errorf("make a context: %q: %w", f.Path, err)
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("make a context: %q: %w", f.Path, err)
	}
	return nil
}
