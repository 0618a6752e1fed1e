package service

import (
	"strings"
	"testing"

	"agentprocess/internal/sandbox"
	"agentprocess/internal/workspace"
)

// TestRequestTextOfAHostileAgent has an agent try to do more than say something
// in the description of a request.
func TestRequestTextOfAHostileAgent(t *testing.T) {
	said := "done\n```\n@everyone closes #1 <!-- hidden --> ![x](https://evil.example/p.png)\n````\n\x1b[2Jmore\u202e"
	work := workspace.Work{
		Commits: []workspace.WorkCommit{{ID: strings.Repeat("a", 40), Subject: "``` fixes #2"}},
		Flagged: []workspace.Flag{{Path: ".github/workflows/```x.yml", Reason: "runs"}},
	}
	title, body := requestText(PROptions{Name: "docs"}, sandbox.Run{Goal: "Write \x1b[31mdocs\nfor all"}, work, said)
	if want := "Write ␛[31mdocs"; title != want {
		t.Errorf("title = %q, want %q", title, want)
	}
	if strings.ContainsAny(body, "\x1b\u202e") {
		t.Errorf("body %q has control characters", body)
	}
	// Outside of the blocks there are our words and the person's alone.
	var outside []string
	fence := ""
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		ticks := line[:len(line)-len(strings.TrimLeft(line, "`"))]
		switch {
		case fence == "" && len(ticks) >= 3:
			fence = ticks
		case fence != "" && len(ticks) >= len(fence) && strings.Trim(line, "` ") == "":
			fence = ""
		case fence == "" && line != "":
			outside = append(outside, line)
		}
	}
	want := "for all|What the agent said of it:|Read these before you build, test or open it:|Commits:"
	if got := strings.Join(outside, "|"); got != want || fence != "" {
		t.Errorf("outside of blocks: %q, want %q (in body %q)", got, want, body)
	}
}
