package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"agentprocess/internal/execx"
)

// env is an environment in which everything of the person's is b.dir's.
func (b *bench) env() []string {
	home := filepath.Join(b.dir, "home")
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Bench", "GIT_AUTHOR_EMAIL=bench@example.com",
		"GIT_COMMITTER_NAME=Bench", "GIT_COMMITTER_EMAIL=bench@example.com",
	}
}

// repository makes a git repository of n files of 20 kB of text, in one pack as
// a clone has it, and gives its path.
func (b *bench) repository(ctx context.Context, n int) (string, error) {
	dir := filepath.Join(b.dir, "repo-"+strconv.Itoa(n), "project")
	if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
		return dir, nil // of a section before
	}
	if err := os.MkdirAll(filepath.Join(b.dir, "home"), 0o755); err != nil {
		return "", err
	}
	random := rand.NewChaCha8([32]byte{1})
	block := make([]byte, 15<<10)
	for i := range n {
		path := filepath.Join(dir, "d"+strconv.Itoa(i/100), "f"+strconv.Itoa(i))
		if i%100 == 0 {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return "", err
			}
		}
		_, _ = random.Read(block) // ChaCha8 never fails
		if err := os.WriteFile(path, inLines(block), 0o644); err != nil {
			return "", err
		}
	}
	for _, args := range [][]string{
		{"git", "init", "-q", "-b", "main", "."},
		{"git", "-c", "core.compression=0", "add", "-A"},
		{"git", "-c", "gc.auto=0", "commit", "-q", "-m", "base"}, // no repacking while we measure
		{"git", "-c", "core.compression=0", "repack", "-q", "-a", "-d"},
	} {
		if err := execx.Run(ctx, execx.Cmd{Argv: args, Dir: dir, Env: b.env()}); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// inLines spells bytes as lines of 64 characters.
func inLines(data []byte) []byte {
	var text []byte
	for chunk := range slices.Chunk(data, 48) {
		text = append(base64.StdEncoding.AppendEncode(text, chunk), '\n')
	}
	return text
}

// repositoryStart measures from `start` to the agent's exec, on a small and a
// large repository, beside what git itself takes to add a worktree.
func (b *bench) repositoryStart(ctx context.Context) error {
	var list []*contender
	for _, n := range []int{200, 20_000} {
		dir, err := b.repository(ctx, n)
		if err != nil {
			return err
		}
		list = append(list, b.untilExec(dir, n), b.worktreeAdd(dir, n))
		list[len(list)-1].rounds = 3
	}
	race(ctx, b.rounds, list)
	table("from start to the agent's exec", list[0], list)
	small, large := list[0], list[2]
	if err := errors.Join(small.err, large.err); err != nil {
		return err
	}
	verdict("20,000 files, ms", float64(large.median())/float64(time.Millisecond), 150)
	verdict("does not grow with the files (20,000 / 200)", float64(large.median())/float64(small.median()), 1.3)
	return nil
}

// untilExec starts an agent whose only work is to say when it began.
func (b *bench) untilExec(dir string, n int) *contender {
	count := 0
	return &contender{name: fmt.Sprintf("agent-process start, %d files", n), once: func(ctx context.Context) (time.Duration, error) {
		count++
		start := time.Now()
		out, err := execx.Output(ctx, execx.Cmd{
			Argv: []string{b.binary, "start", "bench" + strconv.Itoa(count), "say when", "--agent", "exec", "--json", "--", "/bin/date", "+%s.%N"},
			Dir:  dir, Env: b.env(),
		})
		if err != nil && execx.ExitCode(err) != 3 { // 3: no changes, which is right
			return 0, err
		}
		began, err := beganAt(string(out))
		return began.Sub(start), err
	}}
}

// beganAt finds the time that the agent printed among the events.
func beganAt(events string) (time.Time, error) {
	for line := range strings.Lines(events) {
		var e struct {
			Kind string                `json:"kind"`
			Data struct{ Text string } `json:"data"`
		}
		if json.Unmarshal([]byte(line), &e) != nil || e.Kind != "output" {
			continue
		}
		sec, frac, ok := strings.Cut(strings.TrimSpace(e.Data.Text), ".")
		s, err1 := strconv.ParseInt(sec, 10, 64)
		ns, err2 := strconv.ParseInt(frac, 10, 64)
		if ok && err1 == nil && err2 == nil {
			return time.Unix(s, ns), nil
		}
	}
	return time.Time{}, errors.New("the agent did not say when it began")
}

// worktreeAdd is the peer's way to an own tree for each agent.
func (b *bench) worktreeAdd(dir string, n int) *contender {
	return &contender{name: fmt.Sprintf("git worktree add, %d files", n), once: func(ctx context.Context) (time.Duration, error) {
		tree := filepath.Join(b.dir, "peer-worktree")
		start := time.Now()
		err := execx.Run(ctx, execx.Cmd{Argv: []string{"git", "worktree", "add", "-q", "--detach", tree}, Dir: dir, Env: b.env()})
		took := time.Since(start)
		if err != nil {
			return 0, err
		}
		return took, execx.Run(ctx, execx.Cmd{Argv: []string{"git", "worktree", "remove", "--force", tree}, Dir: dir, Env: b.env()})
	}}
}
