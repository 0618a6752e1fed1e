package projecthook_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"agentprocess/internal/projecthook"
)

func TestPostWrites(t *testing.T) {
	w := newWorld(t)
	agent := w.agent(t)
	sh(t, agent, "echo agent > a.txt && echo '#!/bin/sh' > run.sh && chmod 755 run.sh && mkdir sub && echo x > sub/x.txt && ln -s sub way")
	tests := []struct {
		name, body string
		wrote      []string
		changes    []string // path mode content
		refused    []string
	}{
		{"nothing", "true", []string{"a.txt"}, nil, nil},
		{"a file it wrote", "echo formatted >> a.txt", []string{"a.txt"}, []string{"/src/app/a.txt 644 agent\nformatted\n"}, nil},
		{"by way of another file", "echo new > t && mv t run.sh && chmod 755 run.sh", []string{"run.sh"}, []string{"/src/app/run.sh 755 new\n"}, nil},
		{"mode alone", "chmod 600 a.txt", []string{"a.txt"}, []string{"/src/app/a.txt 600 agent\n"}, nil},
		{"no setuid", "echo x >> a.txt; chmod 4755 a.txt", []string{"a.txt"}, []string{"/src/app/a.txt 755 agent\nx\n"}, nil},
		{
			"several, one named twice", "echo 1 > sub/x.txt; echo 2 > run.sh",
			[]string{"sub/x.txt", "run.sh", "sub/../run.sh"},
			[]string{"/src/app/sub/x.txt 644 1\n", "/src/app/run.sh 755 2\n"},
			nil,
		},
		{
			"others are refused and named", "echo 1 >> a.txt; echo 2 > b.txt; mkdir -p .cache/d; echo 3 > .cache/d/f; rm pkg/c.txt; ln -s / root",
			[]string{"a.txt"},
			[]string{"/src/app/a.txt 644 agent\n1\n"},
			[]string{".cache/d/f: the call did not write it", "b.txt: the call did not write it", "pkg/c.txt: the call did not write it, and it is removed", "root: the call did not write it, and it is a symbolic link now"},
		},
		{"a link in its place", "ln -sf /etc/passwd a.txt", []string{"a.txt"}, nil, []string{"a.txt: it is a symbolic link now"}},
		{"a pipe in its place", "rm a.txt; mkfifo a.txt", []string{"a.txt"}, nil, []string{"a.txt: it is no regular file now"}},
		{"a directory in its place", "rm a.txt; mkdir a.txt", []string{"a.txt"}, nil, []string{"a.txt: it is a directory now"}},
		{"removed", "rm a.txt", []string{"a.txt"}, nil, []string{"a.txt: it is removed"}},
		{
			"a link on the way", "rm -r sub; mkdir other; echo evil > other/x.txt; ln -s other sub",
			[]string{"sub/x.txt"},
			nil,
			[]string{`sub/x.txt: "sub" is no directory any more`, "other/x.txt: the call did not write it", "sub: the call did not write it, and it is a symbolic link now"},
		},
		{
			"a link out of the layer on the way", "rm -r sub; ln -s /etc sub",
			[]string{"sub/passwd"},
			nil,
			[]string{`sub/passwd: "sub" is no directory any more`, "sub: the call did not write it, and it is a symbolic link now"},
		},
		{
			"a file on the way", "rm -r sub; echo x > sub",
			[]string{"sub/x.txt"},
			nil,
			[]string{`sub/x.txt: "sub" is no directory any more`, "sub: the call did not write it"},
		},
		{"a file nobody may read", "echo x >> a.txt; chmod 0 a.txt; mkdir closed; echo x > closed/f; chmod 0 closed", []string{"b.txt"}, nil, []string{"a.txt: the call did not write it", "closed/f: the call did not write it"}},
		{"paths of elsewhere", "echo x > /tmp/x; echo 1 >> a.txt", []string{"../../etc/passwd", "../../tmp/x"}, nil, []string{"a.txt: the call did not write it"}},
		{"too long", "head -c 9000000 /dev/zero > a.txt", []string{"a.txt"}, nil, []string{"a.txt: it is longer than 8388608 bytes"}},
		{"too long together", "for i in 1 2 3 4 5; do head -c 8000000 /dev/zero > f$i; done", []string{"f1", "f2", "f3", "f4", "f5"}, []string{
			"big", "big", "big", "big",
		}, []string{"f5: all changes together are more than 33554432 bytes"}},
		{"an awkward name", `printf x > "$(printf 'e\033[2J\nx')"`, []string{"a.txt"}, nil, []string{`e\x1b[2J\nx: the call did not write it`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := sh(t, agent, "find . -type f | sort | xargs md5sum")
			r := w.runner(t, projecthook.Settings{}, script(projecthook.PostWrites, tt.body))
			res := r.Run(t.Context(), projecthook.PostWrites, wrote(tt.wrote...))
			if res.Decision != projecthook.Allow {
				t.Fatalf("%+v", res)
			}
			var got []string
			for _, c := range res.Changes {
				if len(c.Data) > 1000 {
					got = append(got, "big")
					continue
				}
				got = append(got, fmt.Sprintf("%s %o %s", c.Path, c.Mode, c.Data))
			}
			if !slices.Equal(got, tt.changes) {
				t.Errorf("changes %q, want %q", got, tt.changes)
			}
			refused := res.Refused
			if tt.name == "a file nobody may read" { // root can look into it
				refused = slices.DeleteFunc(refused, func(s string) bool { return strings.HasPrefix(s, "closed") })
				tt.refused = tt.refused[:1]
			}
			if !slices.Equal(refused, tt.refused) {
				t.Errorf("refused %q, want %q", refused, tt.refused)
			}
			if after := sh(t, agent, "find . -type f | sort | xargs md5sum"); after != before {
				t.Errorf("the agent's tree was\n%s\nis\n%s", before, after)
			}
		})
	}
}

// A hook that denies, fails or watches changes nothing, and many names are
// counted.
func TestPostWritesWithoutEffect(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name, body string
		settings   projecthook.Settings
		want       projecthook.Decision
	}{
		{"denies", "echo x >> a.txt; echo 'does not compile' >&2; exit 2", projecthook.Settings{}, projecthook.Deny},
		{"fails", "echo x >> a.txt; exit 1", projecthook.Settings{}, projecthook.Deny},
		{"asks", `echo x >> a.txt; echo '{"decision":"ask"}'`, projecthook.Settings{}, projecthook.Deny},
		{"would change the input", `echo '{"input":{}}'`, projecthook.Settings{}, projecthook.Deny},
		{"watches", "echo x >> a.txt", projecthook.Settings{Observe: true}, projecthook.Allow},
		{"fills the disk", "i=0; while :; do head -c 50000000 /dev/zero > big$i; i=$((i+1)); sleep 0.2; done", projecthook.Settings{}, projecthook.Deny},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res := w.runner(t, tt.settings, script(projecthook.PostWrites, tt.body)).Run(t.Context(), projecthook.PostWrites, wrote("a.txt"))
			if res.Decision != tt.want || res.Changes != nil || res.Refused != nil {
				t.Errorf("%+v", res)
			}
		})
	}
	res := w.runner(t, projecthook.Settings{}, script(projecthook.PostWrites, "i=0; while [ $i -lt 50 ]; do echo > f$i; i=$((i+1)); done")).
		Run(t.Context(), projecthook.PostWrites, wrote("a.txt"))
	if n := len(res.Refused); n != 21 || res.Refused[n-1] != "30 more" {
		t.Errorf("%d names: %q", len(res.Refused), res.Refused)
	}
}

// post-stop may write, as tests do, and nothing of it stays.
func TestPostStop(t *testing.T) {
	w := newWorld(t)
	agent := w.agent(t)
	sh(t, agent, "echo agent > a.txt")
	r := w.runner(t, projecthook.Settings{}, script(projecthook.PostStop, "mkdir build && echo built > build/out && cat a.txt build/out >&2; exit 2"))
	res := r.Run(t.Context(), projecthook.PostStop, projecthook.Input{Event: "Stop"})
	if res.Decision != projecthook.Deny || res.Reason != "agent\nbuilt" || res.Changes != nil {
		t.Errorf("%+v", res)
	}
	if got := sh(t, agent, "ls"); got != "a.txt\nb.txt\npkg\n" {
		t.Errorf("the agent's tree: %q", got)
	}
}
