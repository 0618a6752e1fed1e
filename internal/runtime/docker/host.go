package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"agentprocess/internal/sandbox"
)

// FindHost finds the address of an engine where its own client looks for it:
// environment, Docker's contexts, then the sockets of an engine that runs as
// root and of one that runs as the person. env is the person's environment.
func FindHost(kind Kind, env map[string]string) (string, error) {
	d, ok := dialects()[kind]
	if !ok {
		return "", sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("engine %q: there are %q and %q", kind, Docker, Podman), "")
	}
	if kind == Podman {
		if host := env["CONTAINER_HOST"]; host != "" {
			return host, nil
		}
		return firstSocket(d, "podman", env["XDG_RUNTIME_DIR"]+"/podman/podman.sock", "/run/podman/podman.sock")
	}
	if host := env["DOCKER_HOST"]; host != "" {
		return host, nil
	}
	if host, err := contextHost(env); host != "" || err != nil {
		return host, err
	}
	return firstSocket(d, "docker", "/var/run/docker.sock", env["XDG_RUNTIME_DIR"]+"/docker.sock", env["HOME"]+"/.docker/run/docker.sock")
}

// firstSocket is the first of the names that is a socket.
func firstSocket(d dialect, what string, names ...string) (string, error) {
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && info.Mode()&fs.ModeSocket != 0 {
			return "unix://" + name, nil
		}
	}
	return "", sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("no %s engine runs here: none of %q is a socket", what, names), d.install)
}

// contextHost is the address in the person's current Docker context, empty for
// the default one.
func contextHost(env map[string]string) (string, error) {
	dir := env["DOCKER_CONFIG"]
	if dir == "" {
		dir = filepath.Join(env["HOME"], ".docker")
	}
	name := env["DOCKER_CONTEXT"]
	if name == "" {
		var cfg struct {
			CurrentContext string `json:"currentContext"`
		}
		if err := readJSON(filepath.Join(dir, "config.json"), &cfg); err != nil {
			return "", err
		}
		name = cfg.CurrentContext
	}
	if name == "" || name == "default" {
		return "", nil
	}
	sum := sha256.Sum256([]byte(name))
	var meta struct {
		Endpoints map[string]struct{ Host string }
	}
	if err := readJSON(filepath.Join(dir, "contexts", "meta", hex.EncodeToString(sum[:]), "meta.json"), &meta); err != nil {
		return "", err
	}
	host := meta.Endpoints["docker"].Host
	if host == "" {
		return "", sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("docker context %q names no engine", name), "`docker context ls`, or set DOCKER_HOST")
	}
	return host, nil
}

// readJSON reads a file of Docker's client; one that is not there holds nothing.
func readJSON(name string, v any) error {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		return sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("docker's configuration %q: %w", name, err), "set DOCKER_HOST")
	}
	return nil
}
