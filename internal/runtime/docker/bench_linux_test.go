package docker_test

import (
	"os"
	"strconv"
	"testing"

	"agentprocess/internal/execx"
	"agentprocess/internal/runtime/docker"
	"agentprocess/internal/runtime/runtimetest"
)

// BenchmarkStart is a sandbox with its gateway's sockets around /bin/true, from
// nothing to nothing.
func BenchmarkStart(b *testing.B) {
	for _, kind := range []docker.Kind{docker.Docker, docker.Podman} {
		b.Run(string(kind), func(b *testing.B) {
			rt, n := newRuntime(b, kind), 0
			for b.Loop() {
				n++
				if err := runtimetest.Once(b.Context(), runtimetest.Subject{Runtime: rt, Identity: identity()}, "bench-"+strconv.Itoa(n)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPlainRun is `docker run` of the same image with no network.
func BenchmarkPlainRun(b *testing.B) {
	e := engine(b, docker.Docker)
	for b.Loop() {
		err := execx.Run(b.Context(), execx.Cmd{Argv: []string{"docker", "-H", e.Host, "run", "--rm", "--network", "none", testImage, "/bin/true"}, Env: os.Environ()})
		if err != nil {
			b.Fatal(err)
		}
	}
}
