package docker_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"testing"

	"agentprocess/internal/runtime/docker"
	"agentprocess/internal/sandbox"
)

func TestFindHost(t *testing.T) {
	home, runtimeDir := t.TempDir(), t.TempDir()
	write := func(name, data string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sum := sha256.Sum256([]byte("lab"))
	write(filepath.Join(home, "ctx/config.json"), `{"currentContext": "lab"}`)
	write(filepath.Join(home, "ctx/contexts/meta", hex.EncodeToString(sum[:]), "meta.json"), `{"Name": "lab", "Endpoints": {"docker": {"Host": "tcp://192.0.2.1:2376"}}}`)
	write(filepath.Join(home, "gone/config.json"), `{"currentContext": "gone"}`)
	write(filepath.Join(home, "bad/config.json"), `{`)
	if err := os.Mkdir(filepath.Join(runtimeDir, "podman"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(runtimeDir, "podman/podman.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // the test is over
	tests := []struct {
		name string
		kind docker.Kind
		env  map[string]string
		want string
		code sandbox.Code
	}{
		{"variable", docker.Docker, map[string]string{"DOCKER_HOST": "unix:///x", "DOCKER_CONTEXT": "lab"}, "unix:///x", ""},
		{"current context", docker.Docker, map[string]string{"DOCKER_CONFIG": filepath.Join(home, "ctx")}, "tcp://192.0.2.1:2376", ""},
		{"context by variable", docker.Docker, map[string]string{"DOCKER_CONFIG": filepath.Join(home, "ctx"), "DOCKER_CONTEXT": "lab"}, "tcp://192.0.2.1:2376", ""},
		{"a context that is gone", docker.Docker, map[string]string{"DOCKER_CONFIG": filepath.Join(home, "gone")}, "", sandbox.CodeRuntime},
		{"damaged configuration", docker.Docker, map[string]string{"DOCKER_CONFIG": filepath.Join(home, "bad")}, "", sandbox.CodeRuntime},
		{"podman by variable", docker.Podman, map[string]string{"CONTAINER_HOST": "unix:///p"}, "unix:///p", ""},
		{"podman of the person", docker.Podman, map[string]string{"XDG_RUNTIME_DIR": runtimeDir}, "unix://" + runtimeDir + "/podman/podman.sock", ""},
		{"no such engine", "lxc", nil, "", sandbox.CodeUsage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := docker.FindHost(tt.kind, tt.env)
			if got != tt.want || sandbox.ErrorCode(err) != tt.code {
				t.Errorf("%q, %v, want %q, %q", got, err, tt.want, tt.code)
			}
		})
	}
}
