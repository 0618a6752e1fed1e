package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"agentprocess/internal/sandbox"
)

const full = `# everything
agent = "exec"
agent-path = "/opt/tool"
model = "some-model"
timeout = "1h30m"
keep = true
memory = "2GB"
pids = 1_000
cpus = 1.5
disk = 1048576
notify = [ # who is asked
  "notify-send", # a program
  "Agent Process",
]
`

func TestLoad(t *testing.T) {
	want := Config{
		Agent: AgentExec, AgentPath: "/opt/tool", Model: "some-model", Timeout: 90 * time.Minute, Keep: true,
		Limits: sandbox.Limits{MemoryBytes: 2 << 30, PIDs: 1000, CPUs: 1.5, DiskBytes: 1 << 20},
		Notify: []string{"notify-send", "Agent Process"},
	}
	path := filepath.Join(t.TempDir(), "config.toml")
	if got, err := Load(path); err != nil || !cmp.Equal(got, Default()) {
		t.Errorf("without a file: %+v, %v", got, err)
	}
	if err := os.WriteFile(path, []byte(full), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, difference:\n%s", err, diff)
	}
	if err := os.WriteFile(path, []byte("wodel = 'x'"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); sandbox.ErrorCode(err) != sandbox.CodeUsage || !strings.Contains(sandbox.ErrorHint(err), "memory") {
		t.Errorf("got %v, hint %q", err, sandbox.ErrorHint(err))
	}
}

func TestParseReportsEverythingAtOnce(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown keys", "wodel = 'x'\n\nkeep = true\n  tiemout = '2h'", `
f:1:1: unknown key "wodel"
f:4:3: unknown key "tiemout"`},
		{"wrong types and values", "agent = 3\ntimeout = 'soon'\nkeep = 'yes'\nmemory = true\npids = 0\ncpus = -1\ndisk = '5 parsecs'\nagent-path = 'claude'\n", `
f:1:1: agent: wants a string, got integer
f:2:1: timeout: duration "soon": wants a number and a unit such as "90s", "2h" or "1d"
f:3:1: keep: wants true or false, got string
f:4:1: memory: wants a size such as "2GB", got bool
f:5:1: pids: wants a whole number above 0, got "0"
f:6:1: cpus: wants a number above 0, got "-1"
f:7:1: disk: size "5 parsecs": wants a number and a unit such as "512MB" or "2GB"
f:8:1: agent-path: wants an absolute path, got "claude"`},
		{"a notification for a shell", "notify = 'notify-send $TEXT'", `
f:1:1: notify: wants a list such as ["notify-send", "agent-process"], got string`},
		{"words that are none", "notify = ['x', 3]", `
f:1:1: notify: word 2: wants a string, got integer`},
		{"a list in a list", "notify = [['x']]", `
f:1:1: notify: word 1: wants a string, got array`},
		{"no program", "notify = ['']", `
f:1:1: notify: the program's name is empty`},
		{"a NUL byte", `notify = ["a\u0000b"]`, `
f:1:1: notify: word 1 holds a NUL byte`},
		{"other agent", "agent = 'clyde'", `
f:1:1: agent: wants one of ["claude" "exec"], got "clyde"`},
		{"given twice", "model = 'a'\nmodel = 'b'", `
f:2:1: key "model" is given twice, first on line 1`},
		{"tables", "[limits]\nmemory = '2GB'\n[[x.y]]", `
f:1:2: unknown table "limits"
f:3:3: unknown table "x.y"`},
		{"dotted", "limits.memory = '2GB'", `
f:1:1: unknown key "limits.memory"`},
		{"inline table", "model = { name = 'x' }", `
f:1:1: model: wants a string, got inlinetable`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := Parse("f", []byte(tt.text))
			if diff := cmp.Diff(strings.TrimPrefix(tt.want, "\n"), problems.Error()); diff != "" {
				t.Errorf("difference (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseSyntaxError(t *testing.T) {
	_, problems := Parse("f", []byte("wodel = 1\nkeep = true\nmodel = = 'x'\n"))
	if len(problems) != 2 || problems[0].Line != 1 || problems[1].Line != 3 {
		t.Errorf("got %v", problems)
	}
}

func TestParseSize(t *testing.T) {
	tests := []struct {
		in   string
		want int64
	}{
		{"1", 1},
		{"512", 512},
		{"1k", 1024},
		{"512MB", 512 << 20},
		{"2GB", 2 << 30},
		{"2g", 2 << 30},
		{"1.5 GiB", 3 << 29},
		{"1TB", 1 << 40},
		{"10b", 10},
		{" 7MiB ", 7 << 20},
		{"1_000", 1000},
		{"", 0},
		{"0", 0},
		{"-1", 0},
		{"GB", 0},
		{"1PB", 0},
		{"2 GB x", 0},
		{"1e3", 0},
		{"99999999TB", 0},
		{"0.1", 0},
		{"NaN", 0},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := ParseSize(tt.in)
			if got != tt.want || (err == nil) != (tt.want > 0) {
				t.Errorf("got %d, %v; want %d", got, err, tt.want)
			}
		})
	}
}

func TestParseDuration(t *testing.T) {
	tests := []struct {
		in   string
		want time.Duration
	}{
		{"90s", 90 * time.Second},
		{"1h30m", 90 * time.Minute},
		{"2d", 48 * time.Hour},
		{"1d12h", 36 * time.Hour},
		{"0.5d", 12 * time.Hour},
		{"", 0},
		{"0s", 0},
		{"0d", 0},
		{"-1h", 0},
		{"5", 0},
		{"1d-2h", 0},
		{"soon", 0},
		{"9999999d", 0},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := ParseDuration(tt.in)
			if got != tt.want || (err == nil) != (tt.want > 0) {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func TestFormatSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0B", 1023: "1023B", 2 << 30: "2GB", 3 << 29: "1.5GB", 5 << 50: "5120TB"} {
		if got := FormatSize(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestPathsFor(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string
		want Paths
	}{
		{"home alone", map[string]string{"HOME": "/h"}, Paths{
			"/h/.config/agent-process", "/h/.local/state/agent-process", "/h/.cache/agent-process", "/h/.local/state/agent-process/run",
		}},
		{"all set", map[string]string{"XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "/k", "XDG_RUNTIME_DIR": "/r"}, Paths{
			"/c/agent-process", "/s/agent-process", "/k/agent-process", "/r/agent-process",
		}},
		{"relative values are ignored", map[string]string{"HOME": "/h", "XDG_STATE_HOME": "s", "XDG_RUNTIME_DIR": "r"}, Paths{
			"/h/.config/agent-process", "/h/.local/state/agent-process", "/h/.cache/agent-process", "/h/.local/state/agent-process/run",
		}},
		{"no home", map[string]string{"XDG_STATE_HOME": "/s"}, Paths{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := PathsFor(tt.env)
			if got != tt.want || (err == nil) != (tt.want != Paths{}) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestCreateMakesPrivateDirectories(t *testing.T) {
	root := t.TempDir()
	p, err := PathsFor(map[string]string{"HOME": root})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(p.Cache, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := p.Create(); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{p.State, p.Cache, p.Runtime} {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", dir, info, err)
		}
	}
	if _, err := os.Stat(p.Config); err == nil {
		t.Error("made the configuration directory")
	}
	t.Run("what is no directory", func(t *testing.T) {
		q := p
		q.Runtime = filepath.Join(root, "link")
		if err := os.Symlink(p.State, q.Runtime); err != nil {
			t.Fatal(err)
		}
		if err := q.Create(); err == nil {
			t.Error("followed a symbolic link")
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(full)
	f.Add("a.b = {c=1}\n[x]\n[[y]]\nz=[1,2]")
	f.Add("keep = true # c\r\nkeep = false")
	f.Add("model = \"\"\"\nx\"\"\"")
	f.Fuzz(func(t *testing.T, text string) {
		cfg, problems := Parse("f", []byte(text))
		if cfg.Limits.MemoryBytes < 0 || cfg.Limits.PIDs < 0 || cfg.Limits.CPUs < 0 || cfg.Timeout < 0 {
			t.Errorf("negative limit from %q: %+v", text, cfg)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Line > strings.Count(text, "\n")+1 {
				t.Errorf("problem on line %d of %q", p.Line, text)
			}
		}
	})
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"1", "2GB", "1.5 GiB", "0", "9e9", "999999999TB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseSize(s); err == nil && n < 1 {
			t.Errorf("%q is %d", s, n)
		}
	})
}
