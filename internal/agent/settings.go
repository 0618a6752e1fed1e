package agent

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"agentprocess/internal/sandbox"
)

// ManagedSettingsPath is where Claude Code reads the settings that nothing can
// override.
const ManagedSettingsPath = "/etc/claude-code/managed-settings.json"

// hookTimeout is what the CLI gives a hook, in seconds. There a timeout lets
// the tool run, so it is far beyond the life of our client, which may be held
// for an hour while a person is asked. The CLI turns it into milliseconds of a
// timer as it is: 7200 was tried against a hook that denies after 660 s, beyond
// the 600 s that are the CLI's default, and above 2^31-1 ms it would be none.
const hookTimeout = 7200

// HookEvents are the events of Claude Code 2.1.197 that are wired to the hook.
//
// Two are not: a WorktreeCreate hook replaces the CLI's own way to make a
// worktree, so one that only watches makes every isolated subagent fail, and
// WorktreeRemove is its other half.
func HookEvents() []string {
	return []string{
		"PreToolUse", "PostToolUse", "PostToolUseFailure", "PostToolBatch", "Notification", "UserPromptSubmit",
		"UserPromptExpansion", "SessionStart", "SessionEnd", "Stop", "StopFailure", "SubagentStart", "SubagentStop",
		"PreCompact", "PostCompact", "PermissionRequest", "PermissionDenied", "Setup", "TeammateIdle", "TaskCreated",
		"TaskCompleted", "Elicitation", "ElicitationResult", "ConfigChange", "InstructionsLoaded", "CwdChanged",
		"FileChanged", "MessageDisplay",
	}
}

// Where the CLI asks for its settings first of all; see files.
const (
	policyHelper = "/etc/claude-code/policy"
	policyAnswer = "/etc/claude-code/policy.json"
)

// managedSettings wires every event to command, and turns off whatever else a
// repository or the agent itself could bring along. It is the second lock: with
// the options of Plan the CLI does not look for it in the first place.
func managedSettings(command, home string, p project) map[string]any {
	type hook struct {
		Type    string `json:"type"`
		Command string `json:"command"`
		Timeout int    `json:"timeout"`
	}
	type group struct {
		Matcher string `json:"matcher"`
		Hooks   []hook `json:"hooks"`
	}
	hooks := map[string][]any{}
	for _, event := range HookEvents() {
		hooks[event] = []any{group{Matcher: "*", Hooks: []hook{{Type: "command", Command: command, Timeout: hookTimeout}}}}
	}
	locked := []string{"agents", "hooks", "mcp"}
	if !p.commands {
		locked = append(locked, "skills") // managed commands are off with it, managed skills are not
	}
	settings := map[string]any{
		"allowManagedHooksOnly": true,
		// Asked of the project's settings even when they are turned off.
		"autoMemoryDirectory":               home + "/.claude/memory",
		"disableAllHooks":                   false,
		"disableWorkflows":                  true,
		"hooks":                             hooks,
		"skipDangerousModePermissionPrompt": true,
		"strictPluginOnlyCustomization":     locked,
		// WebFetch asks the vendor about each host first; here the gateway
		// says which hosts may be reached.
		"skipWebFetchPreflight": true,
	}
	if p.settings == nil {
		settings["strictKnownMarketplaces"] = []string{} // no plugins from anywhere
	}
	return settings
}

// withProject is the managed settings with what is trusted of the project's.
func withProject(settings map[string]any, p project) map[string]any {
	hooks := map[string][]any{}
	if wired, ok := settings["hooks"].(map[string][]any); ok {
		maps.Copy(hooks, wired)
	}
	for event, groups := range p.hooks {
		hooks[event] = slices.Concat(hooks[event], groups)
	}
	out := maps.Clone(settings)
	out["hooks"] = hooks
	maps.Copy(out, p.printers)
	return out
}

// userState is ~/.claude.json as it is after every first-run dialog was
// answered: theme, folder trust, bypass mode, API key.
func userState(r Request, version string) ([]byte, error) {
	state := map[string]any{
		"autoUpdates":                             false,
		"bypassPermissionsModeAccepted":           true,
		"hasCompletedOnboarding":                  true,
		"lastOnboardingVersion":                   version,
		"lastReleaseNotesSeen":                    version,
		"numStartups":                             1,
		"officialMarketplaceAutoInstallAttempted": true,
		"theme": "dark",
		"projects": map[string]any{r.Dir: map[string]any{
			"hasTrustDialogAccepted":        true,
			"hasCompletedProjectOnboarding": true,
		}},
	}
	if r.Credential.Env == envAPIKey {
		key := r.Credential.Value
		// The CLI remembers keys by their last twenty characters.
		state["customApiKeyResponses"] = map[string]any{
			"approved": []string{key[max(0, len(key)-20):]}, "rejected": []string{},
		}
	}
	return json.MarshalIndent(state, "", "  ")
}

// files are what Claude Code finds when it starts.
//
// Of the managed settings the CLI takes those of one source only: what a helper
// says, else what the API says (an organisation's, for a Team or Enterprise
// login) or has said (~/.claude/remote-settings.json), else the file. So there
// is a helper, for the others would unwire the hooks; its answer is asked for
// once and kept in memory. And what the API has said is nothing: while the CLI
// starts, it would hide the file that names the helper.
func files(r Request, version string, p project) ([]sandbox.File, error) {
	home := strings.TrimSuffix(r.Home, "/")
	settings := managedSettings(sandbox.BinaryPath+" hook", home, p)
	answer, err := json.MarshalIndent(map[string]any{"managedSettings": withProject(settings, p)}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode policy: %w", err)
	}
	settings["policyHelper"] = map[string]string{"path": policyHelper}
	managed, err := json.MarshalIndent(settings, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode managed settings: %w", err)
	}
	state, err := userState(r, version)
	if err != nil {
		return nil, fmt.Errorf("encode user state: %w", err)
	}
	return append([]sandbox.File{
		{Path: ManagedSettingsPath, Data: managed, Mode: 0o444},
		{Path: policyHelper, Data: []byte("#!/bin/sh\nexec cat " + policyAnswer + "\n"), Mode: 0o555},
		{Path: policyAnswer, Data: answer, Mode: 0o444},
		{Path: home + "/.claude.json", Data: state, Mode: 0o600, Owned: true},
		{Path: home + "/.claude/remote-settings.json", Data: []byte("{}\n"), Mode: 0o600, Owned: true},
	}, p.files...), nil
}
