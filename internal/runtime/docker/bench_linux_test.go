package docker_test

import (
	"os"
	"strconv"
	"testing"

	"agentprocess/internal/execx"
	"agentprocess/internal/runtime/docker"
	"agentprocess/internal/sandbox"
)

// BenchmarkStart is a sandbox with its gateway's sockets around /bin/true, from
// nothing to nothing.
func BenchmarkStart(b *testing.B) {
	for _, kind := range []docker.Kind{docker.Docker, docker.Podman} {
		b.Run(string(kind), func(b *testing.B) {
			rt, n := newRuntime(b, kind), 0
			for b.Loop() {
				n++
				box, err := rt.Start(b.Context(), sandbox.Spec{ID: "bench-" + strconv.Itoa(n), Identity: identity(), Home: "/home/agent", Network: sandbox.NetworkGateway})
				if err != nil {
					b.Fatal(err)
				}
				p, err := box.Exec(b.Context(), sandbox.Command{Argv: []string{"/bin/true"}})
				if err != nil {
					b.Fatal(err)
				}
				if exit, err := p.Wait(); err != nil || exit.Code != 0 {
					b.Fatal(exit, err)
				}
				if err := box.Close(); err != nil {
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
