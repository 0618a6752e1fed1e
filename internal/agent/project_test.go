package agent_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"agentprocess/internal/agent"
	"agentprocess/internal/sandbox"
)

func treeFile(path, data string) agent.TreeFile {
	return agent.TreeFile{Path: path, Mode: 0o100644, Data: []byte(data)}
}

// planned are the files of a plan below /etc/claude-code but for our settings.
func planned(t *testing.T, change func(*agent.Request)) (agent.Plan, map[string]sandbox.File) {
	t.Helper()
	p, err := claude.Plan(t.Context(), request(change))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]sandbox.File{}
	for _, f := range p.Files {
		if rest, ok := strings.CutPrefix(f.Path, "/etc/claude-code/"); ok && f.Path != agent.ManagedSettingsPath && rest != "policy" {
			if _, twice := files[rest]; twice || f.Owned || f.Mode&0o222 != 0 {
				t.Errorf("file %q comes twice or can be written: %o", f.Path, f.Mode)
			}
			files[rest] = f
		}
	}
	return p, files
}

func TestPlanOfTrusted_T_J6(t *testing.T) {
	p, files := planned(t, func(r *agent.Request) {
		r.Trusted = []agent.TreeFile{
			treeFile(".mcp.json", `{"mcpServers":{}}`),
			treeFile(".claude/settings.local.json", `{"env":{"A":"2"},"permissions":{"deny":["b"]},"model":"local"}`),
			treeFile(".claude/settings.json", "\ufeff"+`{"env":{"A":"1","B":"1"},"permissions":{"deny":["a"],"defaultMode":"plan"},"model":"m","sandbox":{"enabled":true},
				"statusLine":{"type":"command","command":"./.claude/hooks/line"},"hooks":{"Stop":[{"hooks":[{"type":"command","command":"x","args":[".claude/hooks/y"]}]}],"Nonsense":[{}]}}`),
			{Path: ".claude/hooks/line", Mode: 0o100755, Data: []byte("#!/bin/sh")},
			treeFile(".claude/skills/a/SKILL.md", "a"),
			treeFile("x/y/.claude/skills/a/SKILL.md", "b"),
			treeFile(".claude/agents/d/a.md", "a"),
			treeFile(".claude/agents/d/a.md", "again"),
			treeFile(".claude/commands/c.md", "c"),
			treeFile(".claude/output-styles/o.md", "o"),
			treeFile(".claude/skills/../../../etc/passwd", "no"),
			treeFile("../.claude/skills/x", "no"),
			treeFile("/.claude/skills/x", "no"),
			treeFile(".agent-process/policy.toml", "no"),
			{Path: ".claude/agents/link.md", Mode: 0o120000, Data: []byte("/etc/passwd")},
			{Path: ".claude/skills/module", Mode: 0o160000},
		}
	})
	want := []string{
		".claude/agents/d/a.md", ".claude/commands/c.md", ".claude/output-styles/o.md", ".claude/skills/a/SKILL.md",
		".claude/skills/x:y:a/SKILL.md", "policy.json", "project/.claude/hooks/line", "project/mcp.json", "project/settings.json",
	}
	if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, want) {
		t.Errorf("files = %q\nwant    %q", got, want)
	}
	if files["project/.claude/hooks/line"].Mode != 0o555 || string(files[".claude/agents/d/a.md"].Data) != "a" {
		t.Errorf("files = %+v", files)
	}
	sameJSON(t, files["project/settings.json"].Data, `{"env":{"A":"2","B":"1"},"model":"local","permissions":{"deny":["a","b"]}}`)
	var policy struct {
		Managed struct {
			Hooks map[string][]json.RawMessage
			Line  json.RawMessage `json:"statusLine"`
		} `json:"managedSettings"`
	}
	if err := json.Unmarshal(files["policy.json"].Data, &policy); err != nil {
		t.Fatal(err)
	}
	if len(p.Notices) != 1 || !strings.Contains(p.Notices[0], `"Nonsense"`) {
		t.Errorf("notices = %q", p.Notices)
	}
	stop := policy.Managed.Hooks["Stop"]
	if len(stop) != 2 || !strings.Contains(string(stop[0]), sandbox.BinaryPath) || len(policy.Managed.Hooks) != len(agent.HookEvents()) {
		t.Fatalf("hooks = %s", stop)
	}
	sameJSON(t, stop[1], `{"hooks":[{"type":"command","command":"x","args":["/etc/claude-code/project/.claude/hooks/y"]}]}`)
	sameJSON(t, policy.Managed.Line, `{"type":"command","command":"/etc/claude-code/project/.claude/hooks/line"}`)
	for _, arg := range []string{"--settings=/etc/claude-code/project/settings.json", "--mcp-config=/etc/claude-code/project/mcp.json", "--strict-mcp-config", "--setting-sources="} {
		if !slices.Contains(p.Argv, arg) {
			t.Errorf("no %q in %q", arg, p.Argv)
		}
	}
}

func sameJSON(t *testing.T, got []byte, want string) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal(got, &a); err != nil {
		t.Fatalf("%q: %v", got, err)
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("got  %v\nwant %v", a, b)
	}
}

func TestPlanRunsCopiesOfScripts_T_J6(t *testing.T) {
	const dir = "/etc/claude-code/project/.claude/hooks/"
	tests := map[string]string{
		`.claude/hooks/a`:                           dir + "a",
		`./.claude/hooks/a x`:                       dir + "a x",
		`bash .claude/hooks/a .claude/hooks/b`:      "bash " + dir + "a " + dir + "b",
		`$CLAUDE_PROJECT_DIR/.claude/hooks/a`:       dir + "a",
		`"$CLAUDE_PROJECT_DIR"/.claude/hooks/a`:     dir + "a",
		`"${CLAUDE_PROJECT_DIR}/.claude/hooks/a b"`: `"` + dir + `a b"`,
		`${CLAUDE_PROJECT_DIR}/.claude/hooks/a&&x`:  dir + "a&&x",
		`X=1;.claude/hooks/a`:                       "X=1;" + dir + "a",
		`other/.claude/hooks/a`:                     `other/.claude/hooks/a`,
		`/abs/.claude/hooks/a`:                      `/abs/.claude/hooks/a`,
		`scripts/check`:                             `scripts/check`,
		`$CLAUDE_PROJECT_DIR/scripts/check`:         `$CLAUDE_PROJECT_DIR/scripts/check`,
	}
	for command, want := range tests {
		t.Run(command, func(t *testing.T) {
			settings, err := json.Marshal(map[string]any{"apiKeyHelper": command})
			if err != nil {
				t.Fatal(err)
			}
			_, files := planned(t, func(r *agent.Request) {
				r.Trusted = []agent.TreeFile{treeFile(".claude/settings.json", string(settings))}
			})
			var got map[string]string
			if err := json.Unmarshal(files["project/settings.json"].Data, &got); err != nil || got["apiKeyHelper"] != want {
				t.Errorf("got %q, want %q, %v", got["apiKeyHelper"], want, err)
			}
		})
	}
}

func TestPlanRefusesWhatItCannotUse_T_J5(t *testing.T) {
	tests := map[string][]agent.TreeFile{
		"broken servers":   {treeFile(".mcp.json", "{")},
		"no servers":       {treeFile(".mcp.json", "{}")},
		"broken settings":  {treeFile(".claude/settings.json", "{} {}")},
		"null settings":    {treeFile(".claude/settings.json", "null")},
		"too large skills": {treeFile(".claude/skills/a/b", strings.Repeat("x", 9<<20))},
	}
	for i := range 4001 {
		tests["too many"] = append(tests["too many"], treeFile(fmt.Sprintf(".claude/skills/%d", i), ""))
	}
	for name, files := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := claude.Plan(t.Context(), request(func(r *agent.Request) { r.Trusted = files }))
			if sandbox.ErrorCode(err) != sandbox.CodePolicy || sandbox.ErrorHint(err) == "" {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func TestInstructionFile(t *testing.T) {
	tests := map[string]bool{
		"CLAUDE.md": false, ".claude/CLAUDE.md": false, "CLAUDE.local.md": true, "a/CLAUDE.md": true, "a/b/.claude/CLAUDE.md": true,
		"a/CLAUDE.local.md": true, "a/claude.md": false, "a/XCLAUDE.md": false, "a/../CLAUDE.md": false, "/a/CLAUDE.md": false, "": false,
	}
	for path, want := range tests {
		t.Run(path, func(t *testing.T) {
			if got := agent.InstructionFile(path); got != want {
				t.Errorf("InstructionFile(%q) = %t", path, got)
			}
		})
	}
}

func TestPlanOfInstructions(t *testing.T) {
	p, files := planned(t, func(r *agent.Request) {
		r.Instructions = []agent.TreeFile{
			treeFile("CLAUDE.local.md", "local"), treeFile("a/CLAUDE.md", "of a"), treeFile("a/.claude/CLAUDE.md", "more of a"),
			treeFile(`odd "x", {y}/CLAUDE.md`, "odd"), treeFile("CLAUDE.md", "no"),
			{Path: "b/CLAUDE.md", Mode: 0o120000, Data: []byte("AGENTS.md")},
			{Path: "c/CLAUDE.md", Mode: 0o160000},
		}
	})
	want := map[string]string{
		".claude/rules/CLAUDE.local.md":          "local",
		".claude/rules/a/CLAUDE.md":              "---\npaths:\n  - \"a/**\"\n---\nFrom a/CLAUDE.md of this project; paths in it are relative to its directory.\n\nof a",
		".claude/rules/b/CLAUDE.md":              "---\npaths:\n  - \"b/**\"\n---\nFrom b/CLAUDE.md of this project; paths in it are relative to its directory.\n\nb/CLAUDE.md is a link to \"AGENTS.md\": read that file before you work here.\n",
		".claude/rules/a/.claude/CLAUDE.md":      "---\npaths:\n  - \"a/**\"\n---\nFrom a/.claude/CLAUDE.md of this project; paths in it are relative to its directory.\n\nmore of a",
		".claude/rules/odd \"x\", {y}/CLAUDE.md": "---\npaths:\n  - \"odd ?x?? ?y?/**\"\n---\nFrom odd \"x\", {y}/CLAUDE.md of this project; paths in it are relative to its directory.\n\nodd",
	}
	for path, text := range want {
		if got := string(files[path].Data); got != text {
			t.Errorf("%s = %q, want %q", path, got, text)
		}
	}
	delete(files, "policy.json")
	if len(files) != len(want) || len(p.Notices) != 0 {
		t.Errorf("%d files, notices %q", len(files), p.Notices)
	}
	p, files = planned(t, func(r *agent.Request) {
		for i := range 300 {
			r.Instructions = append(r.Instructions, treeFile(fmt.Sprintf("%d/CLAUDE.md", i), "x"))
		}
		r.Instructions = append(r.Instructions, treeFile("CLAUDE.local.md", strings.Repeat("x", 2<<20)))
	})
	if len(files) != 201 || len(p.Notices) != 1 || !strings.HasPrefix(p.Notices[0], "101 ") {
		t.Errorf("%d files, notices %q", len(files), p.Notices)
	}
}

func FuzzTrusted(f *testing.F) {
	f.Add(".claude/settings.json", []byte(`{"hooks":{"Stop":[{"hooks":[{"command":7,"args":[7]}]}]},"permissions":[],"statusLine":7}`))
	f.Add(".mcp.json", []byte(`{"mcpServers":{"a":7}}`))
	f.Add("a\n/.claude/skills/\x1b/SKILL.md", []byte("x"))
	f.Add("a/CLAUDE.md", []byte("---\n"))
	f.Fuzz(func(t *testing.T, path string, data []byte) {
		file := agent.TreeFile{Path: path, Mode: 0o100644, Data: data}
		p, err := claude.Plan(t.Context(), request(func(r *agent.Request) { r.Trusted, r.Instructions = []agent.TreeFile{file}, []agent.TreeFile{file} }))
		if err != nil {
			return
		}
		for _, f := range p.Files[5:] {
			if f.Owned || !strings.HasPrefix(f.Path, "/etc/claude-code/") || strings.Contains(f.Path, "/../") {
				t.Errorf("file %q", f.Path)
			}
		}
	})
}
