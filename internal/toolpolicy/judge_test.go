package toolpolicy

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
)

func TestTools(t *testing.T) {
	p := policy(t, Options{})
	type in = map[string]any
	tests := []struct {
		tool string
		in   in
		want string
	}{
		{"Write", in{"file_path": testWorkspace + "/src/x.go", "content": "x"}, "allow"},
		{"Write", in{"file_path": testWorkspace + "/.agent-process/policy.toml"}, "warn policy-files"},
		{"Write", in{"file_path": ".agent-process/hooks/pre-any"}, "warn policy-files"},
		{"Write", in{"file_path": testWorkspace + "/sub/.agent-process/policy.toml"}, "warn policy-files"},
		{"Write", in{"file_path": testWorkspace + "/x/../.agent-process/policy.toml"}, "warn policy-files"},
		{"Write", in{"file_path": "docs/up/../.agent-process/policy.toml"}, "warn policy-files"},
		{"Write", in{"file_path": testWorkspace + "/hooks-link/pre-commit"}, "deny git-hooks"},
		{"Write", in{"file_path": "~/.claude/settings.json"}, "deny agent-settings"},
		{"Write", in{"file_path": testHome + "/.claude/plans/x.md"}, "allow"},
		{"Write", in{"file_path": "/tmp/x"}, "allow"},
		{"Write", in{"file_path": testHome + "/.npmrc"}, "warn registries"},
		{"Write", in{"content": "x"}, "deny malformed"},
		{"Write", in{"file_path": 7}, "deny malformed"},
		{"Write", in{"file_path": "a\x00b"}, "deny malformed"},
		{"Edit", in{"file_path": testWorkspace + "/.claude/settings.json", "old_string": "a"}, "deny agent-settings"},
		{"Edit", in{"file_path": testWorkspace + "/.github/workflows/ci.yml"}, "warn ci-files"},
		{"MultiEdit", in{"file_path": testWorkspace + "/.mcp.json", "edits": []any{}}, "deny agent-settings"},
		{"NotebookEdit", in{"notebook_path": "/run/agent-process/x.ipynb"}, "deny sandbox-files"},
		{"NotebookEdit", in{"notebook_path": testWorkspace + "/x.ipynb"}, "allow"},
		{"Read", in{"file_path": testHome + "/.ssh/id_rsa"}, "deny credential-files"},
		{"Read", in{"file_path": testWorkspace + "/aws/credentials"}, "deny credential-files"},
		{"Read", in{"file_path": testWorkspace + "/.env"}, "allow"},
		{"Read", in{"file_path": testWorkspace + "/.npmrc"}, "allow"},
		{"Read", in{"file_path": "/proc/self/environ"}, "deny process-environment"},
		{"Read", in{"file_path": "/proc/cpuinfo"}, "allow"},
		{"Read", in{"file_path": testWorkspace + "/.agent-process/policy.toml"}, "allow"},
		{"NotebookRead", in{"notebook_path": testHome + "/.aws/x.ipynb"}, "deny credential-files"},
		{"Grep", in{"pattern": "key", "path": testHome + "/.ssh"}, "deny credential-files"},
		{"Grep", in{"pattern": "key"}, "allow"},
		{"Grep", in{"pattern": "key", "path": nil}, "allow"},
		{"Grep", in{"pattern": "key", "path": 7}, "deny malformed"},
		{"Glob", in{"pattern": "**/*.go"}, "allow"},
		{"Glob", in{"pattern": testHome + "/.ssh/*"}, "deny credential-files"},
		{"Glob", in{"pattern": ".s?h/*", "path": testHome}, "deny credential-files"},
		{"Glob", in{"pattern": testHome + "/.{ssh,aws}/id"}, "deny credential-files"},
		{"Glob", in{"pattern": testHome + "/x" + strings.Repeat("{,}", 200) + "y/**"}, "allow"},
		{"Glob", in{"pattern": strings.Repeat("{**/,}", 200) + "y/**"}, "allow"},
		{"Bash", in{"cmd": "git push"}, "deny git-push"},
		{"Bash", in{}, "deny malformed"},
		{"Bash", in{"command": 7}, "deny malformed"},
		{"Bash", in{"command": in{"x": "git push"}}, "deny malformed"},
		{"shell", in{"command": []any{"bash", "-lc", "git push"}}, "deny git-push"},
		{"shell", in{"command": []any{"git", "commit", "-m", "a; git push"}}, "allow"},
		{"run_shell_command", in{"command": "git push"}, "deny git-push"},
		{"apply_patch", in{"input": "*** Begin Patch\n*** Update File: .mcp.json\n@@\n*** End Patch"}, "deny agent-settings"},
		{"apply_patch", in{"input": "*** Begin Patch\n*** Add File: src/x.go\n+x\n*** End Patch"}, "allow"},
		{"apply_patch", in{"input": "*** Begin Patch\n*** Update File: x\n*** Move to: .git/hooks/pre-push\n*** End Patch"}, "deny git-hooks"},
		{"WebFetch", in{"url": "https://example.com/x", "prompt": "x"}, "allow"},
		{"WebFetch", in{"prompt": "x"}, "deny malformed"},
		{"WebFetch", in{"url": "file:///home/agent/.netrc"}, "deny credential-files"},
		{"WebSearch", in{"query": "git push"}, "allow"},
		{"Task", in{"prompt": "git push", "subagent_type": "x"}, "allow"},
		{"TodoWrite", in{"todos": []any{}}, "allow"},
		{"mcp__fs__read_text_file", in{"path": testHome + "/.ssh/id_rsa"}, "deny credential-files"},
		{"mcp__fs__write_file", in{"path": ".agent-process/policy.toml", "content": "x"}, "warn policy-files"},
		{"mcp__fs__read_text_file", in{"path": ".agent-process/policy.toml"}, "allow"},
		{"mcp__fs__move_file", in{"source": ".mcp.json", "destination": "x"}, "deny agent-settings"},
		{"mcp__fs__delete_file", in{"path": "/etc/hosts"}, "deny delete-outside"},
		{"mcp__desktop__execute_command", in{"command": "git push"}, "deny git-push"},
		{"mcp__db__query", in{"command": "SELECT count(*) FROM x"}, "allow"},
		{"mcp__db__query", in{"path": 7, "url": in{}}, "allow"},
		{"Unheard", in{"file_path": ".mcp.json"}, "deny agent-settings"},
	}
	for _, tt := range tests {
		c := call(t, tt.tool, tt.in)
		t.Run(tt.tool+" "+string(c.Input), func(t *testing.T) {
			if v := p.Judge(t.Context(), c, follow); said(v) != tt.want {
				t.Errorf("got %s: %s\nwant %s", said(v), v.Reason, tt.want)
			}
		})
	}
}

func TestInputThatIsNoObject(t *testing.T) {
	p := policy(t, Options{})
	for _, raw := range []string{`[]`, `"git push"`, `{`, `7`, `{"command": "ls"} x`} {
		c := bash(t, "")
		c.Input = json.RawMessage(raw)
		if v := p.Judge(t.Context(), c, follow); said(v) != "deny malformed" {
			t.Errorf("%s: %s", raw, said(v))
		}
	}
}

func TestUnresolvedPathsAreDenied(t *testing.T) {
	p := policy(t, Options{})
	write := call(t, "Write", map[string]any{"file_path": "x"})
	relative := write
	relative.Dir = "x"
	tests := []struct {
		name    string
		call    Call
		resolve Resolver
	}{
		{"an error", write, func(context.Context, []string) (map[string]string, error) { return nil, errNoAnswer }},
		{"nobody", write, nil},
		{"no answer", write, func(context.Context, []string) (map[string]string, error) { return nil, nil }},
		{"a relative answer", write, func(_ context.Context, paths []string) (map[string]string, error) {
			m := map[string]string{}
			for _, p := range paths {
				m[p] = "x"
			}
			return m, nil
		}},
		{"a relative directory", relative, follow},
		{"too many", bash(t, "cat "+strings.Repeat("a/b ", 1)+manyPaths()), follow},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if v := p.Judge(t.Context(), tt.call, tt.resolve); said(v) != "deny unresolved" {
				t.Errorf("got %s: %s", said(v), v.Reason)
			}
		})
	}
}

func manyPaths() string {
	var b strings.Builder
	for i := range maxTargets {
		b.WriteString(" d/")
		b.WriteString(strings.Repeat("x", i%7))
		b.WriteByte(byte('a' + i%26))
		b.WriteString(strings.Repeat("y", i/7%97))
		b.WriteString(strings.Repeat("z", i/679))
	}
	return b.String()
}

const userRules = `
[[rule]]
id = "no-deploy"
action = "deny"
reason = "Deploy by hand."
command = ["make deploy", "./deploy.sh", "kubectl {apply,delete}", "terraform apply -auto-approve", "rm -rf *"]

[[rule]]
id = "ask-install"
action = "ask"
reason = "New dependencies are looked at."
tool = "Bash"
command = ["npm install *", "go get *"]

[[rule]]
id = "no-internal"
action = "deny"
reason = "Not these hosts."
url = ["*.internal.example/**", "example.com/private/**", "http://*"]

[[rule]]
id = "no-github-mcp"
action = "deny"
reason = "Read only."
mcp = ["github/create_*", "jira"]

[[rule]]
id = "migrations"
action = "ask"
reason = "Migrations are reviewed."
path = ["db/migrations", "!db/migrations/README.md"]
access = ["write", "delete"]

[[rule]]
id = "only-for-x"
action = "deny"
reason = "Not x."
agent = "x*"
tool = "Web*"

[[rule]]
id = "look-again"
action = "deny"
reason = "Look again."
phase = ["post"]
tool = "Write"
path = "*.gen.go"

[[rule]]
id = "finish"
action = "deny"
reason = "Say what you did."
phase = "stop"
agent = "stopper"

[[rule]]
id = "no-debug"
action = "warn"
reason = "Debug."
command = "node **"
env = ["NODE_DEBUG", "DEBUG=*verbose*"]
`

func TestRules(t *testing.T) {
	p := policy(t, Options{User: layer(t, "user.toml", userRules)})
	type in = map[string]any
	with := func(c Call, change func(*Call)) Call { change(&c); return c }
	web := func(url string) Call { return call(t, "WebFetch", in{"url": url}) }
	tests := []struct {
		name string
		call Call
		want string
	}{
		{"program and word", bash(t, "make deploy"), "deny no-deploy"},
		{"after options", bash(t, "make -C x deploy"), "deny no-deploy"},
		{"by path", bash(t, "./deploy.sh now"), "deny no-deploy"},
		{"another path", bash(t, "x/deploy.sh"), "allow"},
		{"one of", bash(t, "kubectl delete pod x"), "deny no-deploy"},
		{"none of", bash(t, "kubectl get pod x"), "allow"},
		{"one dash", bash(t, "terraform apply -auto-approve"), "deny no-deploy"},
		{"without it", bash(t, "terraform apply"), "allow"},
		{"letters together", bash(t, "rm -rf build"), "deny no-deploy"},
		{"letters apart", bash(t, "rm -f -r build"), "deny no-deploy"},
		{"one letter", bash(t, "rm -f build"), "allow"},
		{"no operand", bash(t, "rm -rf"), "allow"},
		{"ask", bash(t, "npm install left-pad"), "ask ask-install"},
		{"nothing to install", bash(t, "npm install"), "allow"},
		{"not a shell", call(t, "Task", in{"command": "npm install x"}), "allow"},
		{"deny is stronger than ask", bash(t, "npm install x && make deploy"), "deny no-deploy"},
		{"host below", web("https://a.b.internal.example/x"), "deny no-internal"},
		{"the apex", web("https://internal.example/x"), "allow"},
		{"path", web("https://example.com/private/x"), "deny no-internal"},
		{"path in disguise", web("https://EXAMPLE.com./x/..//%70rivate/x"), "deny no-internal"},
		{"user in front", web("https://other.org@example.com:443/private"), "deny no-internal"},
		{"other path", web("https://example.com/public/x"), "allow"},
		{"scheme", web("http://other.example/x"), "deny no-internal"},
		{"no URL", web("https://[x"), "deny unparsed"},
		{"curl", bash(t, "curl -s https://x.internal.example"), "deny no-internal"},
		{"curl without a scheme", bash(t, "curl x.internal.example/a"), "deny no-internal"},
		{"git clone", bash(t, "git clone git@x.internal.example:me/it"), "deny no-internal"},
		{"wget", bash(t, "wget https://example.org/x"), "allow"},
		{"a URL that is not known", bash(t, `curl "$URL"`), "deny unparsed"},
		{"mcp tool", call(t, "mcp__github__create_issue", nil), "deny no-github-mcp"},
		{"mcp other tool", call(t, "mcp__github__get_issue", nil), "allow"},
		{"mcp server", call(t, "mcp__jira__anything", nil), "deny no-github-mcp"},
		{"below a directory", call(t, "Write", in{"file_path": "db/migrations/001.sql"}), "ask migrations"},
		{"an exception", call(t, "Write", in{"file_path": "db/migrations/README.md"}), "allow"},
		{"another access", call(t, "Read", in{"file_path": "db/migrations/001.sql"}), "allow"},
		{"agent", with(web("https://example.org"), func(c *Call) { c.Agent = "xy" }), "deny only-for-x"},
		{"before", call(t, "Write", in{"file_path": "a.gen.go"}), "allow"},
		{"after", with(call(t, "Write", in{"file_path": "a.gen.go"}), func(c *Call) { c.Phase = Post }), "deny look-again"},
		{"built-in rules are for before", with(bash(t, "git push"), func(c *Call) { c.Phase = Post }), "allow"},
		{"stop", Call{Phase: Stop, Agent: "stopper"}, "deny finish"},
		{"stop of another", Call{Phase: Stop, Agent: "claude"}, "allow"},
		{"variable", bash(t, "NODE_DEBUG=1 node x.js"), "warn no-debug"},
		{"variable with a value", bash(t, "DEBUG=a/verbose/b node x.js"), "warn no-debug"},
		{"another value", bash(t, "DEBUG=quiet node x.js"), "allow"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if v := p.Judge(t.Context(), tt.call, follow); said(v) != tt.want {
				t.Errorf("got %s: %s\nwant %s", said(v), v.Reason, tt.want)
			}
		})
	}
}

func TestScope(t *testing.T) {
	p := policy(t, Options{Scope: []string{"docs", "*.md", "web/**/*.ts"}})
	type in = map[string]any
	tests := []struct {
		call Call
		want string
	}{
		{call(t, "Write", in{"file_path": "docs/a.md"}), "allow"},
		{call(t, "Write", in{"file_path": "README.md"}), "allow"},
		{call(t, "Write", in{"file_path": "web/a/b.ts"}), "allow"},
		{call(t, "Write", in{"file_path": "web/a/b.js"}), "deny scope"},
		{call(t, "Edit", in{"file_path": testWorkspace + "/src/x.go"}), "deny scope"},
		{call(t, "Write", in{"file_path": "docs/../src/x.go"}), "deny scope"},
		{call(t, "Write", in{"file_path": "docs/up/x.go"}), "deny scope"},
		{call(t, "Write", in{"file_path": "/tmp/x"}), "allow"},
		{call(t, "Read", in{"file_path": "src/x.go"}), "allow"},
		{bash(t, "rm src/x.go"), "deny scope"},
		{bash(t, "rm docs/x.md"), "allow"},
		{bash(t, "echo x > src/x.go"), "deny scope"},
		{bash(t, "cd docs && touch x"), "allow"},
		{bash(t, "cd src && touch x"), "deny scope"},
		{bash(t, "cp src/x.go docs/"), "allow"},
		{bash(t, "cp src/x.go web/y.ts"), "allow"},
		{bash(t, "mv src/x.go docs/"), "deny scope"},
		{bash(t, "sed -i s/a/b/ src/x.go"), "deny scope"},
		{bash(t, "cat src/x.go > docs/x"), "allow"},
		{bash(t, "git checkout -- src/x.go"), "allow"},
		{bash(t, "git checkout other -- src/x.go"), "deny scope"},
		{bash(t, "git rm src/x.go"), "deny scope"},
		{bash(t, "make"), "allow"},
	}
	for _, tt := range tests {
		t.Run(string(tt.call.Input), func(t *testing.T) {
			v := p.Judge(t.Context(), tt.call, follow)
			if said(v) != tt.want {
				t.Errorf("got %s: %s\nwant %s", said(v), v.Reason, tt.want)
			}
			if v.Rule == RuleScope && !strings.Contains(v.Reason, "docs, *.md, web/**/*.ts") {
				t.Errorf("the reason does not name the globs: %s", v.Reason)
			}
		})
	}
}

func TestWarningsComeWithEveryVerdict(t *testing.T) {
	p := policy(t, Options{})
	v := p.Judge(t.Context(), bash(t, "echo x > .gitlab-ci.yml; crontab -l; git push"), follow)
	if said(v) != "deny git-push" || len(v.Warnings) != 2 {
		t.Errorf("got %s with %q", said(v), v.Warnings)
	}
}
