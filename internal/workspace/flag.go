package workspace

import (
	"path"
	"slices"
	"strings"
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
	reason   string
	patterns []string
}

// flagRules name what runs on the host without being asked to, or by habit.
func flagRules() []flagRule {
	return []flagRule{
		{"runs in continuous integration", []string{
			".github/workflows/", ".github/actions/", ".gitlab-ci.yml", ".gitlab/", ".circleci/", ".buildkite/", ".drone.yml", ".woodpecker/", ".woodpecker.yml",
			".travis.yml", "azure-pipelines.yml", "bitbucket-pipelines.yml", "Jenkinsfile", ".forgejo/", ".gitea/", ".ci/", "cloudbuild.yaml", "appveyor.yml",
		}},
		{"runs when an editor opens the folder", []string{".vscode/", ".idea/", ".devcontainer/", ".fleet/", ".zed/", ".nvim.lua", ".exrc", ".vimrc", ".dir-locals.el", "*.code-workspace"}},
		{"runs when a shell enters the folder", []string{".envrc", ".autoenv", "mise.toml", ".mise.toml", ".tool-versions", ".nvmrc"}},
		{"runs on git commands", []string{".husky/", ".githooks/", ".pre-commit-config.yaml", "lefthook.yml", ".lefthook.yml", "lefthook.yaml", ".overcommit.yml"}},
		{"changes how git treats files or where it fetches", []string{".gitattributes", ".gitmodules", ".lfsconfig"}},
		{"runs on build or test commands", []string{
			"Makefile", "makefile", "GNUmakefile", "*.mk", "justfile", "Justfile", "Taskfile.yml", "Taskfile.yaml", "Rakefile", "CMakeLists.txt", "meson.build",
			"build.rs", ".cargo/", "setup.py", "conftest.py", "noxfile.py", "tox.ini", "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts",
			"gradlew", "mvnw", ".mvn/", "pom.xml", "Dockerfile", "*.Dockerfile", "docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml", "Vagrantfile",
			"configure", "*.bazelrc", ".bazelrc", "WORKSPACE", "MODULE.bazel", "BUILD.bazel", "Procfile", "flake.nix", "shell.nix", "default.nix",
		}},
		{"runs on package manager commands", []string{
			"package.json", ".npmrc", ".yarnrc", ".yarnrc.yml", ".yarn/", ".pnpmfile.cjs", "pnpm-workspace.yaml", "bunfig.toml", "pyproject.toml",
			"pip.conf", "Gemfile", "composer.json", "*.gemspec", "sitecustomize.py", "*.pth",
		}},
		{"is the policy, the network rules and the hooks of later runs", []string{".agent-process/"}},
		{"configures a coding agent", []string{
			".claude/", ".cursor/", ".codex/", ".gemini/", ".opencode/", ".windsurf/", ".continue/", ".mcp.json", "CLAUDE.md", "AGENTS.md", "GEMINI.md",
			".cursorrules", ".github/copilot-instructions.md", ".worktreeinclude",
		}},
	}
}

// flagReason says why a path is flagged, empty when it is not. Case does not
// count: it does not on every filesystem that the branch may be checked out on.
func flagReason(rules []flagRule, p string) string {
	lower := strings.ToLower(p)
	for _, rule := range rules {
		if slices.ContainsFunc(rule.patterns, func(pattern string) bool { return flagMatch(strings.ToLower(pattern), lower) }) {
			return rule.reason
		}
	}
	return ""
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
			add(c.path, "is a repository of its own: its files are not in the branch")
		case c.newMode == execMode && c.oldMode == fileMode:
			add(c.path, "became executable")
		}
	}
	return list
}
