package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"agentprocess/internal/image"
	"agentprocess/internal/sandbox"
)

// emptyImage is the root of a sandbox that is nothing but its network. It is
// made here of nothing.
const emptyImage = "agent-process/empty:1"

// ImageID is the id of an image, which must be there.
func (r *Runtime) ImageID(ctx context.Context, name string) (string, error) {
	e, err := r.connect(ctx)
	if err != nil {
		return "", err
	}
	img, err := e.image(ctx, name)
	if err != nil {
		return "", err
	}
	return fullID(img.id), nil
}

// OpenNetwork makes a sandbox with nothing in it but our init and the network
// of a gateway, which programs of a build join.
func (r *Runtime) OpenNetwork(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	e, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := e.ImageInspect(ctx, emptyImage); notFound(err) {
		err = e.importEmpty(ctx)
		if err != nil {
			return nil, err
		}
	}
	config := r.config
	config.Image = emptyImage
	return (&Runtime{config: config, engine: e, joined: true}).Start(ctx, spec)
}

// Builds are the ids of sandboxes whose network builds have or, when whoever
// built was killed, had: Cleanup removes what is left of one.
func (r *Runtime) Builds() ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(r.boxDir("x")))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for builds: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), image.BuildPrefix) {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// importEmpty makes the image of nothing.
func (e *engine) importEmpty(ctx context.Context) error {
	var root bytes.Buffer
	w := tar.NewWriter(&root)
	err := errors.Join(w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777, Format: tar.FormatPAX}), w.Close())
	if err != nil {
		return fmt.Errorf("make an empty image: %w", err)
	}
	changes := []string{"LABEL " + image.LabelKey + "=empty", "LABEL " + image.LabelSource + "=\"root of builds\""}
	res, err := e.ImageImport(ctx, client.ImageImportSource{Source: &root, SourceName: "-"}, emptyImage, client.ImageImportOptions{Changes: changes})
	if err == nil {
		err = said(res, func(string) {})
	}
	if err != nil {
		return fmt.Errorf("make an empty image: %w", err)
	}
	return nil
}

// said reads what an engine says while it works.
func said(from io.ReadCloser, line func(string)) error {
	defer from.Close()
	dec := json.NewDecoder(from)
	for {
		var m struct {
			Stream string `json:"stream"`
			Error  string `json:"error"`
		}
		err := dec.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("what the engine says is cut off: %w", err)
		case m.Error != "":
			return errors.New(m.Error)
		}
		for text := range strings.SplitSeq(strings.TrimRight(m.Stream, "\n"), "\n") {
			if text != "" {
				line(text)
			}
		}
	}
}

// BuildImage builds an image, whose programs have the network of a sandbox that
// runs and nothing else.
func (r *Runtime) BuildImage(ctx context.Context, b image.Build) (string, error) {
	e, err := r.connect(ctx)
	if err != nil {
		return "", err
	}
	query, err := e.buildQuery(ctx, b)
	if err != nil {
		return "", err
	}
	if err := e.build(ctx, query, b); err != nil {
		return "", err
	}
	got, err := e.ImageInspect(ctx, b.Tag)
	if err != nil {
		return "", fmt.Errorf("image %q: %w", b.Tag, err)
	}
	return fullID(got.ID), nil
}

// buildQuery is a build as the API has it.
func (e *engine) buildQuery(ctx context.Context, b image.Build) (url.Values, error) {
	args, err := json.Marshal(b.Args)
	if err != nil {
		return nil, err
	}
	labels := []byte("{}")
	if len(b.Labels) > 0 {
		if labels, err = json.Marshal(b.Labels); err != nil {
			return nil, err
		}
	}
	query := url.Values{
		"t": {b.Tag}, "dockerfile": {b.Dockerfile}, "target": {b.Target}, "buildargs": {string(args)}, "labels": {string(labels)},
		"rm": {"1"}, "forcerm": {"1"}, "version": {"1"},
	}
	if !e.joinsByPath {
		query.Set("networkmode", "container:"+namePrefix+b.Network)
		return query, nil
	}
	// Podman takes no container here, and says nothing of it.
	c, err := e.ContainerInspect(ctx, namePrefix+b.Network, client.ContainerInspectOptions{})
	if err != nil {
		return nil, fmt.Errorf("network of the build: %w", err)
	}
	if c.Container.State == nil || c.Container.State.Pid <= 0 {
		return nil, errors.New("network of the build: its sandbox has ended")
	}
	namespaces, err := json.Marshal([]map[string]any{{"Name": "network", "Host": false, "Path": fmt.Sprintf("/proc/%d/ns/net", c.Container.State.Pid)}})
	query.Set("nsoptions", string(namespaces))
	return query, err
}

// build asks for it. The official client cannot say all of it to Podman.
func (e *engine) build(ctx context.Context, query url.Values, b image.Build) error {
	dial := e.Dialer()
	web := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }, DisableKeepAlives: true,
	}}
	address := url.URL{Scheme: "http", Host: "engine", Path: "/v" + e.ClientVersion() + "/build", RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address.String(), b.Context)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-tar")
	resp, err := web.Do(req)
	if err != nil {
		return fmt.Errorf("build an image: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return said(resp.Body, b.Output)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	var m struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(text, &m) == nil && m.Message != "" {
		text = []byte(m.Message)
	}
	return errors.Join(fmt.Errorf("build an image: the engine says %d: %s", resp.StatusCode, bytes.TrimSpace(text)), err)
}

// Images are those that were built here.
func (r *Runtime) Images(ctx context.Context) ([]image.Built, error) {
	e, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	list, err := e.ImageList(ctx, client.ImageListOptions{Filters: client.Filters{}.Add("label", image.LabelKey)})
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	var all []image.Built
	for _, i := range list.Items {
		b := image.Built{
			ID: fullID(i.ID), Key: i.Labels[image.LabelKey], Source: i.Labels[image.LabelSource], Project: i.Labels[image.LabelProject],
			Created: time.Unix(i.Created, 0).UTC(), Bytes: i.Size,
		}
		if len(i.RepoTags) > 0 {
			b.Tag = strings.TrimPrefix(strings.TrimPrefix(i.RepoTags[0], "localhost/"), "docker.io/") // Podman's
		}
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b image.Built) int { return b.Created.Compare(a.Created) })
	return all, nil
}

// fullID is the id of an image as Docker writes it; Podman leaves out the first
// part in some of its answers.
func fullID(id string) string {
	if strings.Contains(id, ":") {
		return id
	}
	return "sha256:" + id
}

// RemoveImage removes an image by its id or name, unless a container has it.
func (r *Runtime) RemoveImage(ctx context.Context, id string) error {
	e, err := r.connect(ctx)
	if err != nil {
		return err
	}
	if _, err := e.ImageRemove(ctx, id, client.ImageRemoveOptions{PruneChildren: true}); err != nil && !notFound(err) {
		return fmt.Errorf("remove image %q: %w", id, err)
	}
	return nil
}
