package projecthook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"agentprocess/internal/projecthook"
	"agentprocess/internal/sandbox"
)

// Only a hook that ends well and says nothing else allows.
func TestEnds(t *testing.T) {
	w := newWorld(t)
	plain := func(data string) projecthook.File {
		return projecthook.File{Name: projecthook.PreBash, Data: []byte(data), Mode: 0o755}
	}
	hook := func(body string) projecthook.File { return script(projecthook.PreBash, body) }
	tests := []struct {
		name     string
		file     projecthook.File
		settings projecthook.Settings
		want     projecthook.Decision
		reason   string
	}{
		{name: "exit 0", file: hook("exit 0"), want: projecthook.Allow},
		{name: "stdin unread", file: hook("exec 0<&-; exit 0"), want: projecthook.Allow},
		{name: "talk on stderr", file: hook("echo fine >&2"), want: projecthook.Allow},
		{name: "a process left behind", file: hook("sleep 1000 & exit 0"), want: projecthook.Allow},
		{name: "allow in JSON", file: hook(`echo '{"decision":"allow"}'`), want: projecthook.Allow},
		{name: "exit 2", file: hook("echo 'no pushes' >&2; exit 2"), want: projecthook.Deny, reason: "no pushes"},
		{name: "exit 2 without a word", file: hook("exit 2"), want: projecthook.Deny, reason: "pre-bash denied this call"},
		{name: "exit 2 whatever stdout says", file: hook(`echo '{"decision":"allow"}'; exit 2`), want: projecthook.Deny, reason: "pre-bash denied"},
		{name: "control characters", file: hook(`printf 'a\033[2Jb\302\233c\342\200\256d\r\ne' >&2; exit 2`), want: projecthook.Deny, reason: `a\x1b[2Jb\x9bc\u202ed` + "\ne"},
		{name: "deny in JSON", file: hook(`echo '{"decision":"deny","reason":"because"}'`), want: projecthook.Deny, reason: "because"},
		{name: "deny in JSON without a reason", file: hook(`echo '{"decision":"deny"}'`), want: projecthook.Deny, reason: `answered "deny"`},
		{name: "ask", file: hook(`echo '{"decision":"ask","reason":"sure?"}'`), want: projecthook.Ask, reason: "sure?"},
		{name: "exit 1", file: hook("echo boom >&2; exit 1"), want: projecthook.Deny, reason: "exited with 1;"},
		{name: "its last words", file: hook("echo boom >&2; exit 1"), want: projecthook.Deny, reason: "last words:\nboom"},
		{name: "exit 3", file: hook("exit 3"), want: projecthook.Deny, reason: "exited with 3"},
		{name: "exit 137 by itself", file: hook("exit 137"), want: projecthook.Deny, reason: "exited with 137"},
		{name: "killed", file: hook("kill -KILL $$"), want: projecthook.Deny, reason: "signal 9"},
		{name: "terminated", file: hook("kill -TERM $$"), want: projecthook.Deny, reason: "signal 15"},
		{name: "crashed", file: hook("kill -SEGV $$"), want: projecthook.Deny, reason: "signal 11"},
		{name: "too slow", file: hook("sleep 1000"), settings: projecthook.Settings{Timeout: 200 * time.Millisecond}, want: projecthook.Deny, reason: "within 200ms"},
		{name: "too slow and stubborn", file: hook("trap '' TERM INT HUP; while :; do sleep 1000; done"), settings: projecthook.Settings{Timeout: 200 * time.Millisecond}, want: projecthook.Deny, reason: "within 200ms"},
		{name: "an answer, and then too slow", file: hook(`echo '{"decision":"allow"}'; exec sleep 1000`), settings: projecthook.Settings{Timeout: 200 * time.Millisecond}, want: projecthook.Deny, reason: "within 200ms"},
		{name: "too much memory", file: hook("head -c 900m /dev/zero | tail -n 1 >/tmp/x; exit 0"), settings: projecthook.Settings{MemoryBytes: 64 << 20}, want: projecthook.Deny, reason: "64 MiB of memory"},
		{name: "too many processes", file: hook("i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done; exit 0"), settings: projecthook.Settings{PIDs: 32}, want: projecthook.Deny, reason: "fork"},
		{name: "text on stdout", file: hook("echo all good"), want: projecthook.Deny, reason: "not a JSON object"},
		{name: "half an answer", file: hook(`printf '{"decision":"allow"'`), want: projecthook.Deny, reason: "not JSON"},
		{name: "two answers", file: hook(`echo '{} {}'`), want: projecthook.Deny, reason: "more after"},
		{name: "endless stdout", file: hook("head -c 20000000 /dev/zero"), want: projecthook.Deny, reason: "bytes to stdout"},
		{name: "much on stderr", file: hook("head -c 20000000 /dev/zero | tr '\\0' x >&2; exit 2"), want: projecthook.Deny, reason: "bytes left out]"},
		{name: "no interpreter", file: plain("#!/no/such/ruby -w\nexit 0\n"), want: projecthook.Deny, reason: `interpreter "/no/such/ruby" is not there`},
		{name: "no interpreter by env", file: plain("#!/usr/bin/env no-such-ruby\n"), want: projecthook.Deny, reason: "no-such-ruby"},
		{name: "interpreter that is a directory", file: plain("#!/usr\n"), want: projecthook.Deny, reason: "cannot be executed"},
		{name: "no first line", file: plain("exit 0\n"), want: projecthook.Deny, reason: "it is no program"},
		{name: "nothing in it", file: plain(""), want: projecthook.Deny, reason: "it is no program"},
		{name: "half a binary", file: plain("\x7fELF\x02\x01\x01"), want: projecthook.Deny, reason: "it is no program"},
		{name: "not executable", file: projecthook.File{Name: projecthook.PreBash, Data: []byte("#!/bin/sh\n"), Mode: 0o100644}, want: projecthook.Deny, reason: "not executable: git update-index --chmod=+x .agent-process/hooks/pre-bash"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := w.runner(t, tt.settings, tt.file).Run(t.Context(), projecthook.PreBash, bash("ls"))
			if res.Decision != tt.want || !strings.Contains(res.Reason, tt.reason) || (res.Reason == "") != (tt.want == projecthook.Allow) {
				t.Errorf("%q because %q (%s), want %q because %q", res.Decision, res.Reason, res.Failure, tt.want, tt.reason)
			}
			if res.Hook != projecthook.PreBash || res.Duration <= 0 || len(res.Reason) > 8<<10 {
				t.Errorf("%+v", res)
			}
			// One that only watches changes nothing, however it ends.
			tt.settings.Observe = true
			res = w.runner(t, tt.settings, tt.file).Run(t.Context(), projecthook.PreBash, bash("ls"))
			if res.Decision != projecthook.Allow || !res.Observed || !strings.Contains(res.Reason, tt.reason) || res.Input != nil || res.Context != "" {
				t.Errorf("observing: %+v", res)
			}
		})
	}
}

func TestAnswersHaveEffect(t *testing.T) {
	w := newWorld(t)
	r := w.runner(t, projecthook.Settings{}, script(projecthook.PreBash, `printf '%s' '{"input":{"command":"ls -l"},"context":"we like\tit long"}'`))
	res := r.Run(t.Context(), projecthook.PreBash, bash("ls"))
	if res.Decision != projecthook.Allow || string(res.Input) != `{"command":"ls -l"}` || res.Context != "we like\tit long" {
		t.Errorf("%+v", res)
	}
}

// A sandbox that cannot be had denies, and is told apart from the hook.
func TestNoSandbox(t *testing.T) {
	w := newWorld(t)
	hooks := []projecthook.File{script(projecthook.PreBash, "exit 0"), script(projecthook.PostWrites, "exit 0")}
	good := w.options(hooks...)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name, hook, reason string
		ctx                context.Context
		change             func(*projecthook.Options)
	}{
		{"a runtime that refuses", projecthook.PreBash, "sandbox could not be started", t.Context(), func(o *projecthook.Options) { o.Identity.UID = 0 }},
		{"no view", projecthook.PreBash, "tree cannot be shown", t.Context(), func(o *projecthook.Options) {
			o.View = func(projecthook.Layer) ([]sandbox.Mount, error) { return nil, errors.New("the tree is gone") }
		}},
		{"a tree that is not there", projecthook.PreBash, "tree cannot be shown", t.Context(), func(o *projecthook.Options) {
			o.View = func(projecthook.Layer) ([]sandbox.Mount, error) { return nil, nil }
		}},
		{"a mount that fails", projecthook.PreBash, "sandbox could not be started", t.Context(), func(o *projecthook.Options) {
			o.View = func(projecthook.Layer) ([]sandbox.Mount, error) {
				return []sandbox.Mount{{Kind: sandbox.MountBind, Source: "/no/such", Target: workspace}}, nil
			}
		}},
		{"no scratch", projecthook.PostWrites, "no place for what it writes", t.Context(), func(o *projecthook.Options) { o.Scratch = "/no/such" }},
		{"a call that is over", projecthook.PreBash, "", ended, func(*projecthook.Options) {}},
		{"no such hook", projecthook.PreAny, "no such hook", t.Context(), func(*projecthook.Options) {}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := good
			o.About.Run += "-" + strings.ReplaceAll(tt.name, " ", "-")
			tt.change(&o)
			r, err := projecthook.New(o)
			if err != nil {
				t.Fatal(err)
			}
			for range 10 { // more often than there are sandboxes
				res := r.Run(tt.ctx, tt.hook, wrote())
				if res.Decision != projecthook.Deny || !strings.Contains(res.Reason, tt.reason) || res.Failure == "" {
					t.Fatalf("%+v", res)
				}
				if strings.Contains(res.Reason, w.dir) || strings.Contains(res.Reason, "/no/such") {
					t.Errorf("the model is told of this machine: %q", res.Reason)
				}
			}
		})
	}
}

// leftover is a runtime whose sandboxes cannot be closed.
type leftover struct {
	sandbox.Runtime
	cleaned []string
}

func (l *leftover) Start(ctx context.Context, s sandbox.Spec) (sandbox.Sandbox, error) {
	box, err := l.Runtime.Start(ctx, s)
	if err != nil {
		return nil, err
	}
	return &unclosable{box}, nil
}

func (l *leftover) Cleanup(ctx context.Context, id string) error {
	l.cleaned = append(l.cleaned, id)
	return l.Runtime.Cleanup(ctx, id)
}

type unclosable struct{ sandbox.Sandbox }

func (u *unclosable) Close() error {
	return errors.Join(errors.New("something is left"), u.Sandbox.Close())
}

func TestASandboxThatStays(t *testing.T) {
	w := newWorld(t)
	o := w.options(script(projecthook.PreBash, "exit 0"))
	rt := &leftover{Runtime: w.rt}
	o.Runtime = rt
	r, err := projecthook.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if res := r.Run(t.Context(), projecthook.PreBash, bash("ls")); res.Decision != projecthook.Deny || !strings.Contains(res.Failure, "something is left") {
		t.Errorf("%+v", res)
	}
	if len(rt.cleaned) != 1 || rt.cleaned[0] != projecthook.Boxes(o.About.Run)[0] {
		t.Errorf("cleaned %q", rt.cleaned)
	}
}

// What a hook finds: the call, the tree as the agent has it now, and no more.
func TestInside(t *testing.T) {
	w := newWorld(t)
	agent := w.agent(t)
	sh(t, agent, "echo changed > a.txt && rm b.txt && mv pkg/c.txt pkg/d.txt && mkdir new && echo n > new/n")
	t.Setenv("AGENT_SECRET", "hunter2")
	tests := []struct{ name, body, want string }{
		{"the tree", "find . -type f | sort && cat a.txt", "./a.txt\n./new/n\n./pkg/d.txt\nchanged"},
		{"the directory", "pwd", workspace},
		{"the environment", "unset PWD OLDPWD _; env | cut -d= -f1 | grep -v ^GIT_ | sort | tr '\\n' ' '", "AGENT_PROCESS_HOOK AGENT_PROCESS_WORKSPACE HOME LANG PATH TMPDIR"},
		{"no root", "id -u | grep -x 0 || echo no", "no"},
		{"no network", "ls /sys/class/net 2>/dev/null; cat /proc/net/dev | grep -c :; test -e /run/agent-process/hook.sock && echo hook socket || echo none", "1\nnone"},
		{"the tree is read-only", "for f in a.txt new.txt pkg/x; do (echo x > $f) 2>/dev/null && echo wrote $f; done; rm -f a.txt 2>/dev/null && echo removed; echo end", "end"},
		{"the hook is read-only", "f=/opt/agent-process/hooks/pre-any; (echo x > $f || chmod 777 $f || rm -f $f || mv $f /tmp/x || touch /opt/agent-process/hooks/y) 2>/dev/null && echo wrote; ls /opt/agent-process/hooks", "post-stop\npre-any"},
		{"places to write", "touch /tmp/x ~/x /dev/shm/x && echo ok", "ok"},
		{"nothing of the host", "ls -d /root /home/root " + w.dir + " 2>/dev/null; echo end", "end"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := w.runner(t, projecthook.Settings{}, script(projecthook.PreAny, "{ "+tt.body+"; } >&2; exit 2"), script(projecthook.PostStop, ""))
			if res := r.Run(t.Context(), projecthook.PreAny, bash("ls")); res.Reason != tt.want {
				t.Errorf("%q, want %q (%s)", res.Reason, tt.want, res.Failure)
			}
		})
	}
	if got := sh(t, agent, "cat a.txt; ls"); got != "changed\na.txt\nnew\npkg\n" {
		t.Errorf("the agent's tree: %q", got)
	}
}

func TestStdin(t *testing.T) {
	w := newWorld(t)
	r := w.runner(t, projecthook.Settings{}, script(projecthook.PreBash, "cat >&2; exit 2"))
	in := bash("git push <x>")
	in.Unparsed = []string{"eval"}
	res := r.Run(t.Context(), projecthook.PreBash, in)
	const want = `{"version":1,"hook":"pre-bash","event":"PreToolUse","run":"RUN","agent":{"name":"docs","kind":"claude"},` +
		`"goal":"describe <main.go>","workspace":"/src/app","base":"1111111111111111111111111111111111111111","branch":"agent--docs",` +
		`"tool":{"name":"Bash","use_id":"toolu_1","input":{"command":"git push <x>"}},"commands":[["git","push","<x>"]],"unparsed":["eval"],"paths":[]}`
	var got struct{ Run string }
	if err := json.Unmarshal([]byte(res.Reason), &got); err != nil || got.Run == "" {
		t.Fatalf("%q: %v", res.Reason, err)
	}
	if text := strings.Replace(res.Reason, got.Run, "RUN", 1); text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	// More than a pipe holds.
	big := bash("x")
	big.Tool.Input = []byte(`{"content":"` + strings.Repeat("0123456789", 1<<18) + `"}`)
	r = w.runner(t, projecthook.Settings{}, script(projecthook.PreBash, "wc -c >&2; exit 2"))
	if res := r.Run(t.Context(), projecthook.PreBash, big); len(res.Reason) != len("2621440") || res.Reason < "2621440" {
		t.Errorf("%+v", res)
	}
}

// Calls beyond what runs at once wait for their turn, or for their end.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	r := w.runner(t, projecthook.Settings{}, script(projecthook.PreBash, "exit 0"))
	var wg sync.WaitGroup
	results := make([]projecthook.Result, 24)
	for i := range results {
		wg.Go(func() { results[i] = r.Run(t.Context(), projecthook.PreBash, bash("ls")) })
	}
	wg.Wait()
	for i, res := range results {
		if res.Decision != projecthook.Allow {
			t.Errorf("call %d: %+v", i, res)
		}
	}
}

func TestNew(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		name   string
		change func(*projecthook.Options)
		code   sandbox.Code
		says   string
	}{
		{"nothing", func(*projecthook.Options) {}, "", ""},
		{"all hooks", func(o *projecthook.Options) {
			for _, n := range projecthook.Names() {
				o.Files = append(o.Files, script(n, ""))
			}
		}, "", ""},
		{"an unknown name", func(o *projecthook.Options) { o.Files = []projecthook.File{script("pre-bash.sh", "")} }, sandbox.CodePolicy, `"pre-bash.sh" is no hook`},
		{"a path", func(o *projecthook.Options) { o.Files = []projecthook.File{script("../pre-bash", "")} }, sandbox.CodePolicy, "is no hook"},
		{"a link", func(o *projecthook.Options) {
			o.Files = []projecthook.File{{Name: projecthook.PreBash, Data: []byte("../x"), Mode: 0o120000}}
		}, sandbox.CodePolicy, "no regular file"},
		{"twice", func(o *projecthook.Options) {
			o.Files = []projecthook.File{script(projecthook.PreBash, ""), script(projecthook.PreBash, "")}
		}, sandbox.CodePolicy, "twice"},
		{"too big", func(o *projecthook.Options) {
			o.Files = []projecthook.File{script(projecthook.PreBash, strings.Repeat("#", 9<<20))}
		}, sandbox.CodePolicy, "bytes in all"},
		{"no runtime", func(o *projecthook.Options) { o.Runtime = nil }, sandbox.CodeInternal, "runtime"},
		{"no workspace", func(o *projecthook.Options) { o.About.Workspace = "app" }, sandbox.CodeInternal, "absolute"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := w.options()
			tt.change(&o)
			r, err := projecthook.New(o)
			if sandbox.ErrorCode(err) != tt.code || tt.says != "" && !strings.Contains(fmt.Sprint(err), tt.says) {
				t.Fatalf("New() = %v, want %q with code %q", err, tt.says, tt.code)
			}
			if err != nil {
				return
			}
			for _, n := range projecthook.Names() {
				if r.Has(n) != (len(o.Files) > 0) {
					t.Errorf("Has(%q) = %t", n, r.Has(n))
				}
			}
		})
	}
}

func BenchmarkRun(b *testing.B) {
	w := newWorld(b)
	agent := w.agent(b)
	sh(b, agent, "echo x > x")
	for _, bb := range []struct {
		name string
		file projecthook.File
	}{
		{"pre-bash sh", script(projecthook.PreBash, "exit 0")},
		{"pre-bash perl", projecthook.File{Name: projecthook.PreBash, Data: []byte("#!/usr/bin/perl\nexit 0;\n"), Mode: 0o755}},
		{"post-writes", script(projecthook.PostWrites, "echo y >> x")},
	} {
		b.Run(bb.name, func(b *testing.B) {
			o := w.options(bb.file)
			o.ToolPath = os.Getenv("PATH")
			r, err := projecthook.New(o)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if res := r.Run(b.Context(), bb.file.Name, wrote("x")); res.Decision != projecthook.Allow {
					b.Fatalf("%+v", res)
				}
			}
		})
	}
}
