package preset_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"agentprocess/internal/policy"
	"agentprocess/internal/preset"
)

// machine is a person's machine: files, variables, and what clients print.
type machine struct {
	files   map[string]string // "~/" is the home
	env     map[string]string
	clients map[string]string // by the first word
	project map[string]string
}

func (m machine) finder(t *testing.T) preset.Finder {
	t.Helper()
	root := t.TempDir()
	home := filepath.Join(root, "home", "ada")
	for name, text := range m.files {
		path := filepath.Join(root, name)
		if rest, ok := strings.CutPrefix(name, "~/"); ok {
			path = filepath.Join(home, rest)
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	f := preset.Finder{
		Root: root, Home: home, Claude: []string{"api.example"},
		Lookup: func(name string) (string, bool) { v, ok := m.env[name]; return v, ok },
		Run: func(_ context.Context, argv ...string) (string, error) {
			out, ok := m.clients[argv[0]]
			if !ok {
				return "", errors.New("it is not there")
			}
			return out, nil
		},
	}
	for name, text := range m.project {
		f.Project = append(f.Project, preset.File{Path: name, Data: []byte(text)})
	}
	return f
}

func TestFind(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, preset string
		machine      machine
		want         []string // "RULE FROM", of the project with "project: " before
		inside       map[string]string
	}{
		{
			name: "npm: registries of all levels, without tokens", preset: "npm",
			machine: machine{
				files: map[string]string{
					"~/.npmrc":   "registry=https://ada:s3cret@npm.example/root/\n@corp:registry = https://corp.example:8443/npm/\n//npm.example/:_authToken=t0ken\nother=https://no.example/\n",
					"/etc/npmrc": "registry=http://old.example/\n",
				},
				project: map[string]string{"package-lock.json": "{\n \"resolved\": \"https://npm.example/a/-/a-1.tgz\",\n \"resolved\": \"https://mirror.example/b.tgz\",\n \"resolved\": \"git+https://git.example/o/r.git#abc\"\n}"},
			},
			want: []string{
				"npm.example GET ~/.npmrc:1", "corp.example:8443 GET ~/.npmrc:2", "http://old.example GET /etc/npmrc:1",
				"project: mirror.example GET package-lock.json:3", "project: git.example/o/r git:read package-lock.json:4",
			},
			inside: map[string]string{".npmrc": "registry=https://npm.example/root/\n@corp:registry=https://corp.example:8443/npm/\n"},
		},
		{
			name: "npm: its own default", preset: "npm",
			machine: machine{clients: map[string]string{"npm": "https://default.example/\n"}},
			want:    []string{"default.example GET `npm config get registry`"},
		},
		{
			name: "npm: variables", preset: "npm",
			machine: machine{
				env:   map[string]string{"NPM_CONFIG_REGISTRY": "https://env.example/", "CORP": "corp.example"},
				files: map[string]string{"~/.npmrc": "@a:registry=https://${CORP}/\n@b:registry=https://${UNSET}/\n"}, clients: map[string]string{"npm": "https://default.example/"},
			},
			want:   []string{"env.example GET $NPM_CONFIG_REGISTRY", "corp.example GET ~/.npmrc:1"},
			inside: map[string]string{".npmrc": "registry=https://env.example/\n@a:registry=https://corp.example/\n"},
		},
		{
			name: "pypi: pip, uv and their locks", preset: "pypi",
			machine: machine{
				files: map[string]string{
					"~/.config/pip/pip.conf": "[global]\nindex-url = https://pip.example/simple\nextra-index-url =\n    https://one.example/simple\n    https://two.example/simple\n",
					"~/.config/uv/uv.toml":   "[[index]]\nname = \"x\"\nurl = \"https://uv.example/simple\"\n",
				},
				project: map[string]string{
					"uv.lock":        "source = { registry = \"https://pip.example/simple\" }\nwheels = [{ url = \"https://files.example/x.whl\" }]\n",
					"pyproject.toml": "[project.urls]\nurl = \"https://home.example\"\n[[tool.uv.index]]\nurl = \"https://index.example/simple\"\n",
				},
			},
			want: []string{
				"pip.example GET ~/.config/pip/pip.conf:2", "one.example GET ~/.config/pip/pip.conf:4", "two.example GET ~/.config/pip/pip.conf:5",
				"uv.example GET ~/.config/uv/uv.toml:3", "project: index.example GET pyproject.toml:4", "project: files.example GET uv.lock:2",
			},
			inside: map[string]string{
				".config/pip/pip.conf": "[global]\nindex-url = https://pip.example/simple\n",
				".config/uv/uv.toml":   "[[index]]\ndefault = true\nurl = \"https://pip.example/simple\"\n",
			},
		},
		{
			name: "pypi: pip's own default", preset: "pypi",
			machine: machine{clients: map[string]string{"python3": "https://default.example/\nhttps://files.example/\n"}, env: map[string]string{"PIP_EXTRA_INDEX_URL": "https://a.example https://b.example"}},
			want:    []string{"a.example GET $PIP_EXTRA_INDEX_URL", "b.example GET $PIP_EXTRA_INDEX_URL", "default.example GET pip", "files.example GET pip"},
		},
		{
			name: "go: what go env says", preset: "go",
			machine: machine{clients: map[string]string{"go": "https://proxy.example/go|https://second.example,direct\nsum.example\ngit.example/team,*.corp.example\n\n"}},
			want:    []string{"proxy.example/go/** GET `go env GOPROXY`", "second.example GET `go env GOPROXY`", "sum.example GET `go env GOSUMDB`", "git.example/team/** git:read `go env GOPRIVATE`", "git.example/team/** GET `go env GOPRIVATE`"},
			inside: map[string]string{
				".config/go/env": "GOPROXY=https://proxy.example/go|https://second.example,direct\nGOSUMDB=sum.example\nGOPRIVATE=git.example/team,*.corp.example\n",
			},
		},
		{
			name: "go: a checksum database with a key, no proxy", preset: "go",
			machine: machine{env: map[string]string{"GOPROXY": "off", "GOSUMDB": "sum.example+1234+abc https://mirror.example/sum"}},
			want:    []string{"mirror.example/sum/** GET $GOSUMDB"},
			inside:  map[string]string{".config/go/env": "GOPROXY=off\nGOSUMDB=sum.example+1234+abc https://mirror.example/sum\n"},
		},
		{
			name: "cargo: registries, and what was fetched", preset: "cargo",
			machine: machine{
				files: map[string]string{
					"~/.cargo/config.toml": "[source.crates-io]\nreplace-with = \"m\"\n[source.m]\nregistry = \"sparse+https://mirror.example/index/\"\n[registries.corp]\nindex = \"https://git.example/corp/index.git\"\ntoken = \"s3cret\"\n",
					"~/.cargo/registry/index/index.example-1949cf8c6b5b557f/config.json": `{"dl": "https://static.example/crates/{crate}", "api": "https://api.example"}`,
				},
				project: map[string]string{"Cargo.lock": "source = \"registry+https://git.example/corp/index.git\"\nsource = \"git+https://git.example/o/dep?rev=1#2\"\n"},
			},
			want: []string{
				"mirror.example GET ~/.cargo/config.toml:4", "git.example/corp/index git:read ~/.cargo/config.toml:6", "git.example GET ~/.cargo/config.toml:6",
				"index.example GET ~/.cargo/registry/index/index.example-1949cf8c6b5b557f",
				"static.example GET ~/.cargo/registry/index/index.example-1949cf8c6b5b557f/config.json", "project: git.example/o/dep git:read Cargo.lock:2",
			},
			inside: map[string]string{
				".cargo/config.toml": "source.crates-io.replace-with = \"m\"\nsource.m.registry = \"sparse+https://mirror.example/index/\"\nregistries.corp.index = \"https://git.example/corp/index.git\"\n",
			},
		},
		{
			name: "maven: mirrors, and no place to publish to", preset: "maven",
			machine: machine{
				files:   map[string]string{"~/.m2/settings.xml": "<settings><mirrors><mirror><id>corp</id><mirrorOf>*,!local</mirrorOf><url>https://ada:s3cret@maven.example/m2</url></mirror><mirror><id>b&amp;d</id><mirrorOf>x</mirrorOf><url>https://maven.example/m2</url></mirror></mirrors><servers><server><password>s3cret</password></server></servers></settings>"},
				project: map[string]string{"pom.xml": "<project><url>https://home.example</url><repositories><repository><url>https://repo.example/</url></repository></repositories><distributionManagement><repository><url>https://upload.example/</url></repository></distributionManagement></project>"},
			},
			want: []string{"maven.example/m2/** GET ~/.m2/settings.xml", "project: repo.example GET pom.xml"},
			inside: map[string]string{
				".m2/settings.xml": "<settings><mirrors>\n<mirror><id>corp</id><mirrorOf>*,!local</mirrorOf><url>https://maven.example/m2</url></mirror>\n</mirrors></settings>\n",
			},
		},
		{
			name: "rubygems", preset: "rubygems",
			machine: machine{files: map[string]string{
				"~/.gemrc": ":sources:\n- https://ada:s3cret@gems.example/\n", "~/.bundle/config": "---\nBUNDLE_MIRROR__HTTPS://GEMS__EXAMPLE/: \"https://gems.example/mirror/\"\nBUNDLE_GEMS__EXAMPLE: ada:s3cret\n",
			}, project: map[string]string{"Gemfile.lock": "GEM\n  remote: https://gems.example/\n  remote: https://other.example/\n"}},
			want: []string{"gems.example GET ~/.gemrc:2", "project: other.example GET Gemfile.lock:3"},
			inside: map[string]string{
				".gemrc": "---\n:sources:\n- https://gems.example/\n", ".bundle/config": "---\nBUNDLE_MIRROR__HTTPS://GEMS__EXAMPLE/: \"https://gems.example/mirror/\"\n",
			},
		},
		{
			name: "nuget", preset: "nuget",
			machine: machine{files: map[string]string{"~/.nuget/NuGet/NuGet.Config": `<configuration><packageSources><add key="x" value="https://nuget.example/v3/index.json" /><add key="local" value="/srv/packages" /></packageSources><packageSourceCredentials><x><add key="ClearTextPassword" value="https://s3cret.example" /></x></packageSourceCredentials></configuration>`}},
			want:    []string{"nuget.example GET ~/.nuget/NuGet/NuGet.Config"},
			inside: map[string]string{
				".nuget/NuGet/NuGet.Config": "<configuration><packageSources>\n<clear/>\n<add key=\"x\" value=\"https://nuget.example/v3/index.json\"></add>\n</packageSources></configuration>\n",
			},
		},
		{
			name: "apt: both formats", preset: "debian",
			machine: machine{files: map[string]string{
				"/etc/apt/sources.list":             "# deb https://no.example/ x\ndeb [signed-by=/usr/share/k.gpg] http://apt.example/debian stable main\ndeb cdrom:[x]/ y\n",
				"/etc/apt/sources.list.d/x.sources": "Types: deb\nURIs: https://sec.example/debian-security/\n http://more.example/\nSuites: stable\n",
			}},
			want: []string{"http://apt.example/debian/** GET /etc/apt/sources.list:2", "sec.example/debian-security/** GET /etc/apt/sources.list.d/x.sources:2", "http://more.example GET /etc/apt/sources.list.d/x.sources:3"},
		},
		{name: "claude", preset: "claude", want: []string{"api.example built-in: claude"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := tt.machine.finder(t).Find(t.Context(), tt.preset)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range r.Found {
				text := f.Rule() + " " + f.From
				if f.Project {
					text = "project: " + text
				}
				got = append(got, text)
			}
			slices.Sort(got)
			slices.Sort(tt.want)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			for path, want := range tt.inside {
				if r.Home[path] != want {
					t.Errorf("%s is %q, want %q", path, r.Home[path], want)
				}
			}
			harmless(t, r)
		})
	}
}

// harmless wants of a result what presets promise: reading alone, and nothing of
// a credential.
func harmless(t *testing.T, r preset.Result) {
	t.Helper()
	for _, f := range r.Found {
		if f.From == "built-in: claude" {
			continue
		}
		rules, err := policy.ParseRules("preset", f.Rule())
		if err != nil || len(rules) != 1 {
			t.Errorf("%q is no rule: %v", f.Rule(), err)
			continue
		}
		one := rules[0]
		if one.Git != policy.GitRead && !slices.Equal(one.Methods, []string{"GET"}) || one.TCP || one.Wildcard {
			t.Errorf("%q allows more than reading", f.Rule())
		}
		set := policy.NewSet(rules)
		for _, method := range []string{"PUT", "POST", "DELETE", "PATCH", policy.MethodWebsocket} {
			q := policy.Request{Host: one.Name, Port: one.Ports[0].First, Scheme: one.Scheme, Method: method, Path: "/a/b/-/publish"}
			if set.Decide(q).Allowed() {
				t.Errorf("%q allows %s", f.Rule(), method)
			}
		}
		push := policy.Request{Host: one.Name, Port: one.Ports[0].First, Scheme: policy.SchemeHTTPS, Method: "POST", Path: one.Path + "/git-receive-pack"}
		if set.Decide(push).Allowed() {
			t.Errorf("%q allows a push", f.Rule())
		}
	}
	var all strings.Builder
	for _, f := range r.Found {
		all.WriteString(f.Rule() + f.From)
	}
	for _, text := range r.Home {
		all.WriteString(text)
	}
	all.WriteString(strings.Join(r.Problems, ""))
	for _, secret := range []string{"s3cret", "t0ken"} {
		if strings.Contains(all.String(), secret) {
			t.Errorf("%q is in the result: %s", secret, all.String())
		}
	}
}

func TestFixedPresetsRead(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"github", "playwright"} {
		r, err := machine{}.finder(t).Find(t.Context(), name)
		if err != nil || len(r.Found) == 0 {
			t.Fatalf("%s: %v", name, err)
		}
		harmless(t, r)
	}
}

func TestNothingAndUnknown(t *testing.T) {
	t.Parallel()
	for _, name := range preset.Names() {
		if name == "github" || name == "playwright" || name == "claude" {
			continue
		}
		if r, err := (machine{}).finder(t).Find(t.Context(), name); !errors.Is(err, preset.ErrNothing) {
			t.Errorf("%s on an empty machine: %+v, %v", name, r, err)
		}
	}
	if _, err := (machine{}).finder(t).Find(t.Context(), "nope"); !errors.Is(err, preset.ErrUnknown) {
		t.Errorf("%v", err)
	}
}

// What cannot be listed is said, without the URL: it may hold a password.
func TestProblemsHideCredentials(t *testing.T) {
	t.Parallel()
	m := machine{files: map[string]string{"~/.npmrc": "registry=https://a.example/\n@a:registry=https://u:s3cret@10.0.0.1/\n@b:registry=https://u:s3cret@[bad/\n@c:registry=file:///s3cret\n"}}
	r, err := m.finder(t).Find(t.Context(), "npm")
	if err != nil || len(r.Problems) != 2 || len(r.Found) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	harmless(t, r)
}

func TestSuggested(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{"package-lock.json": "npm", "uv.lock": "pypi", "go.sum": "go", "Cargo.lock": "cargo", "Gemfile.lock": "rubygems", "main.go": "", "sub/go.sum": ""} {
		if got := preset.Suggested(file); got != want {
			t.Errorf("%s suggests %q, want %q", file, got, want)
		}
	}
}

// FuzzProject: whatever a project's files hold, what comes of them are rules that
// read, and marked as the project's.
func FuzzProject(f *testing.F) {
	for _, name := range preset.Names() {
		for _, file := range preset.ProjectFiles(name) {
			f.Add(file, "registry=https://a.example/x\nurl = \"https://u:p@b.example/%2e\"\n<a><repository><url>http://c.example:80/*</url></repository></a>\nremote: git+https://d.example/o/r?x#y\n[[tool.uv.index]]\nurl=\"https://e.example\"")
		}
	}
	f.Fuzz(func(t *testing.T, file, text string) {
		for _, name := range preset.Names() {
			if !preset.Wanted(name, file) {
				continue
			}
			r, err := preset.Finder{Project: []preset.File{{Path: file, Data: []byte(text)}}}.Find(t.Context(), name)
			if err != nil {
				continue
			}
			for _, found := range r.Found {
				rules, err := policy.ParseRules("preset", found.Rule())
				if err != nil {
					continue // it is refused where it would be listed
				}
				if len(rules) != 1 || rules[0].Deny || rules[0].Git != policy.GitRead && !slices.Equal(rules[0].Methods, []string{"GET"}) || rules[0].Secret != "" || rules[0].TCP {
					t.Errorf("%s: %q gives %q", file, text, found.Rule())
				}
				if !found.Project {
					t.Errorf("%q passes for the machine's", found.Rule())
				}
			}
			if len(r.Home) > 0 {
				t.Errorf("a project wrote %v", r.Home)
			}
		}
	})
}
