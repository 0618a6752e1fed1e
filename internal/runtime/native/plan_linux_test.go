package native

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"agentprocess/internal/sandbox"
)

// makeFiles makes empty files, and directories for names that end in a slash.
func makeFiles(t *testing.T, root string, names ...string) {
	t.Helper()
	for _, name := range names {
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(full, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(full, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFindToolchains(t *testing.T) {
	for _, tc := range []struct {
		name   string
		files  []string
		links  map[string]string
		path   []string
		roots  []string
		covers []string
		want   []string
	}{
		{
			name: "go root and go path", files: []string{"go1/VERSION", "go1/bin/go", "home/go/bin/tool", "home/go/pkg/x"},
			path: []string{"go1/bin", "home/go/bin"}, roots: []string{"go1", "home/go/bin"}, want: []string{"go1/bin", "home/go/bin"},
		},
		{
			name: "nvm", files: []string{"home/.nvm/versions/node/v20/bin/node", "home/.nvm/versions/node/v20/include/", "home/.nvm/nvm.sh", "home/.nvm/versions/node/v20/.npmrc"},
			path: []string{"home/.nvm/versions/node/v20/bin"}, roots: []string{"home/.nvm/versions/node/v20"},
			covers: []string{"home/.nvm/versions/node/v20/.npmrc"}, want: []string{"home/.nvm/versions/node/v20/bin"},
		},
		{
			name: "cargo without its credentials", files: []string{"home/.cargo/bin/cargo", "home/.cargo/credentials.toml", "home/.rustup/toolchains/stable-x/bin/cargo"},
			path: []string{"home/.cargo/bin"}, roots: []string{"home/.cargo/bin", "home/.rustup/toolchains"},
			want: []string{"home/.rustup/toolchains/stable-x/bin", "home/.cargo/bin"},
		},
		{
			name: "pyenv", files: []string{"home/.pyenv/shims/python", "home/.pyenv/libexec/pyenv"},
			path: []string{"home/.pyenv/shims"}, roots: []string{"home/.pyenv"}, want: []string{"home/.pyenv/shims"},
		},
		{
			name: "volta", files: []string{"home/.volta/bin/node", "home/.volta/tools/image/node/20.1.0/bin/node"},
			path: []string{"home/.volta/bin"}, roots: []string{"home/.volta"}, want: []string{"home/.volta/tools/image/node/20.1.0/bin", "home/.volta/bin"},
		},
		{
			name: "plain directory and where its links lead", files: []string{"home/.local/bin/script", "home/.local/share/claude/versions/2/claude", "home/.local/share/private"},
			links: map[string]string{"home/.local/bin/claude": "../share/claude/versions/2/claude"},
			path:  []string{"home/.local/bin"}, roots: []string{"home/.local/bin", "home/.local/share/claude/versions/2/claude"}, want: []string{"home/.local/bin"},
		},
		{
			name: "node modules and virtual environments", files: []string{"home/bin/x", "home/npm/lib/node_modules/tool/cli.js", "home/venvs/black/pyvenv.cfg", "home/venvs/black/bin/black"},
			links: map[string]string{"home/bin/tool": "../npm/lib/node_modules/tool/cli.js", "home/bin/black": "../venvs/black/bin/black"},
			path:  []string{"home/bin"}, roots: []string{"home/bin", "home/npm/lib/node_modules", "home/venvs/black"}, want: []string{"home/bin"},
		},
		{name: "never a home", files: []string{"home/x"}, path: []string{"home"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			makeFiles(t, dir, tc.files...)
			for name, to := range tc.links {
				if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			for name, data := range map[string]string{
				"home/.rustup/settings.toml": "version = \"12\"\ndefault_toolchain = \"stable-x\"\n", "home/.volta/tools/user/platform.json": `{"node":{"runtime":"20.1.0"}}`,
			} {
				if _, err := os.Stat(filepath.Join(dir, filepath.Dir(filepath.Dir(name)))); err == nil {
					makeFiles(t, dir, name)
					if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			in := func(names []string) []string {
				var out []string
				for _, n := range names {
					out = append(out, filepath.Join(dir, n))
				}
				return out
			}
			got := findToolchains(strings.Join(in(tc.path), ":"), in([]string{"home"}))
			if !slices.Equal(got.roots, in(tc.roots)) {
				t.Errorf("roots %q", got.roots)
			}
			if !slices.Equal(got.covers, in(tc.covers)) {
				t.Errorf("covers %q", got.covers)
			}
			want := strings.Join(in(tc.want), ":")
			if want == "" {
				want = "/usr/local/bin:/usr/bin:/bin"
			}
			if got.path != want {
				t.Errorf("path %q", got.path)
			}
		})
	}
}

func TestPlanOrder(t *testing.T) {
	dir := t.TempDir()
	spec := sandbox.Spec{Home: "/home/agent", Mounts: []sandbox.Mount{
		{Kind: sandbox.MountBind, Source: dir, Target: "/home/agent/a/b"},
		{Kind: sandbox.MountBind, Source: dir, Target: "/home/agent/a"},
		{Kind: sandbox.MountBind, Source: dir, Target: "/tmp/x/"},
	}}
	p, err := newPlan(spec, toolchains{}, "/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	at := func(target string) int {
		i := slices.IndexFunc(p.trees, func(t tree) bool { return t.Target == target })
		if i < 0 {
			t.Fatalf("no tree at %q", target)
		}
		return i
	}
	for _, pair := range [][2]string{{"/home/agent", "/home/agent/a"}, {"/home/agent/a", "/home/agent/a/b"}, {"/tmp", "/tmp/x"}, {"/run", sandbox.RunDir}, {"/dev", "/dev/null"}} {
		if at(pair[0]) > at(pair[1]) {
			t.Errorf("%q comes after %q", pair[0], pair[1])
		}
	}
}
