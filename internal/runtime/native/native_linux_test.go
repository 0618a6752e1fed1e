package native_test

import (
	"bytes"
	"os"
	"testing"

	"agentprocess/internal/runtime/native"
	"agentprocess/internal/sandbox"
)

func TestMain(m *testing.M) {
	if handled, status := native.Main(os.Args); handled {
		os.Exit(status)
	}
	os.Exit(m.Run())
}

func TestQuick(t *testing.T) {
	id, err := native.DefaultIdentity()
	if err != nil {
		t.Fatal(err)
	}
	rt := native.New(native.Config{StateDir: t.TempDir()})
	box, err := rt.Start(t.Context(), sandbox.Spec{ID: "q1", Identity: id, Home: "/home/agent", Network: sandbox.NetworkGateway, ToolPath: os.Getenv("PATH")})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", box.Facts())
	var out bytes.Buffer
	p, err := box.Exec(t.Context(), sandbox.Command{Argv: []string{"sh", "-c", "id; ls -la / /etc /dev /run/agent-process /proc; cat /proc/self/status /proc/self/mountinfo /proc/self/cgroup; go version; python3 --version; cargo --version; ls /root /home; echo $$"}, Env: []string{"PATH=" + box.Facts().ToolPath}, Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatal(err)
	}
	exit, err := p.Wait()
	t.Logf("%+v %v\n%s", exit, err, out.String())
	if err := box.Close(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkStart(b *testing.B) {
	id, err := native.DefaultIdentity()
	if err != nil {
		b.Fatal(err)
	}
	rt := native.New(native.Config{StateDir: b.TempDir()})
	for b.Loop() {
		box, err := rt.Start(b.Context(), sandbox.Spec{ID: "b1", Identity: id, Home: "/home/agent", Network: sandbox.NetworkGateway})
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
}
