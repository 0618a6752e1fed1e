package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"agentprocess/internal/execx"
)

// conflictAgents is how many agents are compared with each other.
const conflictAgents = 20

// conflicts measures how long it takes to foresee the conflicts between 20
// agents that all changed the same 100 files of 20,000, beside git merging as
// many pairs in memory; half of the agents changed the same lines.
func (b *bench) conflicts(ctx context.Context) error {
	dir, err := b.repository(ctx, 20_000)
	if err != nil {
		return err
	}
	if err := b.conflictBranches(ctx, dir); err != nil {
		return err
	}
	var pairs strings.Builder
	for i := range conflictAgents {
		for j := range i {
			fmt.Fprintf(&pairs, "agent--c%d agent--c%d\n", j, i)
		}
	}
	peer := &contender{name: "git merge-tree, 190 pairs", rounds: 3, once: func(ctx context.Context) (time.Duration, error) {
		objects := filepath.Join(b.dir, "merged") // not into the repository, which would be slower each time
		if err := os.Mkdir(objects, 0o755); err != nil {
			return 0, err
		}
		start := time.Now()
		err := execx.Run(ctx, execx.Cmd{
			Argv: []string{"git", "merge-tree", "--write-tree", "--name-only", "--no-messages", "--stdin"}, Dir: dir,
			Env:   append(b.env(), "GIT_OBJECT_DIRECTORY="+objects, "GIT_ALTERNATE_OBJECT_DIRECTORIES="+filepath.Join(dir, ".git", "objects")),
			Stdin: strings.NewReader(pairs.String()),
		})
		took := time.Since(start)
		return took, errors.Join(err, os.RemoveAll(objects))
	}}
	ours := &contender{name: "agent-process conflicts", once: func(ctx context.Context) (time.Duration, error) {
		// Nothing is remembered from the round before.
		if err := os.RemoveAll(filepath.Join(b.dir, "home", ".local", "state", "agent-process", "forecast")); err != nil {
			return 0, err
		}
		start := time.Now()
		out, err := execx.Output(ctx, execx.Cmd{Argv: []string{b.binary, "conflicts", "--json"}, Dir: dir, Env: b.env()})
		if n := bytes.Count(out, []byte(`"d0/f0"`)); err == nil && n == 0 {
			err = errors.New("no conflict was foreseen")
		}
		return time.Since(start), err
	}}
	ours.rounds = min(b.rounds, 10)
	race(ctx, b.rounds, []*contender{peer, ours})
	if err := errors.Join(peer.err, ours.err); err != nil {
		return err
	}
	table("conflicts between 20 agents in the same 100 files", ours, []*contender{peer, ours})
	verdict("conflicts between 20 agents, ms", float64(ours.median())/float64(time.Millisecond), 1000)
	return nil
}

// conflictBranches makes the agents' branches: an odd agent changes the first
// line of each file, an even one a line of its own.
func (b *bench) conflictBranches(ctx context.Context, dir string) error {
	var in bytes.Buffer
	for agent := range conflictAgents {
		fmt.Fprintf(&in, "reset refs/agents/c%d/base\nfrom refs/heads/main\n\n", agent)
		fmt.Fprintf(&in, "commit refs/heads/agent--c%d\ncommitter Bench <bench@example.com> 0 +0000\ndata 4\nwork\nfrom refs/heads/main\n", agent)
		for d := range 100 {
			name := fmt.Sprintf("d%d/f%d", d, 100*d)
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			lines := slices.Collect(bytes.Lines(data))
			at := 0
			if agent%2 == 0 {
				at = 5 * (agent + 1)
			}
			lines[at] = fmt.Appendf(nil, "of agent %d\n", agent)
			data = bytes.Join(lines, nil)
			fmt.Fprintf(&in, "M 100644 inline %s\ndata %d\n%s\n", name, len(data), data)
		}
		in.WriteString("\n")
	}
	return execx.Run(ctx, execx.Cmd{Argv: []string{"git", "fast-import", "--quiet"}, Dir: dir, Env: b.env(), Stdin: &in})
}
