package agent_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"agentprocess/internal/agent"
	"agentprocess/internal/sandbox"
)

func request(change func(*agent.Request)) agent.Request {
	r := agent.Request{Goal: "do it", Dir: "/project", Home: "/home/agent"}
	if change != nil {
		change(&r)
	}
	return r
}

var claude = agent.Claude{CLI: agent.CLI{Path: "/usr/bin/claude", Version: "1.2.3"}}

func TestPlanOfClaude(t *testing.T) {
	p, err := claude.Plan(t.Context(), request(func(r *agent.Request) {
		r.Goal, r.Model, r.CABundle = "--dangerous goal", "-m", "/run/ca.pem"
		r.Credential = agent.StandIn{Env: "ANTHROPIC_API_KEY", Value: "sk-ant-api03-0123456789abcdefghijKLMNOPQRST"}
		r.Environ = []string{"ANTHROPIC_API_KEY=real", "SECRET=real", "ANTHROPIC_MODEL=m"}
	}))
	if err != nil {
		t.Fatal(err)
	}
	if string(p.Stdin) != "--dangerous goal" || slices.Contains(p.Argv, "--dangerous goal") || !slices.Contains(p.Argv, "--model=-m") {
		t.Errorf("argv = %q, stdin = %q", p.Argv, p.Stdin)
	}
	env := strings.Join(p.Env, "\n")
	for _, want := range []string{"ANTHROPIC_API_KEY=sk-ant-api03-0", "ANTHROPIC_MODEL=m", "NODE_EXTRA_CA_CERTS=/run/ca.pem", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1"} {
		if !strings.Contains(env, want) {
			t.Errorf("no %q in %q", want, p.Env)
		}
	}
	if strings.Contains(env, "real") || strings.Contains(env, "IS_SANDBOX") {
		t.Errorf("env = %q", p.Env)
	}
	if p.API != (agent.Endpoint{Scheme: "https", Host: "api.anthropic.com", Port: 443}) || !slices.Equal(p.Rules, []string{"api.anthropic.com"}) {
		t.Errorf("api = %+v, rules = %q", p.API, p.Rules)
	}
	for _, want := range []string{"--setting-sources=", "--strict-mcp-config", "--add-dir=/project"} {
		if !slices.Contains(p.Argv, want) {
			t.Errorf("no %q in %q", want, p.Argv)
		}
	}
	if len(p.Mounts) != 1 || !p.Mounts[0].ReadOnly || p.Mounts[0].Target != p.Argv[0] {
		t.Errorf("mounts = %+v", p.Mounts)
	}
	if p.Info != (sandbox.AgentInfo{Kind: "claude", Version: "1.2.3", Model: "-m"}) {
		t.Errorf("info = %+v", p.Info)
	}
	checkFiles(t, p.Files)
}

// wired are the parts of managed settings that tests look at.
type wired struct {
	Only   bool                  `json:"allowManagedHooksOnly"`
	Helper struct{ Path string } `json:"policyHelper"`
	Hooks  map[string][]struct {
		Matcher string
		Hooks   []struct {
			Command string
			Timeout int
		}
	}
}

func checkFiles(t *testing.T, list []sandbox.File) {
	t.Helper()
	files := map[string]sandbox.File{}
	for _, f := range list {
		files[f.Path] = f
		if f.Owned != strings.HasPrefix(f.Path, "/home/agent/") || !f.Owned && f.Mode&0o222 != 0 {
			t.Errorf("file %q: owned %t, mode %o", f.Path, f.Owned, f.Mode)
		}
	}
	var managed wired
	var answer struct{ ManagedSettings wired }
	for path, to := range map[string]any{agent.ManagedSettingsPath: &managed, "/etc/claude-code/policy.json": &answer} {
		if err := json.Unmarshal(files[path].Data, to); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	if helper := files[managed.Helper.Path]; helper.Mode != 0o555 || !strings.Contains(string(helper.Data), "/etc/claude-code/policy.json") {
		t.Errorf("helper %q = %+v", managed.Helper.Path, helper)
	}
	for _, m := range []wired{managed, answer.ManagedSettings} {
		if !m.Only {
			t.Error("hooks that are not managed run")
		}
		for _, event := range agent.HookEvents() {
			h := m.Hooks[event]
			if len(h) != 1 || h[0].Matcher != "*" || h[0].Hooks[0].Command != sandbox.BinaryPath+" hook" || h[0].Hooks[0].Timeout < 3700 || h[0].Hooks[0].Timeout > math.MaxInt32/1000 {
				t.Errorf("hook of %s = %+v", event, h)
			}
		}
	}
	state := string(files["/home/agent/.claude.json"].Data)
	if !strings.Contains(state, `"/project"`) || len(files) != 5 {
		t.Errorf("%d files, state = %s", len(files), state)
	}
	if !strings.Contains(state, "hijKLMNOPQRST") || strings.Contains(state, "sk-ant-api03-0") {
		t.Errorf("the key is not known by its end: %s", state)
	}
}

func TestPlanWithoutCredentialHasNoPlaceholder(t *testing.T) {
	p, err := claude.Plan(t.Context(), request(nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range p.Env {
		for _, name := range []string{"ANTHROPIC_API_KEY=", "ANTHROPIC_AUTH_TOKEN=", "CLAUDE_CODE_OAUTH_TOKEN="} {
			if strings.HasPrefix(kv, name) {
				t.Errorf("env has %q", kv)
			}
		}
	}
}

func TestPlanAPI(t *testing.T) {
	tests := map[string]struct {
		base  string
		rules []string
		fails bool
	}{
		"default":      {"", []string{"api.anthropic.com"}, false},
		"gateway":      {"https://LLM.corp.example/v1/x", []string{"llm.corp.example"}, false},
		"port":         {"https://llm.corp.example:8443", []string{"llm.corp.example:8443"}, false},
		"plain":        {"http://llm.corp.example", []string{"llm.corp.example:80"}, false},
		"password":     {"https://user:hunter2@llm.corp.example", nil, true},
		"no scheme":    {"llm.corp.example", nil, true},
		"other scheme": {"ftp://llm.corp.example", nil, true},
		"port 0":       {"https://llm.corp.example:0", nil, true},
		"no host":      {"https://", nil, true},
		"broken":       {"https://hunter2\x7f", nil, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := claude.Plan(t.Context(), request(func(r *agent.Request) { r.Environ = []string{"ANTHROPIC_BASE_URL=" + tt.base} }))
			if (err != nil) != tt.fails || !slices.Equal(p.Rules, tt.rules) {
				t.Errorf("rules = %q, err = %v", p.Rules, err)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func TestPlanOfACloud(t *testing.T) {
	tests := map[string]struct {
		env  []string
		rule string
	}{
		"bedrock":       {[]string{"CLAUDE_CODE_USE_BEDROCK=1", "AWS_REGION=eu-west-1"}, "bedrock-runtime.eu-west-1.amazonaws.com"},
		"vertex":        {[]string{"CLAUDE_CODE_USE_VERTEX=true", "CLOUD_ML_REGION=europe-west1"}, "europe-west1-aiplatform.googleapis.com"},
		"vertex global": {[]string{"CLAUDE_CODE_USE_VERTEX=1", "CLOUD_ML_REGION=global"}, "aiplatform.googleapis.com"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := claude.Plan(t.Context(), request(func(r *agent.Request) {
				r.Env, r.Credential = tt.env, agent.StandIn{Env: "ANTHROPIC_API_KEY", Value: "x"}
			}))
			if err != nil || p.API.Host != "" || p.Rules[0] != tt.rule || slices.Contains(p.Env, "ANTHROPIC_API_KEY=x") {
				t.Errorf("plan = %+v, %v", p, err)
			}
		})
	}
}

func TestPlanRefuses(t *testing.T) {
	tests := map[string]func(*agent.Request){
		"no goal":       func(r *agent.Request) { r.Goal = " \n" },
		"huge goal":     func(r *agent.Request) { r.Goal = strings.Repeat("x", 9<<20) },
		"huge argument": func(r *agent.Request) { r.Goal, r.Interactive = strings.Repeat("x", 200<<10), true },
		"NUL":           func(r *agent.Request) { r.Goal = "a\x00b" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := claude.Plan(t.Context(), request(change)); sandbox.ErrorCode(err) != sandbox.CodeUsage {
				t.Errorf("err = %v", err)
			}
		})
	}
	if _, err := (agent.Claude{}).Plan(t.Context(), request(nil)); sandbox.ErrorCode(err) != sandbox.CodeAgent {
		t.Errorf("err = %v", err)
	}
}

func TestPlanOfExec(t *testing.T) {
	p, err := agent.Exec{}.Plan(t.Context(), agent.Request{Argv: []string{"make", "test"}, Goal: "g"})
	if err != nil || !slices.Equal(p.Argv, []string{"make", "test"}) || !slices.Equal(p.Env, []string{"AGENT_PROCESS_GOAL=g"}) || p.Info.Kind != "exec" {
		t.Errorf("plan = %+v, %v", p, err)
	}
	if _, err := (agent.Exec{}).Plan(t.Context(), agent.Request{}); sandbox.ErrorCode(err) != sandbox.CodeUsage {
		t.Errorf("err = %v", err)
	}
}
