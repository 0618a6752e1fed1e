package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"agentprocess/internal/sandbox"
	"agentprocess/internal/term"
	"agentprocess/internal/trust"
)

// keeper is a trustService that remembers what it was told.
type keeper struct {
	seen    trust.Report
	base    string
	pinned  []string // kind and hash
	removed bool
}

// TrustReport implements trustService.
func (k *keeper) TrustReport(_ context.Context, _, base string) (trust.Report, error) {
	k.base = base
	return k.seen, nil
}

// Trust implements trustService.
func (k *keeper) Trust(_ context.Context, _ string, items []trust.Item) error {
	for _, item := range items {
		k.pinned = append(k.pinned, string(item.Kind)+" "+item.Hash)
	}
	return nil
}

// Untrust implements trustService.
func (k *keeper) Untrust(context.Context, string) error {
	k.removed = true
	return nil
}

// brought is a repository with something new, changed and known.
func brought(content string) *keeper {
	items := trust.Find([]trust.File{
		{Path: ".agent-process/hooks/pre-bash", Mode: 0o100755, Data: []byte("#!/bin/sh\nexit " + content)},
		{Path: ".mcp.json", Mode: 0o100644, Data: []byte(`{"mcpServers":{"db":{"command":"npx","args":["-y","db-server"]}}}`)},
		{Path: ".agent-process/allowlist", Mode: 0o100644, Data: []byte("registry.example.com\n")},
	})
	k := &keeper{seen: trust.Report{Repository: "/home/ada/shop/.git", Base: strings.Repeat("1a", 20)}}
	for _, item := range items {
		switch item.Kind {
		case trust.KindAllowlist:
			k.seen.Trusted = append(k.seen.Trusted, item)
		case trust.KindMCP:
			item.Was = &trust.Pin{Hash: "sha256:" + strings.Repeat("ab", 32), When: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), By: "ada\x1b[2J"}
			k.seen.Untrusted = append(k.seen.Untrusted, item)
		default:
			k.seen.Untrusted = append(k.seen.Untrusted, item)
		}
	}
	return k
}

func trustOf(k *keeper) func(*deps) *cobra.Command {
	return func(d *deps) *cobra.Command {
		return newCmdTrust(d, func(context.Context) (trustService, error) { return k, nil })
	}
}

func TestTrust(t *testing.T) {
	digest := digestOf(brought("0").seen)
	both := []string{}
	for _, item := range brought("0").seen.Untrusted {
		both = append(both, string(item.Kind)+" "+item.Hash)
	}
	terminal := term.Screen{TTY: true, Width: 100}
	tests := []struct {
		name   string
		screen term.Screen
		in     string
		tty    bool
		args   []string
		pinned []string
		code   sandbox.Code
		says   string // in the output, or in the error
	}{
		{"yes", terminal, "yes\n", true, nil, both, "", "trusted: hooks, mcp\n"},
		{"no", terminal, "no\n", true, nil, nil, "", "nothing was changed"},
		{"a mere y", terminal, "y\n", true, nil, nil, "", "nothing was changed"},
		{"Enter", terminal, "\n", true, nil, nil, "", "nothing was changed"},
		{"the end of input", terminal, "", true, nil, nil, "", "nothing was changed"},
		{"a pipe that says yes", terminal, "yes\n", false, nil, nil, sandbox.CodePolicy, "nobody to ask"},
		{"nobody sees it", term.Screen{}, "yes\n", true, nil, nil, sandbox.CodePolicy, "nobody to ask"},
		{"the digest", term.Screen{}, "", false, []string{"--yes", digest}, both, "", "trusted: hooks, mcp\n"},
		{"as much as is printed", term.Screen{}, "", false, []string{"--yes", digest[:digestLength]}, both, "", "trusted: hooks, mcp\n"},
		{"the digest and JSON", term.Screen{}, "", false, []string{"--yes", digest, "--json"}, both, "", `"digest"`},
		{"too little of it", term.Screen{}, "", false, []string{"--yes", digest[:12]}, nil, sandbox.CodeUsage, "want the digest"},
		{"no digest", term.Screen{}, "", false, []string{"--yes", ""}, nil, sandbox.CodeUsage, "want the digest"},
		{"anything", term.Screen{}, "", false, []string{"--yes", strings.Repeat("%", digestLength)}, nil, sandbox.CodeUsage, "want the digest"},
		{"that of something else", term.Screen{}, "", false, []string{"--yes", digestOf(brought("1").seen)}, nil, sandbox.CodePolicy, "not what you agreed to"},
		{"JSON asks nothing", terminal, "yes\n", true, []string{"--json"}, nil, "", `"state": "changed"`},
		{"remove and agree", terminal, "yes\n", true, []string{"--remove", "--yes", digest}, nil, sandbox.CodeUsage, "goes alone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := brought("0")
			r := run(t, seat{screen: tt.screen, in: tt.in, tty: tt.tty}, trustOf(k), tt.args...)
			if diff := cmp.Diff(tt.pinned, k.pinned); diff != "" || k.removed {
				t.Errorf("removed %t, pinned (-want +got):\n%s", k.removed, diff)
			}
			text := r.out
			if r.err != nil {
				text = r.err.Error()
			}
			if sandbox.ErrorCode(r.err) != tt.code || !strings.Contains(text, tt.says) {
				t.Errorf("%v\n%s", r.err, r.out)
			}
			if tt.code != "" && sandbox.ErrorHint(r.err) == "" {
				t.Error("no hint")
			}
		})
	}
}

func TestTrustShows(t *testing.T) {
	for name, screen := range map[string]term.Screen{"trust": {}, "trust-narrow": {TTY: true, Width: 60, Colour: true}} {
		t.Run(name, func(t *testing.T) {
			r := run(t, seat{screen: screen, tty: screen.TTY}, trustOf(brought("0")))
			golden(t, name, strings.ReplaceAll(r.out, "\x1b", "<ESC>"))
		})
	}
	t.Run("JSON", func(t *testing.T) {
		golden(t, "trust-json", run(t, seat{}, trustOf(brought("0")), "--json").out)
	})
	t.Run("all of it is trusted", func(t *testing.T) {
		k := brought("0")
		k.seen.Trusted, k.seen.Untrusted = append(k.seen.Trusted, k.seen.Untrusted...), nil
		if r := run(t, seat{}, trustOf(k)); r.err != nil || !strings.HasSuffix(r.out, "all of it is trusted\n") || len(k.pinned) > 0 {
			t.Errorf("%v, %q, pinned %q", r.err, r.out, k.pinned)
		}
	})
	t.Run("nothing", func(t *testing.T) {
		k := &keeper{}
		if r := run(t, seat{}, trustOf(k), "--base", "v1"); r.err != nil || !strings.Contains(r.out, "nothing") || k.base != "v1" {
			t.Errorf("%v, %q, base %q", r.err, r.out, k.base)
		}
	})
	t.Run("remove", func(t *testing.T) {
		k := brought("0")
		if r := run(t, seat{}, trustOf(k), "--remove"); r.err != nil || !k.removed || len(k.pinned) > 0 {
			t.Errorf("%v, removed %t, pinned %q", r.err, k.removed, k.pinned)
		}
	})
}
