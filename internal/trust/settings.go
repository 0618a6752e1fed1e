package trust

import (
	"maps"
	"slices"
	"strings"
)

// helpers are the settings of Claude Code whose value is a command that it runs.
func helpers() []string {
	return []string{
		"apiKeyHelper", "awsAuthRefresh", "awsCredentialExport", "gcpAuthRefresh", "otelHeadersHelper", "proxyAuthHelper",
		"policyHelper",
	}
}

// settings says what a settings file, or a script that its hooks may run, does.
func (l *lines) settings(f File) {
	if within(f.Path, ".claude/hooks") {
		l.add("%s: %d bytes, for hooks to run", show(f.Path), len(f.Data))
		return
	}
	m, err := object(f.Data)
	if err != nil {
		l.add("%s cannot be read: %s", show(f.Path), show(err.Error()))
		return
	}
	l.settingsHooks(child(m, "hooks"))
	for _, key := range slices.Sorted(maps.Keys(child(m, "env"))) {
		l.add("sets the variable %s=%s", show(key), show(text(child(m, "env")[key])))
	}
	for _, key := range helpers() {
		if v, ok := m[key]; ok {
			l.add("runs %s as %s", show(text(v)), key)
		}
	}
	for _, key := range []string{"statusLine", "subagentStatusLine", "fileSuggestion"} {
		if command := text(child(m, key)["command"]); command != "" {
			l.add("runs %s as %s", show(command), key)
		}
	}
	l.settingsRest(m)
}

// settingsHooks says what runs on which event.
func (l *lines) settingsHooks(hooks map[string]any) {
	for _, event := range slices.Sorted(maps.Keys(hooks)) {
		groups, _ := hooks[event].([]any)
		for _, g := range groups {
			group, _ := g.(map[string]any)
			on := show(event)
			if m := text(group["matcher"]); m != "" && m != "*" {
				on += " of " + show(m)
			}
			entries, _ := group["hooks"].([]any)
			for _, e := range entries {
				l.add("on %s: %s", on, action(e))
			}
		}
	}
}

// action is what one hook does.
func action(v any) string {
	h, _ := v.(map[string]any)
	switch kind := text(h["type"]); kind {
	case "command":
		return "runs " + show(strings.TrimSpace(text(h["command"])+" "+strings.Join(list(h["args"]), " ")))
	case "http":
		return "asks " + show(text(h["url"]))
	case "prompt", "agent":
		return "asks a model: " + show(text(h["prompt"]))
	default:
		return show(text(v))
	}
}

// settingsRest says what is left of a settings file.
func (l *lines) settingsRest(m map[string]any) {
	permissions := child(m, "permissions")
	for _, key := range slices.Sorted(maps.Keys(permissions)) {
		if rules := list(permissions[key]); rules != nil {
			l.add("permissions: %s %s", show(key), show(strings.Join(rules, ", ")))
		} else {
			l.add("permissions: %s is %s", show(key), show(text(permissions[key])))
		}
	}
	plugins := child(m, "enabledPlugins")
	for _, name := range slices.Sorted(maps.Keys(plugins)) {
		l.add("plugin %s: %s", show(name), show(text(plugins[name])))
	}
	said := append(helpers(), "hooks", "env", "permissions", "enabledPlugins", "statusLine", "subagentStatusLine", "fileSuggestion", "$schema")
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(said, key) {
			l.add("sets %s to %s", show(key), show(text(m[key])))
		}
	}
}
