package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"agentprocess/internal/sandbox"
)

// Where Claude Code finds what is trusted: copies of the base commit's files
// below the directory of its managed settings, out of the agent's reach.
const (
	managedDir     = "/etc/claude-code/.claude"
	projectDir     = "/etc/claude-code/project"
	projectMCP     = projectDir + "/mcp.json"
	projectSetting = projectDir + "/settings.json"
)

const (
	// maxTrusted bounds the copies: they lie in memory.
	maxTrusted = 8 << 20
	// maxTrustedFiles bounds their number.
	maxTrustedFiles = 4000
)

// TreeFile is a file of the base commit.
type TreeFile struct {
	Path string // relative to the root of the tree, with slashes
	Mode uint32 // as git has it, such as 0o100755
	Data []byte
}

// regular says whether the file has content of its own; links and submodules
// are never followed.
func (f TreeFile) regular() bool { return f.Mode&0o170000 == 0o100000 }

// link says whether the file is a link, whose target is its content.
func (f TreeFile) link() bool { return f.Mode&0o170000 == 0o120000 }

// mode is the mode of the read-only copy.
func (f TreeFile) mode() uint32 {
	if f.Mode&0o111 != 0 {
		return 0o555
	}
	return 0o444
}

// project is what Claude Code is shown of what a repository brings.
type project struct {
	files    []sandbox.File
	settings map[string]any // nil when there are none
	// hooks and printers are the part of the settings that the CLI takes from
	// managed ones only.
	hooks    map[string][]any
	printers map[string]any
	mcp      bool
	commands bool
	notices  []string
}

// trustedProject sorts the files that a person agreed to. Those that Claude
// Code has no use for are left out.
func trustedProject(list []TreeFile) (project, error) {
	p := project{hooks: map[string][]any{}, printers: map[string]any{}}
	list = slices.SortedStableFunc(slices.Values(list), func(a, b TreeFile) int { return strings.Compare(a.Path, b.Path) })
	list = slices.CompactFunc(list, func(a, b TreeFile) bool { return a.Path == b.Path })
	size := 0
	for _, f := range list {
		if !f.regular() || path.Clean(f.Path) != f.Path || path.IsAbs(f.Path) || strings.HasPrefix(f.Path, "../") {
			continue
		}
		if err := p.add(f); err != nil {
			return project{}, sandbox.Fail(sandbox.CodePolicy, fmt.Errorf("%q is trusted, but cannot be used: %w", f.Path, err),
				"mend it and trust it again, or take the trust back")
		}
	}
	for _, f := range p.files {
		size += len(f.Data)
	}
	if size > maxTrusted || len(p.files) > maxTrustedFiles {
		return project{}, sandbox.Fail(sandbox.CodePolicy,
			fmt.Errorf("what is trusted of the repository is %d files with %d bytes; at most %d and %d are allowed", len(p.files), size, maxTrustedFiles, maxTrusted),
			"keep large files out of .claude, or trust less of it")
	}
	return p, p.write()
}

// add takes one file to where it is read.
func (p *project) add(f TreeFile) error {
	switch {
	case f.Path == ".mcp.json":
		return p.addMCP(f)
	case f.Path == ".claude/settings.json", f.Path == ".claude/settings.local.json":
		return p.addSettings(f)
	case strings.HasPrefix(f.Path, ".claude/hooks/"):
		p.copyTo(projectDir+"/"+f.Path, f)
	case strings.HasPrefix(f.Path, ".claude/agents/"), strings.HasPrefix(f.Path, ".claude/output-styles/"):
		p.copyTo(path.Join(path.Dir(managedDir), f.Path), f)
	case strings.HasPrefix(f.Path, ".claude/commands/"):
		p.commands = true
		p.copyTo(path.Join(path.Dir(managedDir), f.Path), f)
	default:
		p.addSkill(f)
	}
	return nil
}

func (p *project) copyTo(target string, f TreeFile) {
	p.files = append(p.files, sandbox.File{Path: target, Data: f.Data, Mode: f.mode()})
}

// addSkill takes a file of a skill to the managed skills. One of a subdirectory
// is named for it, as two of them may have one name.
func (p *project) addSkill(f TreeFile) {
	i := strings.Index("/"+f.Path, "/.claude/skills/")
	if i < 0 {
		return
	}
	dir, rest := strings.TrimSuffix(f.Path[:i], "/"), f.Path[i+len(".claude/skills/"):]
	if dir != "" {
		rest = strings.ReplaceAll(dir, "/", ":") + ":" + rest
	}
	p.copyTo(managedDir+"/skills/"+rest, f)
}

// addMCP takes the servers as they are; Claude Code reads them from the copy.
func (p *project) addMCP(f TreeFile) error {
	m, err := jsonObject(f.Data)
	if err != nil {
		return err
	}
	if _, ok := m["mcpServers"].(map[string]any); !ok {
		return errors.New("it has no mcpServers")
	}
	p.mcp = true
	p.copyTo(projectMCP, f)
	return nil
}

// addSettings merges settings the way Claude Code does: objects by key, lists
// one after the other, and of all else the later one, which is the local file.
func (p *project) addSettings(f TreeFile) error {
	m, err := jsonObject(f.Data)
	if err != nil {
		return err
	}
	if p.settings == nil {
		p.settings = map[string]any{}
	}
	merge(p.settings, m)
	return nil
}

func merge(into, from map[string]any) {
	for k, v := range from {
		switch v := v.(type) {
		case map[string]any:
			if old, ok := into[k].(map[string]any); ok {
				merge(old, v)
				continue
			}
		case []any:
			if old, ok := into[k].([]any); ok {
				into[k] = slices.Concat(old, v)
				continue
			}
		}
		into[k] = v
	}
}

// write makes the files of the settings.
func (p *project) write() error {
	if p.settings == nil {
		return nil
	}
	pointAtCopies(p.settings)
	p.takeHooks()
	for _, key := range printers() {
		line, _ := p.settings[key].(map[string]any)
		if _, ok := line["command"].(string); ok && line["type"] == "command" {
			p.printers[key] = line
		}
		delete(p.settings, key)
	}
	// Here the sandbox is ours and the permissions are the policy's: these
	// would only keep the CLI from starting.
	delete(p.settings, "sandbox")
	if permissions, ok := p.settings["permissions"].(map[string]any); ok {
		delete(permissions, "defaultMode")
		delete(permissions, "disableBypassPermissionsMode")
	}
	return p.writeJSON(projectSetting, p.settings)
}

func (p *project) writeJSON(target string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %q: %w", target, err)
	}
	p.files = append(p.files, sandbox.File{Path: target, Data: data, Mode: 0o444})
	return nil
}

// takeHooks moves hooks out of the settings, where they are off, to the managed
// ones. Those that the CLI would not accept are left out: it would refuse to
// start.
func (p *project) takeHooks() {
	hooks, _ := p.settings["hooks"].(map[string]any)
	off, _ := p.settings["disableAllHooks"].(bool)
	delete(p.settings, "hooks")
	delete(p.settings, "disableAllHooks")
	if off {
		return
	}
	events := append(HookEvents(), "WorktreeCreate", "WorktreeRemove")
	for _, event := range slices.Sorted(maps.Keys(hooks)) {
		groups, ok := hooks[event].([]any)
		if !ok || !slices.Contains(events, event) {
			p.notices = append(p.notices, fmt.Sprintf("the trusted settings have hooks of %q, which are left out: Claude Code would not accept them", event))
			continue
		}
		for _, g := range groups {
			if group, ok := hookGroup(g); ok {
				p.hooks[event] = append(p.hooks[event], group)
			} else {
				p.notices = append(p.notices, fmt.Sprintf("the trusted settings have a hook of %q that is left out: Claude Code would not accept it", event))
			}
		}
	}
}

// hookGroup is a group of hooks that run copies of their scripts. ok says
// whether it is of the shape that the CLI wants.
func hookGroup(v any) (group map[string]any, ok bool) {
	group, ok = v.(map[string]any)
	entries, isList := group["hooks"].([]any)
	if !ok || !isList || !optional[string](group, "matcher") {
		return nil, false
	}
	for _, e := range entries {
		h, ok := e.(map[string]any)
		if !ok || !accepted(h) {
			return nil, false
		}
		pointHook(h)
	}
	return group, true
}

// accepted says whether a hook has what its type needs.
func accepted(h map[string]any) bool {
	needs, known := map[string][]string{
		"command": {"command"}, "http": {"url"}, "prompt": {"prompt"}, "agent": {"prompt"}, "mcp_tool": {"server", "tool"},
	}[fmt.Sprint(h["type"])]
	for _, key := range needs {
		if _, ok := h[key].(string); !ok {
			return false
		}
	}
	timeout, timed := h["timeout"].(float64)
	return known && optional[float64](h, "timeout") && (!timed || timeout > 0) && optional[[]any](h, "args")
}

// optional says whether a key is missing or of a type.
func optional[T any](m map[string]any, key string) bool {
	v, there := m[key]
	_, ok := v.(T)
	return ok || !there
}

// printers are the settings whose command prints something for the person.
func printers() []string { return []string{"statusLine", "subagentStatusLine", "fileSuggestion"} }

// pointHook makes one hook run the copy of its script.
func pointHook(h map[string]any) {
	pointAtCopy(h, "command")
	args, _ := h["args"].([]any)
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = copied(s)
		}
	}
}

// pointAtCopies makes the commands of settings run the copies of the scripts
// in .claude/hooks.
func pointAtCopies(settings map[string]any) {
	for _, key := range []string{
		"apiKeyHelper", "awsAuthRefresh", "awsCredentialExport", "gcpAuthRefresh", "otelHeadersHelper", "proxyAuthHelper",
	} {
		pointAtCopy(settings, key)
	}
	for _, key := range printers() {
		if m, ok := settings[key].(map[string]any); ok {
			pointAtCopy(m, "command")
		}
	}
}

// hookScript is a path into .claude/hooks of the project, as commands have it.
var hookScript = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(^|[\s"'=;&|(])((?:"\$CLAUDE_PROJECT_DIR"|"\$\{CLAUDE_PROJECT_DIR\}"|\$CLAUDE_PROJECT_DIR|\$\{CLAUDE_PROJECT_DIR\}|\.)/)?(\.claude/hooks/)`)
})

// pointAtCopy makes the command under a key run the copy of a script: the one
// in the tree is the agent's to change.
func pointAtCopy(m map[string]any, key string) {
	if s, ok := m[key].(string); ok {
		m[key] = copied(s)
	}
}

func copied(command string) string {
	return hookScript().ReplaceAllString(command, "${1}"+projectDir+"/${3}")
}

// jsonObject reads exactly one JSON object.
func jsonObject(data []byte) (map[string]any, error) {
	var m map[string]any
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\uFEFF")), &m); err != nil {
		return nil, err
	}
	if m == nil {
		return nil, errors.New("it is not an object")
	}
	return m, nil
}
