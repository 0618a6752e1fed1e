package native_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"agentprocess/internal/sandbox"
)

// TestRealPrograms runs the tools that agents use: what the filter, Landlock
// and the mounts must not break.
func TestRealPrograms(t *testing.T) {
	rt, id := newRuntime(t)
	box, err := rt.Start(t.Context(), sandbox.Spec{ID: "real-programs", Identity: id, Home: "/home/agent", Network: sandbox.NetworkGateway, ToolPath: os.Getenv("PATH")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, tc := range []struct{ tool, script, want string }{
		{"git", "git init -q r && cd r && git config user.name a && git config user.email a@b && mkdir d && echo x > d/f && git add . && git commit -qm m && git mv d e && git stash -q && git gc -q && git fsck && git log --oneline | wc -l", "1\n"},
		{"node", `node -e 'const {execSync} = require("child_process"), os = require("os"), w = new (require("worker_threads").Worker)("require(\"fs\").writeFileSync(\"w\", \"1\")", {eval: true}); w.on("exit", () => console.log(execSync("cat w")+os.userInfo().username.length+Object.keys(os.networkInterfaces())))'`, ""},
		{"python3", `python3 -c 'import subprocess, multiprocessing, socket, tempfile; q = multiprocessing.Queue(); q.put(1); print(q.get(), subprocess.check_output(["echo", "sub"]).decode().strip())'`, "1 sub\n"},
		{"go", "mkdir g && cd g && printf 'module m\\ngo 1.21\\n' > go.mod && printf 'package main\\nfunc main() { println(\"built\") }\\n' > m.go && GOFLAGS=-mod=mod GOTOOLCHAIN=local go build -o x . && ./x 2>&1", "built\n"},
		{"gcc", "printf '#include <stdio.h>\\nint main(){puts(\"c\");}' > a.c && gcc a.c && ./a.out", "c\n"},
		{"java", "printf 'public class A { public static void main(String[] a) throws Exception { Thread t = new Thread(() -> System.out.println(\"java\")); t.start(); t.join(); } }' > A.java && java A.java", "java\n"},
		{"perl", `perl -e 'print "perl\n"'`, "perl\n"},
		{"cargo", "cargo --version >/dev/null && rustc --version | cut -d' ' -f1", "rustc\n"},
		{"bash", "cat <(echo substituted) <<< here", "substituted\n"},
	} {
		// What a machine has is its own affair, but for what every agent needs.
		if _, err := exec.LookPath(tc.tool); err != nil && tc.tool != "git" && tc.tool != "bash" {
			t.Logf("not on this machine: %s", tc.tool)
			continue
		}
		t.Run(tc.tool, func(t *testing.T) {
			var out, errOut bytes.Buffer
			p, err := box.Exec(t.Context(), sandbox.Command{
				Argv: []string{"/bin/bash", "-c", tc.script}, Dir: "/home/agent", Stdout: &out, Stderr: &errOut,
				Env: []string{"PATH=" + box.Facts().ToolPath, "HOME=/home/agent", "LANG=C.UTF-8"},
			})
			if err != nil {
				t.Fatal(err)
			}
			exit, err := p.Wait()
			if err != nil || exit.Code != 0 || tc.want != "" && out.String() != tc.want {
				t.Errorf("%+v, %v\n%s%s", exit, err, out.String(), errOut.String())
			}
		})
	}
	if claude := os.Getenv("AGENT_PROCESS_TEST_CLAUDE"); claude != "" {
		t.Run("claude", func(t *testing.T) { claudeVersion(t, claude) })
	}
}

// claudeVersion runs the real CLI, which is a quarter of a gigabyte of
// JavaScript engine.
func claudeVersion(t *testing.T, claude string) {
	t.Helper()
	rt, id := newRuntime(t)
	box, err := rt.Start(t.Context(), sandbox.Spec{
		ID: "real-claude", Identity: id, Home: "/home/agent",
		Mounts: []sandbox.Mount{{Kind: sandbox.MountBind, Source: filepath.Dir(claude), Target: "/opt/claude", ReadOnly: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p, err := box.Exec(t.Context(), sandbox.Command{Argv: []string{"/opt/claude/" + filepath.Base(claude), "--version"}, Dir: "/home/agent", Env: []string{"HOME=/home/agent", "PATH=/usr/bin:/bin"}, Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatal(err)
	}
	exit, err := p.Wait()
	if err != nil || exit.Code != 0 {
		t.Errorf("%+v, %v: %s", exit, err, out.String())
	}
	t.Log(out.String())
	if err := box.Close(); err != nil {
		t.Error(err)
	}
}
