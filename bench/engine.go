package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"agentprocess/internal/execx"
)

// engine is a Docker engine of the bench's own, with its own root, socket and
// bridge, so that nothing of the person's is touched.
type engine struct {
	proc   *execx.Process
	socket string
}

// image is the local image that containers run: one static busybox.
const image = "agent-process-bench"

// startEngine starts dockerd and imports the image. The error says what is
// missing.
func (b *bench) startEngine(ctx context.Context) (*engine, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("a Docker engine of the bench's own needs root")
	}
	dockerd, err := exec.LookPath("dockerd")
	if err != nil {
		return nil, errors.New("no dockerd: apt-get install docker.io")
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return nil, errors.New("no busybox: apt-get install busybox-static")
	}
	e := &engine{socket: "unix://" + filepath.Join(b.dir, "docker.sock")}
	logFile, err := os.OpenFile(filepath.Join(b.dir, "dockerd.log"), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = logFile.Close() }() // dockerd writes to a descriptor of its own
	e.proc, err = execx.Start(ctx, execx.Cmd{
		Argv: []string{
			dockerd, "--data-root", filepath.Join(b.dir, "docker"), "--exec-root", filepath.Join(b.dir, "docker-exec"),
			"--pidfile", filepath.Join(b.dir, "docker.pid"), "-H", e.socket,
		},
		Env: os.Environ(), Stdout: logFile, Stderr: logFile,
	})
	if err != nil {
		return nil, err
	}
	if err := e.ready(ctx); err != nil {
		return nil, errors.Join(err, e.stop())
	}
	if err := e.load(ctx, b.dir, busybox); err != nil {
		return nil, errors.Join(err, e.stop())
	}
	return e, nil
}

// docker is an argv of the client, aimed at this engine.
func (e *engine) docker(args ...string) []string {
	return append([]string{"docker", "-H", e.socket}, args...)
}

// ready waits, at most 30 s, until the engine answers.
func (e *engine) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := timed(ctx, e.docker("version")...); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("dockerd does not answer; see dockerd.log")
		case <-tick.C:
		}
	}
}

// load makes the image out of one static binary; nothing is pulled.
func (e *engine) load(ctx context.Context, dir, busybox string) error {
	root := filepath.Join(dir, "image")
	if err := os.MkdirAll(filepath.Join(root, "bin"), 0o755); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"cp", busybox, filepath.Join(root, "bin/busybox")},
		{"ln", "-s", "busybox", filepath.Join(root, "bin/true")},
		{"ln", "-s", "busybox", filepath.Join(root, "bin/sleep")},
		{"tar", "-C", root, "-cf", filepath.Join(dir, "image.tar"), "."},
		e.docker("import", filepath.Join(dir, "image.tar"), image),
	} {
		if _, err := timed(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// pair is what others do for one agent: an internal network, a proxy container
// on it and on the bridge, the agent container, and removing it all. The proxy
// only sleeps, which favours the pair.
func (e *engine) pair(ctx context.Context) (time.Duration, error) {
	var total time.Duration
	for _, args := range [][]string{
		{"network", "create", "--internal", "bench-net"},
		{"run", "-d", "--name", "bench-proxy", "--network", "bench-net", image, "/bin/sleep", "300"},
		{"network", "connect", "bridge", "bench-proxy"},
		{"run", "--rm", "--network", "bench-net", image, "/bin/true"},
		{"rm", "-f", "bench-proxy"},
		{"network", "rm", "bench-net"},
	} {
		d, err := timed(ctx, e.docker(args...)...)
		if err != nil {
			return 0, err
		}
		total += d
	}
	return total, nil
}

// stop ends the engine by its process id and waits for it.
func (e *engine) stop() error {
	if err := e.proc.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop dockerd: %w", err)
	}
	_ = e.proc.Wait() // it ends by the signal
	return nil
}
