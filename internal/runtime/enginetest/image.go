package enginetest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/moby/client"

	"agentprocess/internal/execx"
)

// Import makes an image of a root file system.
func (e *Engine) Import(ctx context.Context, name string, root []byte) error {
	cli, err := client.New(client.WithHost(e.Host))
	if err != nil {
		return err
	}
	defer func() { _ = cli.Close() }() // idle connections
	res, err := cli.ImageImport(ctx, client.ImageImportSource{Source: bytes.NewReader(root), SourceName: "-"}, name, client.ImageImportOptions{})
	if err != nil {
		return fmt.Errorf("import image %q: %w", name, err)
	}
	said, err := io.ReadAll(res)
	if err := errors.Join(err, res.Close()); err != nil {
		return fmt.Errorf("import image %q: %w", name, err)
	}
	if bytes.Contains(said, []byte(`"error"`)) {
		return fmt.Errorf("import image %q: %s", name, said)
	}
	return nil
}

// Left is what an engine holds besides images: containers, volumes and networks
// that are not its own.
func (e *Engine) Left(ctx context.Context) ([]string, error) {
	cli, err := client.New(client.WithHost(e.Host))
	if err != nil {
		return nil, err
	}
	defer func() { _ = cli.Close() }() // idle connections
	containers, cerr := cli.ContainerList(ctx, client.ContainerListOptions{All: true})
	volumes, verr := cli.VolumeList(ctx, client.VolumeListOptions{})
	networks, nerr := cli.NetworkList(ctx, client.NetworkListOptions{})
	var left []string
	for _, c := range containers.Items {
		left = append(left, "container "+strings.Join(c.Names, " "))
	}
	for _, v := range volumes.Items {
		left = append(left, "volume "+v.Name)
	}
	for _, n := range networks.Items {
		if !slices.Contains([]string{"bridge", "host", "none", "podman"}, n.Name) {
			left = append(left, "network "+n.Name)
		}
	}
	return left, errors.Join(cerr, verr, nerr)
}

// Tools is a small root file system made of this machine's own programs: a
// static busybox with all its applets, the programs that are named, and the
// libraries that they and other files need.
func Tools(ctx context.Context, programs []string, others ...string) ([]byte, error) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return nil, errors.New("no busybox: apt-get install busybox-static")
	}
	r := &root{have: map[string]bool{}}
	r.out = tar.NewWriter(&r.data)
	r.dirs("bin", "usr/lib", "etc", "root", "home", "lib", "lib64")
	r.link("usr/bin", "../bin")
	r.link("sbin", "bin")
	r.dirMode("tmp", 0o1777)
	r.file(busybox, "bin/busybox")
	applets, err := execx.Output(ctx, execx.Cmd{Argv: []string{busybox, "--list"}})
	if err != nil {
		return nil, err
	}
	for name := range strings.FieldsSeq(string(applets)) {
		if name != "busybox" {
			r.link("bin/"+name, "busybox")
		}
	}
	for _, name := range programs {
		if err := r.program(ctx, name); err != nil {
			return nil, err
		}
	}
	for _, file := range others {
		r.libraries(ctx, file)
	}
	if err := errors.Join(r.err, r.out.Close()); err != nil {
		return nil, fmt.Errorf("make an image: %w", err)
	}
	return r.data.Bytes(), nil
}

// root is a root file system while it is written; the first error stays.
type root struct {
	data bytes.Buffer
	out  *tar.Writer
	have map[string]bool
	err  error
}

func (r *root) write(h *tar.Header, data []byte) {
	if r.err != nil || r.have[h.Name] {
		return
	}
	r.have[h.Name] = true
	h.Format, h.Size = tar.FormatPAX, int64(len(data))
	if r.err = r.out.WriteHeader(h); r.err == nil {
		_, r.err = r.out.Write(data)
	}
}

func (r *root) dirs(names ...string) {
	for _, name := range names {
		r.dirMode(name, 0o755)
	}
}

func (r *root) dirMode(name string, mode int64) {
	if parent := path.Dir(name); parent != "." {
		r.dirs(parent)
	}
	r.write(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}, nil)
}

func (r *root) link(name, to string) {
	r.dirs(path.Dir(name))
	r.write(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777}, nil)
}

// file puts a file of this machine at a name.
func (r *root) file(from, name string) {
	data, err := os.ReadFile(from)
	if err != nil {
		r.err = errors.Join(r.err, err)
		return
	}
	r.dirs(path.Dir(name))
	r.write(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755}, data)
}

// program adds a program of this machine under its own name in /bin, before
// busybox's, and its libraries where it looks for them.
func (r *root) program(ctx context.Context, name string) error {
	file, err := exec.LookPath(name)
	if err != nil {
		return fmt.Errorf("no %s on this machine: %w", name, err)
	}
	r.file(file, "bin/"+filepath.Base(name))
	r.libraries(ctx, file)
	return nil
}

// libraries adds what a program is linked with; a static one needs none.
func (r *root) libraries(ctx context.Context, file string) {
	out, err := execx.Output(ctx, execx.Cmd{Argv: []string{"ldd", file}, Env: environ()})
	if err != nil {
		return
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		for field := range strings.FieldsSeq(lines.Text()) {
			if path.IsAbs(field) {
				r.file(field, strings.TrimPrefix(field, "/"))
			}
		}
	}
}
