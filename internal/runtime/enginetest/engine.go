package enginetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"agentprocess/internal/execx"
)

// readyTime bounds the wait for an engine to answer.
const readyTime = time.Minute

// stopTime bounds the wait for an engine to end.
const stopTime = 20 * time.Second

// Engine is an engine of ours.
type Engine struct {
	// Host is its address, as DOCKER_HOST has it.
	Host  string
	proc  *execx.Process
	log   string
	ended chan error // holds how it ended
}

// StartDocker starts dockerd below dir, which is empty or holds the data of one
// that ended. The error says what is missing.
func StartDocker(ctx context.Context, dir string) (*Engine, error) {
	return start(ctx, dir, "dockerd", "docker.io", func(socket string) []string {
		return []string{
			"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
			"--pidfile", filepath.Join(dir, "pid"), "--group", "root", "-H", socket,
		}
	})
}

// StartPodman starts Podman's API below dir, as StartDocker.
func StartPodman(ctx context.Context, dir string) (*Engine, error) {
	return start(ctx, dir, "podman", "podman", func(socket string) []string {
		return []string{
			"--root", filepath.Join(dir, "data"), "--runroot", filepath.Join(dir, "run"), "--tmpdir", filepath.Join(dir, "tmp"),
			"--cgroup-manager", "cgroupfs", "--events-backend", "none", "--network-config-dir", filepath.Join(dir, "networks"),
			"system", "service", "--time", "0", socket,
		}
	})
}

func start(ctx context.Context, dir, program, pkg string, args func(socket string) []string) (*Engine, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("a container engine of one's own needs root")
	}
	for name, from := range map[string]string{program: pkg, "unshare": "util-linux"} {
		if _, err := exec.LookPath(name); err != nil {
			return nil, fmt.Errorf("no %s: apt-get install %s", name, from)
		}
	}
	e := &Engine{Host: "unix://" + filepath.Join(dir, "engine.sock"), log: filepath.Join(dir, "log")}
	logFile, err := os.OpenFile(e.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = logFile.Close() }() // the engine writes to a descriptor of its own
	argv := append([]string{"unshare", "--net", "--mount", "--propagation", "slave", "--", program}, args(e.Host)...)
	e.proc, err = execx.Start(context.WithoutCancel(ctx), execx.Cmd{Argv: argv, Env: environ(), Stdout: logFile, Stderr: logFile})
	if err != nil {
		return nil, err
	}
	if err := e.ready(ctx, filepath.Join(dir, "engine.sock")); err != nil {
		return nil, errors.Join(err, e.Stop())
	}
	return e, nil
}

// environ is what an engine needs of ours.
func environ() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=/root"}
}

// ready waits until the engine answers.
func (e *Engine) ready(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer c.CloseIdleConnections()
	ended := make(chan error, 1)
	go func() { ended <- e.proc.Wait() }()
	e.ended = ended
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/_ping", nil)
		if err != nil {
			return err
		}
		if resp, err := c.Do(req); err == nil && resp.StatusCode == http.StatusOK {
			return resp.Body.Close()
		}
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("the engine ended: %w\n%s", err, e.Log())
		case <-ctx.Done():
			return fmt.Errorf("the engine does not answer\n%s", e.Log())
		case <-tick.C:
		}
	}
}

// Log is the end of what the engine wrote.
func (e *Engine) Log() string {
	data, err := os.ReadFile(e.log)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-4096):])
}

// PID is the engine's process id.
func (e *Engine) PID() int { return e.proc.PID() }

// Kill kills the engine with no warning, and the containerd that a dockerd
// started for itself: its containers run on, as they do when an engine crashes.
func (e *Engine) Kill() error {
	err := e.proc.Signal(syscall.SIGKILL)
	e.ended <- <-e.ended // it has ended then
	name := filepath.Join(filepath.Dir(e.log), "exec", "containerd", "containerd.pid")
	data, rerr := os.ReadFile(name)
	if errors.Is(rerr, os.ErrNotExist) {
		return err // an engine without one
	}
	pid, perr := strconv.Atoi(strings.TrimSpace(string(data)))
	if err := errors.Join(err, rerr, perr); err != nil {
		return err
	}
	// Until its new parent buries it, a dockerd that follows would take it for
	// alive.
	return errors.Join(syscall.Kill(pid, syscall.SIGKILL), os.Remove(name))
}

// Stop ends the engine by its process id and waits for it. Again does nothing.
func (e *Engine) Stop() error {
	select {
	case err := <-e.ended:
		e.ended <- err
		return nil
	default:
	}
	if err := e.proc.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the engine: %w", err)
	}
	select {
	case err := <-e.ended: // by the signal
		e.ended <- err
		return nil
	case <-time.After(stopTime):
		return errors.Join(errors.New("the engine does not stop"), e.Kill())
	}
}
