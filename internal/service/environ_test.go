package service

import (
	"slices"
	"testing"

	"agentprocess/internal/sandbox"
)

func TestResolveEnv(t *testing.T) {
	s := New(Deps{Environ: []string{"TOKEN=a=b", "EMPTY="}})
	tests := []struct {
		name  string
		asked []string
		want  []string // nil is an error
	}{
		{"none", nil, []string{}},
		{"a value", []string{"A=1"}, []string{"A=1"}},
		{"an empty value", []string{"A="}, []string{"A="}},
		{"one's own value", []string{"TOKEN"}, []string{"TOKEN=a=b"}},
		{"one's own empty value", []string{"EMPTY"}, []string{"EMPTY="}},
		{"in order", []string{"B=2", "_a9=1"}, []string{"B=2", "_a9=1"}},
		{"not set", []string{"A=1", "TOKE"}, nil},
		{"no name", []string{"=x"}, nil},
		{"empty", []string{""}, nil},
		{"a digit first", []string{"1A=x"}, nil},
		{"a space", []string{"A B=x"}, nil},
		{"a line end", []string{"A\n=x"}, nil},
		{"no ASCII", []string{"Ä=x"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.resolveEnv(tt.asked)
			if tt.want == nil {
				if sandbox.ErrorCode(err) != sandbox.CodeUsage || sandbox.ErrorHint(err) == "" {
					t.Errorf("resolveEnv(%q) = %q, %v, want a usage error with a hint", tt.asked, got, err)
				}
				return
			}
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("resolveEnv(%q) = %q, %v, want %q", tt.asked, got, err, tt.want)
			}
		})
	}
}

func TestMerge(t *testing.T) {
	tests := []struct {
		name   string
		layers [][]string
		want   []string
	}{
		{"nothing", nil, nil},
		{"apart", [][]string{{"A=1"}, {"B=2"}}, []string{"A=1", "B=2"}},
		{"the last one wins, in its first place", [][]string{{"A=1", "B=2"}, {"A=3"}, {"A=4", "C=5"}}, []string{"A=4", "B=2", "C=5"}},
		{"names are whole", [][]string{{"A=1"}, {"AA=2"}}, []string{"A=1", "AA=2"}},
		{"within a layer", [][]string{{"A=1", "A=2"}}, []string{"A=2"}},
		{"values may hold an equals sign", [][]string{{"A=b=c"}, {"A=d=e"}}, []string{"A=d=e"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := merge(tt.layers...); !slices.Equal(got, tt.want) {
				t.Errorf("merge(%q) = %q, want %q", tt.layers, got, tt.want)
			}
		})
	}
}

func TestBaseEnvPassesNothingThatCouldBeSecret(t *testing.T) {
	s := New(Deps{Environ: []string{
		"PATH=/home/ada/bin", "HOME=/home/ada", "LANG=de_DE.UTF-8", "TERM=xterm", "SSH_AUTH_SOCK=/tmp/agent", "API_TOKEN=secret", "LD_PRELOAD=/x.so",
	}})
	got := s.baseEnv("/home/agent", "/usr/bin", sandbox.Identity{Name: "ada"})
	want := []string{
		"PATH=/usr/bin", "HOME=/home/agent", "USER=ada", "LOGNAME=ada", "SHELL=/bin/sh", "TMPDIR=/tmp", "LANG=de_DE.UTF-8", "TERM=xterm",
	}
	if !slices.Equal(got, want) {
		t.Errorf("baseEnv() = %q, want %q", got, want)
	}
	if got := s.baseEnv("/h", "/p", sandbox.Identity{}); !slices.Contains(got, "USER=agent") {
		t.Errorf("without a name baseEnv() = %q, want USER=agent", got)
	}
}

func TestNetworkEnv(t *testing.T) {
	env := networkEnv("agent")
	if !slices.Contains(env, "https_proxy=http://127.0.0.1:3128") || !slices.Contains(env, "HTTPS_PROXY=http://127.0.0.1:3128") {
		t.Errorf("networkEnv() names no proxy: %q", env)
	}
}
