package toolpolicy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseProblems(t *testing.T) {
	const rule = "[[rule]]\nid = \"a\"\naction = \"warn\"\n"
	tests := []struct {
		name, text string
		want       []string
	}{
		{"no TOML", "a = ", []string{"p:1:4: "}},
		{"no TOML, later", "unparsed = \"deny\"\n\nx y", []string{"p:3:3: "}},
		{"a key twice", "unparsed = \"deny\"\nunparsed = \"ask\"", []string{"p:2"}},
		{"unknown key", "rules = []", []string{`p:1:1: unknown key "rules"`}},
		{"unknown table", "[rule]\nid = \"a\"", []string{`p:1:2: unknown table "rule"`, "p:2:1: unknown key \"id\""}},
		{"unknown tables", "[[rulez]]\nid = \"a\"", []string{`p:1:3: unknown table "rulez"`, ""}},
		{"inline rules", "rule = [{id = \"a\"}]", []string{`p:1:1: rule: wants tables, [[rule]]`}},
		{"unknown key of a rule", rule + "tool = \"x\"\ncmd = \"x\"", []string{`p:5:1: unknown key "rule.cmd"`}},
		{"dotted key of a rule", rule + "tool.x = \"x\"", []string{`p:4:1: unknown key "rule.tool.x"`, ""}},
		{"wrong type", "unparsed = true", []string{`p:1:1: unparsed: wants a string, got bool`}},
		{"wrong word", "unparsed = \"allow\"", []string{`p:1:1: unparsed: is one of deny, ask, not "allow"`}},
		{"wrong list", rule + "tool = [\"x\",\n  7]", []string{`p:4:1: tool: wants strings, got integer`}},
		{"empty list", rule + "tool = []", []string{`p:4:1: tool: the list is empty`}},
		{"empty word", rule + "tool = [\"\"]", []string{`p:4:9: tool: is empty`}},
		{"no id", "[[rule]]\naction = \"warn\"\ntool = \"x\"", []string{`p:1:3: rule "": id: wants letters`}},
		{"bad id", "[[rule]]\nid = \"A b\"\naction = \"warn\"\ntool = \"x\"", []string{`p:1:3: rule "A b": id: wants letters`}},
		{"reserved id", "[[rule]]\nid = \"scope\"\naction = \"warn\"\ntool = \"x\"", []string{`p:1:3: rule "scope": id: is what`}},
		{"no action", "[[rule]]\nid = \"a\"\ntool = \"x\"", []string{`p:1:3: rule "a": has no action`}},
		{"wrong action", "[[rule]]\nid = \"a\"\naction = \"block\"\ntool = \"x\"", []string{`p:3:1: action: is one of deny, ask, warn, allow, not "block"`, ""}},
		{"no reason", "[[rule]]\nid = \"a\"\naction = \"deny\"\ntool = \"x\"", []string{`p:1:3: rule "a": has no reason`}},
		{"matches everything", rule, []string{`p:1:3: rule "a": matches everything`}},
		{"over", rule + "tool = \"x\"\nover = \"publish\"", []string{`p:1:3: rule "a": over: only a rule of action allow`}},
		{"over what", "[[rule]]\nid = \"a\"\naction = \"allow\"\ntool = \"x\"\nover = [\"Not An Id\"]", []string{`p:5:9: over: "Not An Id" is no id`}},
		{"access", rule + "access = \"write\"", []string{`p:1:3: rule "a": access: is about paths`}},
		{"access of what kind", rule + "path = \"x\"\naccess = \"exec\"", []string{`p:5:1: access: is one of read, write, delete, not "exec"`}},
		{"phase", rule + "tool = \"x\"\nphase = \"during\"", []string{`p:5:1: phase: is one of pre, post, stop, not "during"`}},
		{"duplicate", rule + "tool = \"x\"\n" + rule + "tool = \"x\"", []string{`p:5:3: rule "a" is there already, on line 1`}},
		{"glob", rule + "tool = \"[x\"", []string{`p:4:1: tool: "[x" is no glob`}},
		{"option", rule + "command = \"git --[x\"", []string{`p:4:1: command: "--[x" is no glob`}},
		{"too many groups", rule + "command = \"{a,b}{a,b}{a,b}{a,b}\"", []string{`p:4:1: command: "{a,b}{a,b}{a,b}{a,b}" has more than 3 groups`}},
		{"path", rule + "path = [\"ok\", \"../x\"]", []string{`p:4:15: path: "../x" leaves what it is relative to`}},
		{"command", rule + "command = \"-x\"", []string{`p:4:1: command: "-x" begins with an option`}},
		{"pipes", rule + "command = \"a | b | c\"", []string{`only two commands can be piped`}},
		{"half a pipe", rule + "command = \" | b\"", []string{`names no program`}},
		{"url", rule + "url = \"https:///x\"", []string{`p:4:1: url: "https:///x" names no host`}},
		{"mcp", rule + "mcp = \"a/b/c\"", []string{`p:4:1: mcp: "a/b/c" is not of the form`}},
		{"hook", "[hooks.pre-push]\nobserve = true", []string{`p:1:2: hooks: no hook is called "pre-push"`}},
		{"dotted hook", "[hooks]\npre-push.observe = true", []string{`p:2:1: hooks: no hook is called "pre-push"`}},
		{"hook key", "[hooks.pre-bash]\nretries = 2", []string{`p:2:1: unknown key "hooks.pre-bash.retries"`}},
		{"hook type", "[hooks.pre-bash]\nobserve = \"yes\"\ntimeout = 5\nmemory = 5", []string{
			`p:2:1: hooks.pre-bash.observe: wants true or false, got string`, `p:3:1: hooks.pre-bash.timeout: wants a string`, `p:4:1: hooks.pre-bash.memory: wants a string`,
		}},
		{"hook bounds", "[hooks.pre-bash]\ntimeout = \"1h\"\nmemory = \"10KB\"", []string{`p:2:1: hooks.pre-bash.timeout: wants a time`, `p:3:1: hooks.pre-bash.memory: wants a size`}},
		{"several", "x = 1\nunparsed = 1\n[[rule]]\nid = \"a\"", []string{`p:1:1: unknown key`, `p:2:1: unparsed`, `p:3:3: rule "a": has no action`, `p:3:3: rule "a": matches everything`}},
		{"too long", strings.Repeat("#", maxFile+1), []string{"p: has 1048577 bytes"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("p", []byte(tt.text))
			if err == nil {
				t.Fatal("no error")
			}
			lines := strings.Split(err.Error(), "\n")
			for i, want := range tt.want {
				if i >= len(lines) && want != "" || i < len(lines) && !strings.Contains(lines[i], want) {
					t.Errorf("problem %d of\n%v\nwant %s", i, err, want)
				}
			}
			if len(lines) > len(tt.want) {
				t.Errorf("more problems than wanted:\n%v", err)
			}
		})
	}
}

func TestParseGood(t *testing.T) {
	l := layer(t, "p", "# nothing but\nunparsed = \"ask\"\ndisable = []\n[hooks]\npre-any.timeout = \"1m\"\n")
	if l.unparsed != Ask || len(l.disable) != 0 || l.hooks["pre-any"].timeout.Minutes() != 1 {
		t.Errorf("%+v", l)
	}
	l = layer(t, "p", "")
	if diff := cmp.Diff(len(l.rules), 0); diff != "" {
		t.Error(diff)
	}
}

func TestBuiltinParses(t *testing.T) {
	if _, err := Parse(BuiltinSource, builtinText); err != nil {
		t.Fatal(err)
	}
}
