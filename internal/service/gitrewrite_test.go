package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentprocess/internal/execx"
	"agentprocess/internal/policy"
)

// What git makes of a remote, by its own word.
func TestGitRemotesOverSSHGoOverHTTPS(t *testing.T) {
	rules, err := policy.ParseRules("test", "forge.example\nGIT.example/org/* git:read\nhttp://plain.example\nssh.example:22,443 tcp\nodd.example:8443\n*.wild.example\ndeny no.example\n")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "gitconfig")
	if err := os.WriteFile(config, gitConfig(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	for remote, want := range map[string]string{
		"git@forge.example:o/r.git":       "https://forge.example/o/r.git",
		"ssh://git@git.example/org/r.git": "https://git.example/org/r.git",
		"git@plain.example:o/r":           "git@plain.example:o/r",
		"git@ssh.example:o/r":             "git@ssh.example:o/r",
		"git@odd.example:o/r":             "git@odd.example:o/r",
		"git@a.wild.example:o/r":          "git@a.wild.example:o/r",
		"git@no.example:o/r":              "git@no.example:o/r",
	} {
		out, err := execx.Output(t.Context(), execx.Cmd{
			Argv: []string{"git", "ls-remote", "--get-url", remote}, Dir: dir,
			Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_SYSTEM=" + config},
		})
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("git reaches %s at %q, %v, want %q", remote, got, err, want)
		}
	}
}
