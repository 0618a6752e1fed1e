package toolpolicy

import (
	"strings"
	"testing"
	"time"
)

const widening = `
disable = ["publish", "no-deploy"]
unparsed = "ask"

[[rule]]
id = "push-own"
action = "allow"
over = ["git-push"]
command = ["git push origin agent--*", "git push --dry-run **"]

[[rule]]
id = "own-npmrc"
action = "allow"
over = "credential-files"
path = "~/.npmrc"
access = "read"

[[rule]]
id = "no-docs"
action = "deny"
reason = "Docs are frozen."
path = "docs"
access = ["write", "delete"]

[hooks.pre-bash]
observe = true
timeout = "20s"
memory = "1GB"

[hooks.pre-any]
timeout = "5s"
`

const narrow = `
[[rule]]
id = "no-deploy"
action = "deny"
reason = "Deploy by hand."
command = "make deploy"

[hooks.pre-bash]
timeout = "10s"
memory = "2GB"

[hooks.post-stop]
observe = true
`

func TestLayers(t *testing.T) {
	user, project := layer(t, "user.toml", narrow), layer(t, "project.toml", widening)
	tests := []struct{ line, untrusted, trusted string }{
		{"git push origin agent--x", "deny git-push", "allow"},
		{"git push --dry-run origin main", "deny git-push", "allow"},
		{"git push origin agent--x main", "deny git-push", "deny git-push"},
		{"git push --force origin agent--x", "deny git-push", "deny git-push"},
		{"git -c a.b=c push origin agent--x", "deny git-push", "deny git-push"},
		{"git push origin agent--x && git push", "deny git-push", "deny git-push"},
		{`git push origin agent--"$X"`, "deny git-push", "deny git-push"},
		{"./git push origin agent--x", "deny git-push", "deny git-push"},
		{"npm publish", "deny publish", "allow"},
		{"make deploy", "deny no-deploy", "allow"},
		{"cat /home/agent/.npmrc", "deny credential-files", "allow"},
		{"cat /home/agent/.npmrc ~/.netrc", "deny credential-files", "deny credential-files"},
		{"cat ~/.np*", "deny credential-files", "deny credential-files"},
		{"echo x > docs/x", "deny no-docs", "deny no-docs"},
		{"$X push", "deny unparsed", "ask unparsed"},
		{"git branch -D x", "deny git-history", "deny git-history"},
	}
	untrusted := policy(t, Options{User: user, Project: project})
	trusted := policy(t, Options{User: user, Project: project, ProjectTrusted: true})
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			if v := untrusted.Judge(t.Context(), bash(t, tt.line), follow); said(v) != tt.untrusted {
				t.Errorf("untrusted: got %s: %s, want %s", said(v), v.Reason, tt.untrusted)
			}
			if v := trusted.Judge(t.Context(), bash(t, tt.line), follow); said(v) != tt.trusted {
				t.Errorf("trusted: got %s: %s, want %s", said(v), v.Reason, tt.trusted)
			}
		})
	}
	t.Run("hooks", func(t *testing.T) {
		want := HookSettings{Timeout: 10 * time.Second, MemoryBytes: 1 << 30}
		if got := untrusted.Hook("pre-bash"); got != want {
			t.Errorf("untrusted: %+v, want %+v", got, want)
		}
		want.Observe = true
		if got := trusted.Hook("pre-bash"); got != want {
			t.Errorf("trusted: %+v, want %+v", got, want)
		}
		if got := untrusted.Hook("post-stop"); got != (HookSettings{Observe: true}) {
			t.Errorf("the user's: %+v", got)
		}
		if got := trusted.Hook("pre-writes"); got != (HookSettings{}) {
			t.Errorf("not set: %+v", got)
		}
	})
	t.Run("rules", func(t *testing.T) { testRuleList(t, untrusted, trusted) })
}

func testRuleList(t *testing.T, untrusted, trusted *Policy) {
	t.Helper()
	find := func(p *Policy, source, id string) RuleInfo {
		for _, r := range p.Rules() {
			if r.ID == id && r.Source == source {
				return r
			}
		}
		t.Fatalf("no rule %s of %s", id, source)
		return RuleInfo{}
	}
	if r := find(untrusted, "project.toml", "push-own"); !r.Off || !strings.Contains(r.Note, "until the project is trusted") || r.Line != 5 {
		t.Errorf("untrusted push-own: %+v", r)
	}
	if r := find(trusted, "project.toml", "push-own"); r.Off || r.Note != "" {
		t.Errorf("trusted push-own: %+v", r)
	}
	if r := find(untrusted, BuiltinSource, "publish"); r.Off || !strings.Contains(r.Note, "project.toml wants it disabled") {
		t.Errorf("untrusted publish: %+v", r)
	}
	if r := find(trusted, BuiltinSource, "publish"); !r.Off || !strings.Contains(r.Note, "disabled by project.toml") {
		t.Errorf("trusted publish: %+v", r)
	}
	if r := find(untrusted, BuiltinSource, RuleUnparsed); r.Action != Deny || !strings.Contains(r.Note, "unparsed") {
		t.Errorf("untrusted unparsed: %+v", r)
	}
	if r := find(trusted, "project.toml", RuleUnparsed); r.Action != Ask || r.Note != "" {
		t.Errorf("trusted unparsed: %+v", r)
	}
}

func TestProjectMayNarrowUnparsed(t *testing.T) {
	user, project := layer(t, "user.toml", `unparsed = "ask"`), layer(t, "project.toml", `unparsed = "deny"`)
	if v := policy(t, Options{User: user}).Judge(t.Context(), bash(t, "$X"), follow); said(v) != "ask unparsed" {
		t.Errorf("the user's: %s", said(v))
	}
	if v := policy(t, Options{User: user, Project: project}).Judge(t.Context(), bash(t, "$X"), follow); said(v) != "deny unparsed" {
		t.Errorf("the project's: %s", said(v))
	}
}

// With no rule for commands there is nothing a line could be in hiding.
func TestUnparsedNeedsARule(t *testing.T) {
	var ids []string
	for _, r := range Builtin().rules {
		ids = append(ids, `"`+r.id+`"`)
	}
	none := "disable = [" + strings.Join(ids, ", ") + "]\n"
	p := policy(t, Options{User: layer(t, "user.toml", none)})
	if v := p.Judge(t.Context(), bash(t, "$X; git push; rm -rf /"), follow); said(v) != "allow" {
		t.Errorf("got %s", said(v))
	}
	p = policy(t, Options{User: layer(t, "user.toml", none+"[[rule]]\nid = \"a\"\naction = \"ask\"\nreason = \"x\"\ncommand = \"make x\"\n")})
	if v := p.Judge(t.Context(), bash(t, "$X"), follow); said(v) != "ask unparsed" {
		t.Errorf("only a rule that asks: %s", said(v))
	}
	p = policy(t, Options{User: layer(t, "user.toml", none+"[[rule]]\nid = \"a\"\naction = \"warn\"\ncommand = \"make x\"\n")})
	if v := p.Judge(t.Context(), bash(t, "$X"), follow); said(v) != "allow" {
		t.Errorf("only a rule that warns: %s", said(v))
	}
}

func TestNewFails(t *testing.T) {
	tests := []struct {
		name string
		o    Options
		want string
	}{
		{"disable", Options{User: layer(t, "u.toml", "\ndisable = [\"publish\", \"nothing\"]")}, `u.toml:2:23: disable: no layer below has a rule "nothing"`},
		{"over", Options{Project: layer(t, "p.toml", "[[rule]]\nid = \"a\"\naction = \"allow\"\ntool = \"*\"\nover = \"a\"")}, `p.toml:5:1: over: no layer below has a rule "a"`},
		{"scope", Options{Scope: []string{"docs", "/etc"}}, `--scope: "/etc": wants a path below the workspace`},
		{"scope upwards", Options{Scope: []string{"../x"}}, `--scope: "../x": "../x" leaves what it is relative to: write it as an absolute path`},
		{"scope glob", Options{Scope: []string{"[x"}}, `--scope: "[x": "[x" is no glob`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New(tt.o); err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}
