package service

import (
	"fmt"
	"slices"
	"strings"

	"agentprocess/internal/sandbox"
)

// resolveEnv turns --env into K=V: a bare K takes the person's own value.
func (s *Service) resolveEnv(asked []string) ([]string, error) {
	env := make([]string, 0, len(asked))
	for _, kv := range asked {
		name, _, has := strings.Cut(kv, "=")
		if !validVariable(name) {
			return nil, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("--env %q: %q is no name of a variable", kv, name),
				"write --env NAME=VALUE, or --env NAME for your own value")
		}
		if !has {
			value, ok := s.lookup(name)
			if !ok {
				return nil, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("--env %s: it is not set here", name),
					"set it, or write --env "+name+"=VALUE")
			}
			kv = name + "=" + value
		}
		env = append(env, kv)
	}
	return env, nil
}

// validVariable reports whether name is one that POSIX shells can hold.
func validVariable(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}

// passed are the person's variables that go inside unasked: how text is
// written, nothing that could hold a secret.
func passed() []string { return []string{"LANG", "LC_ALL", "LC_CTYPE", "TZ", "TERM", "COLORTERM"} }

// baseEnv is the environment of everything that runs inside.
func (s *Service) baseEnv(home, toolPath string, user sandbox.Identity) []string {
	name := user.Name
	if name == "" {
		name = "agent"
	}
	env := []string{
		"PATH=" + toolPath, "HOME=" + home, "USER=" + name, "LOGNAME=" + name, "SHELL=/bin/sh", "TMPDIR=/tmp",
	}
	for _, v := range passed() {
		if value, ok := s.lookup(v); ok {
			env = append(env, v+"="+value)
		}
	}
	return env
}

// imageEnv is what of an image's variables its programs keep: not who and where
// they are, nor what steers an agent or its way out.
func imageEnv(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		upper := strings.ToUpper(name)
		return !validVariable(name) || slices.Contains([]string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "HOSTNAME", "PWD", "TMPDIR"}, upper) ||
			strings.HasSuffix(upper, "_PROXY") || strings.HasPrefix(upper, "ANTHROPIC_") || strings.HasPrefix(upper, "CLAUDE") || strings.HasPrefix(upper, "AGENT_PROCESS")
	})
}

// networkEnv points at the gateway those tools that ask for a proxy; the
// others are redirected to it anyway. What is in the sandbox itself, which is
// all that its own names and addresses are, is not for the gateway.
func networkEnv(hostname string) []string {
	const proxyURL = "http://127.0.0.1:3128"
	direct := "localhost,.localhost,127.0.0.1,127.0.0.0/8,::1,0.0.0.0," + hostname
	var env []string
	for _, v := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		env = append(env, v+"="+proxyURL, strings.ToLower(v)+"="+proxyURL)
	}
	return append(env, "NO_PROXY="+direct, "no_proxy="+direct, "NODE_USE_ENV_PROXY=1", "GIT_CONFIG_SYSTEM="+gitConfigPath)
}

// merge puts layers of environment on top of each other, the last one winning.
func merge(layers ...[]string) []string {
	var out []string
	at := map[string]int{}
	for _, kv := range slices.Concat(layers...) {
		name, _, _ := strings.Cut(kv, "=")
		if i, ok := at[name]; ok {
			out[i] = kv
			continue
		}
		at[name] = len(out)
		out = append(out, kv)
	}
	return out
}
