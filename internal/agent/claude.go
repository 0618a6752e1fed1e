package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"agentprocess/internal/sandbox"
)

// ClaudePath is where the CLI stands inside.
const ClaudePath = "/opt/agent-process/claude"

// defaultAPI is where Claude Code talks to when nothing else is said.
const defaultAPI = "https://api.anthropic.com"

// Names of variables that Claude Code reads.
const (
	envAPIKey  = "ANTHROPIC_API_KEY" //nolint:gosec // a name, not a key
	envBaseURL = "ANTHROPIC_BASE_URL"
)

const (
	// maxStdinGoal bounds a goal: the CLI takes 10 MB from stdin.
	maxStdinGoal = 8 << 20
	// maxArgGoal bounds a goal that has to be an argument: the kernel takes
	// 128 KiB for one.
	maxArgGoal = 100 << 10
)

// passed are the variables of the user's that configure the API and hold no
// secret.
func passed() []string {
	return []string{
		envBaseURL, "ANTHROPIC_MODEL", "ANTHROPIC_SMALL_FAST_MODEL", "ANTHROPIC_DEFAULT_OPUS_MODEL",
		"ANTHROPIC_DEFAULT_SONNET_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL", "CLAUDE_CODE_SUBAGENT_MODEL",
		"CLAUDE_CODE_MAX_OUTPUT_TOKENS", "MAX_THINKING_TOKENS", "API_TIMEOUT_MS",
	}
}

// quiet are the variables that keep the CLI from doing anything but its job.
func quiet() []string {
	return []string{
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
		"CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL=1",
		// Prompts from the tree's .claude/scheduled_tasks.json.
		"CLAUDE_CODE_DISABLE_CRON=1",
		// What the agents of a workflow do is not in the transcript, so that
		// nobody would miss a receipt.
		"CLAUDE_CODE_DISABLE_WORKFLOWS=1",
		// CLAUDE.md of what --add-dir names; see command.
		"CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD=1",
		"DISABLE_AUTOUPDATER=1",
		"DISABLE_ERROR_REPORTING=1",
		"DISABLE_FEEDBACK_COMMAND=1",
		"DISABLE_INSTALLATION_CHECKS=1",
		"DISABLE_TELEMETRY=1",
		"DISABLE_UPGRADE_COMMAND=1",
	}
}

// Claude runs Claude Code.
type Claude struct{ CLI CLI }

// Plan implements Adapter.
func (c Claude) Plan(_ context.Context, r Request) (Plan, error) {
	if err := c.validate(r); err != nil {
		return Plan{}, err
	}
	trusted, err := trustedProject(r.Trusted)
	if err != nil {
		return Plan{}, err
	}
	seeded, err := files(r, c.CLI.Version, trusted)
	if err != nil {
		return Plan{}, err
	}
	rules, left := instructions(r.Instructions)
	p := Plan{
		Sealed: true,
		Env:    quiet(),
		Files:  append(seeded, rules...),
		Mounts: []sandbox.Mount{{Kind: sandbox.MountBind, Source: c.CLI.Path, Target: ClaudePath, ReadOnly: true}},
		Info:   sandbox.AgentInfo{Kind: KindClaude, Version: c.CLI.Version, Model: r.Model},

		Notices: trusted.notices,
	}
	if left > 0 {
		p.Notices = append(p.Notices, fmt.Sprintf("%d CLAUDE.md files of subdirectories are too many or too large to be read by themselves", left))
	}
	for _, name := range passed() {
		if value := lookup(r.Environ, name); value != "" && lookup(r.Env, name) == "" {
			p.Env = append(p.Env, name+"="+value)
		}
	}
	if r.CABundle != "" {
		p.Env = append(p.Env, "NODE_EXTRA_CA_CERTS="+r.CABundle)
	}
	if err := p.provider(r); err != nil {
		return Plan{}, err
	}
	p.command(r, trusted)
	return p, nil
}

// Transcript implements Adapter.
func (Claude) Transcript() Transcript { return &claudeTranscript{} }

// SessionFile implements Conversing. The directory is named for the directory
// that the agent works in, which is the same in each of its runs.
func (Claude) SessionFile(session string) string { return ".claude/projects/*/" + session + ".jsonl" }

func (c Claude) validate(r Request) error {
	limit := maxStdinGoal
	if r.Interactive {
		limit = maxArgGoal
	}
	switch {
	case c.CLI.Path == "":
		return sandbox.Fail(sandbox.CodeAgent, errors.New("no Claude Code to run"), findHint)
	case !r.Interactive && strings.TrimSpace(r.Goal) == "":
		return sandbox.Fail(sandbox.CodeUsage, errors.New("the goal is empty"), `say what to do: agent-process start NAME "GOAL"`)
	case len(r.Goal) > limit:
		return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("the goal is %d bytes long, at most %d are allowed", len(r.Goal), limit),
			"put it in a file of the repository and let the goal name that")
	case strings.ContainsRune(r.Goal+r.Model, 0):
		return sandbox.Fail(sandbox.CodeUsage, errors.New("the goal or the model holds a NUL byte"), "leave it out")
	case !path.IsAbs(r.Dir) || !path.IsAbs(r.Home):
		return fmt.Errorf("plan: directory %q and home %q must be absolute", r.Dir, r.Home)
	}
	return nil
}

// command sets how the CLI is started. The goal never stands where it could be
// taken for an option.
//
// No settings but the managed ones and ours are read (--setting-sources of
// nothing): not the repository's, so that they do nothing unless a person has
// agreed to them, and not what the agent may write to the same places while it
// runs. That takes CLAUDE.md along, which --add-dir brings back.
func (p *Plan) command(r Request, trusted project) {
	p.Argv = []string{ClaudePath}
	if !r.Interactive {
		p.Argv = append(p.Argv, "-p", "--output-format", "stream-json", "--verbose")
		p.Stdin = []byte(r.Goal)
	}
	p.Argv = append(p.Argv, "--dangerously-skip-permissions", "--strict-mcp-config", "--setting-sources=", "--add-dir="+r.Dir)
	if trusted.settings != nil {
		p.Argv = append(p.Argv, "--settings="+projectSetting)
	}
	if trusted.mcp {
		p.Argv = append(p.Argv, "--mcp-config="+projectMCP)
	}
	if r.Model != "" {
		p.Argv = append(p.Argv, "--model="+r.Model)
	}
	if r.Session != "" {
		p.Argv = append(p.Argv, "--resume="+r.Session)
	}
	if r.Interactive && r.Goal != "" {
		p.Argv = append(p.Argv, "--", r.Goal)
	}
}

// provider sets where the API is and with what the CLI goes there.
func (p *Plan) provider(r Request) error {
	if p.Rules = cloudRules(r.Env); p.Rules != nil {
		// Bedrock and Vertex sign each request with the user's own credentials,
		// which are inside because the user let them in.
		return nil
	}
	api, err := claudeAPI(r.Environ, r.Env)
	if err != nil {
		return err
	}
	p.API, p.Rules = api, []string{api.Rule()}
	if r.Credential.Env != "" {
		p.Env = append(p.Env, r.Credential.Env+"="+r.Credential.Value)
	}
	return nil
}

// claudeAPI is where the API is.
func claudeAPI(environ, env []string) (Endpoint, error) {
	base := cmp.Or(lookup(env, envBaseURL), lookup(environ, envBaseURL), defaultAPI)
	api, err := parseEndpoint(base)
	if err != nil {
		return api, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("%s: %w", envBaseURL, err), "set it to a URL such as "+defaultAPI+", or unset it")
	}
	return api, nil
}

// ClaudeRules are the egress rules that Claude Code cannot work without, in the
// user's environment and with the variables that are let through.
func ClaudeRules(environ, env []string) ([]string, error) {
	if rules := cloudRules(env); rules != nil {
		return rules, nil
	}
	api, err := claudeAPI(environ, env)
	return []string{api.Rule()}, err
}

// cloudRules are the hosts of the cloud that the user's environment chooses to
// run the model, nil when it chooses none.
func cloudRules(env []string) []string {
	on := func(name string) bool {
		v := strings.ToLower(lookup(env, name))
		return v != "" && v != "0" && v != "false"
	}
	region := func(fallback string, names ...string) string {
		for _, name := range names {
			if v := lookup(env, name); v != "" {
				return v
			}
		}
		return fallback
	}
	switch {
	case on("CLAUDE_CODE_USE_BEDROCK"):
		r := region("us-east-1", "AWS_REGION", "AWS_DEFAULT_REGION")
		return []string{"bedrock-runtime." + r + ".amazonaws.com", "bedrock." + r + ".amazonaws.com", "sts." + r + ".amazonaws.com"}
	case on("CLAUDE_CODE_USE_VERTEX"):
		r := region("us-east5", "CLOUD_ML_REGION")
		host := r + "-aiplatform.googleapis.com"
		if r == "global" {
			host = "aiplatform.googleapis.com"
		}
		return []string{host, "oauth2.googleapis.com"}
	default:
		return nil
	}
}
