package docker_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"agentprocess/internal/image"
	"agentprocess/internal/runtime/docker"
	"agentprocess/internal/sandbox"
)

// Programs of a build have the network of a sandbox: lo, and who listens there.
func TestBuild(t *testing.T) {
	for _, kind := range []docker.Kind{docker.Docker, docker.Podman} {
		t.Run(string(kind), func(t *testing.T) {
			rt := newRuntime(t, kind)
			box, err := rt.OpenNetwork(t.Context(), sandbox.Spec{ID: "build-" + strings.ToLower(string(kind)), Identity: identity(), Network: sandbox.NetworkGateway})
			if err != nil {
				t.Fatal(err)
			}
			defer box.Close()
			answered := make(chan string, 1)
			go func() {
				c, err := box.Sockets().Proxy.Accept()
				if err != nil {
					answered <- err.Error()
					return
				}
				defer c.Close()
				_, err = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nthe gateway\n"))
				answered <- "yes " + errorText(err)
			}()
			dockerfile := "FROM " + testImage + "\nARG WHAT=x\nRUN wget -q -O - http://127.0.0.1:3128/ && echo devices $(ls /proc/sys/net/ipv4/conf) && grep 127.0.0.1 /etc/hosts && echo $WHAT\n"
			root, err := image.Tar([]image.File{{Path: image.DockerfileName, Mode: 0o100644, Data: []byte(dockerfile)}})
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			tag := image.Repository + ":test"
			id, err := rt.BuildImage(t.Context(), image.Build{
				Network: "build-" + string(kind), Context: bytes.NewReader(root), Dockerfile: image.DockerfileName, Tag: tag,
				Args: map[string]string{"WHAT": "given"}, Labels: map[string]string{image.LabelKey: "k", image.LabelUser: "u"}, Output: func(line string) { out.WriteString(line + "\n") },
			})
			if err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			for _, want := range []string{"the gateway\n", "devices all default lo\n", "localhost", "\ngiven\n"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the build lacks %q:\n%s", want, out.String())
				}
			}
			if got := <-answered; got != "yes " {
				t.Errorf("answered %q", got)
			}
			removed(t, rt, tag, id)
		})
	}
}

// removed sees an image among those that were built, and removes it.
func removed(t *testing.T, rt *docker.Runtime, tag, id string) {
	t.Helper()
	found := func() bool {
		all, err := rt.Images(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range all {
			if i.ID == id {
				return i.Tag == tag && i.Key == "k"
			}
		}
		return false
	}
	if !found() {
		t.Error("it is not among the images")
	}
	if err := rt.RemoveImage(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if found() {
		t.Error("it is still there")
	}
}

// A build that fails says what the engine says.
func TestBuildFails(t *testing.T) {
	for _, kind := range []docker.Kind{docker.Docker, docker.Podman} {
		t.Run(string(kind), func(t *testing.T) {
			rt := newRuntime(t, kind)
			spec := sandbox.Spec{ID: image.BuildPrefix + "1-" + string(kind), Identity: identity(), Network: sandbox.NetworkGateway}
			box, err := rt.OpenNetwork(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			// What a build is found by that was killed.
			if ids, err := rt.Builds(); err != nil || !slices.Equal(ids, []string{spec.ID}) {
				t.Errorf("Builds() = %q, %v", ids, err)
			}
			defer func() {
				err := errors.Join(rt.Cleanup(t.Context(), spec.ID), box.Close())
				if ids, lerr := rt.Builds(); err != nil || lerr != nil || len(ids) > 0 {
					t.Errorf("after the clean-up: %v, %q, %v", err, ids, lerr)
				}
			}()
			for text, want := range map[string]string{"FROM " + testImage + "\nRUN exit 7\n": "7", "NONSENSE\n": "", "FROM " + testImage + "\nCOPY none /\n": "none"} {
				root, err := image.Tar([]image.File{{Path: image.DockerfileName, Mode: 0o100644, Data: []byte(text)}})
				if err != nil {
					t.Fatal(err)
				}
				_, err = rt.BuildImage(t.Context(), image.Build{Network: spec.ID, Context: bytes.NewReader(root), Dockerfile: image.DockerfileName, Tag: "never:1", Output: func(string) {}})
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%q: %v, want %q", text, err, want)
				}
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
