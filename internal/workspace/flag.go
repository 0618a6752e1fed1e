package workspace

import (
	"path"
	"slices"
	"strings"

	"agentprocess/internal/inspect"
)

// Flag is a changed path that a person should look at before it is used.
type Flag struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// flagRule says why a path is flagged. A pattern with a slash is matched
// against the whole path, one without against the last component; a trailing
// slash means everything below a directory of that name.
type flagRule struct {
	kind     inspect.Kind
	reason   string
	patterns []string
}

// flagRules name what runs on the host without being asked to, or by habit.
func flagRules() []flagRule {
	return []flagRule{
		{inspect.CI, "runs in continuous integration", []string{
			".github/workflows/", ".github/actions/", ".gitlab-ci.yml", ".gitlab/", ".circleci/", ".buildkite/", ".drone.yml", ".woodpecker/", ".woodpecker.yml",
			".travis.yml", "azure-pipelines.yml", "bitbucket-pipelines.yml", "Jenkinsfile", ".forgejo/", ".gitea/", ".ci/", "cloudbuild.yaml", "appveyor.yml",
		}},
		{inspect.Editors, "runs when an editor opens the folder", []string{".vscode/", ".idea/", ".devcontainer/", ".fleet/", ".zed/", ".nvim.lua", ".exrc", ".vimrc", ".dir-locals.el", "*.code-workspace"}},
		{inspect.Shells, "runs when a shell enters the folder", []string{".envrc", ".autoenv", "mise.toml", ".mise.toml", ".tool-versions", ".nvmrc"}},
		{inspect.GitHooks, "runs on git commands", []string{".husky/", ".githooks/", ".pre-commit-config.yaml", "lefthook.yml", ".lefthook.yml", "lefthook.yaml", ".overcommit.yml"}},
		{inspect.Attributes, "changes how git treats files or where it fetches", []string{".gitattributes", ".lfsconfig"}},
		{inspect.Submodules, "changes how git treats files or where it fetches", []string{".gitmodules"}},
		{inspect.Builds, "runs on build or test commands", []string{
			"Makefile", "makefile", "GNUmakefile", "*.mk", "justfile", "Justfile", "Taskfile.yml", "Taskfile.yaml", "Rakefile", "CMakeLists.txt", "meson.build",
			"build.rs", ".cargo/", "setup.py", "conftest.py", "noxfile.py", "tox.ini", "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts",
			"gradlew", "mvnw", ".mvn/", "pom.xml", "Dockerfile", "*.Dockerfile", "docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml", "Vagrantfile",
			"configure", "*.bazelrc", ".bazelrc", "WORKSPACE", "MODULE.bazel", "BUILD.bazel", "Procfile", "flake.nix", "shell.nix", "default.nix",
		}},
		{inspect.Packages, "runs on package manager commands", []string{
			"package.json", ".npmrc", ".yarnrc", ".yarnrc.yml", ".yarn/", ".pnpmfile.cjs", "pnpm-workspace.yaml", "bunfig.toml", "pyproject.toml",
			"pip.conf", "Gemfile", "composer.json", "*.gemspec", "sitecustomize.py", "*.pth",
		}},
		{inspect.Rules, "is the policy, the network rules and the hooks of later runs", []string{".agent-process/"}},
		{inspect.Agents, "configures a coding agent", []string{
			".claude/", ".cursor/", ".codex/", ".gemini/", ".opencode/", ".windsurf/", ".continue/", ".mcp.json", "CLAUDE.md", "AGENTS.md", "GEMINI.md",
			".cursorrules", ".github/copilot-instructions.md", ".worktreeinclude",
		}},
	}
}

// flagReason says why a path is flagged, empty when it is not. Case does not
// count: it does not on every filesystem that the branch may be checked out on.
func flagReason(rules []flagRule, p string) string { return flagRuleOf(rules, p).reason }

// flagRuleOf is the rule that has a path, the zero one when none has.
func flagRuleOf(rules []flagRule, p string) flagRule {
	lower := strings.ToLower(p)
	for _, rule := range rules {
		if slices.ContainsFunc(rule.patterns, func(pattern string) bool { return flagMatch(strings.ToLower(pattern), lower) }) {
			return rule
		}
	}
	return flagRule{}
}

func flagMatch(pattern, p string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/"); ok {
		return p == dir || strings.HasPrefix(p, pattern) || strings.HasSuffix(p, "/"+dir) || strings.Contains(p, "/"+pattern)
	}
	if strings.Contains(pattern, "/") {
		return p == pattern
	}
	matched, err := path.Match(pattern, path.Base(p))
	return err == nil && matched
}

// gitlinkMode and linkMode are modes of tree entries.
const (
	gitlinkMode = "160000"
	linkMode    = "120000"
	fileMode    = "100644"
	execMode    = "100755"
)

// reasonGitlink is why a submodule is flagged.
const reasonGitlink = "is a repository of its own: its files are not in the branch"

// flags lists what a person should look at among changes.
func flags(changes []change) []Flag {
	var list []Flag
	rules := flagRules()
	add := func(p, reason string) {
		if f := (Flag{Path: p, Reason: reason}); reason != "" && !slices.Contains(list, f) {
			list = append(list, f)
		}
	}
	for _, c := range changes {
		add(c.path, flagReason(rules, c.path))
		if c.from != "" {
			add(c.from, flagReason(rules, c.from))
		}
		switch {
		case c.newMode == gitlinkMode && c.oldMode != gitlinkMode:
			add(c.path, reasonGitlink)
		case c.newMode == execMode && c.oldMode == fileMode:
			add(c.path, "became executable")
		}
	}
	return list
}
