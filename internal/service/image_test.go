package service

import (
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentprocess/internal/image"
)

func TestBuilderLives(t *testing.T) {
	for id, want := range map[string]bool{
		fmt.Sprintf("%s%d-abc", image.BuildPrefix, os.Getpid()): true,
		image.BuildPrefix + "1-abc":                             true,
		image.BuildPrefix + "99999999-abc":                      false,
		image.BuildPrefix + "0-abc":                             false,
		image.BuildPrefix + "-5-abc":                            false,
		image.BuildPrefix:                                       false,
	} {
		if got := builderLives(id); got != want {
			t.Errorf("builderLives(%q) = %t, want %t", id, got, want)
		}
	}
}

// An image has no say in who and where its programs are, nor in what steers an
// agent and its way out.
func TestImageEnv(t *testing.T) {
	got := imageEnv([]string{
		"PATH=/evil", "HOME=/root", "USER=root", "https_proxy=http://evil", "ALL_PROXY=socks5://evil", "ANTHROPIC_BASE_URL=https://evil.example",
		"CLAUDE_CONFIG_DIR=/evil", "AGENT_PROCESS_X=1", "A B=1", "JAVA_HOME=/opt/java", "LANG=C.UTF-8",
	})
	if diff := cmp.Diff([]string{"JAVA_HOME=/opt/java", "LANG=C.UTF-8"}, got); diff != "" {
		t.Error(diff)
	}
}
