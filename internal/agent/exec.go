package agent

import (
	"context"
	"errors"

	"agentprocess/internal/audit"
	"agentprocess/internal/sandbox"
)

// KindExec and KindClaude are the kinds of agents there are.
const (
	KindExec   = "exec"
	KindClaude = "claude"
)

// GoalEnv is the variable in which a command finds its goal.
const GoalEnv = "AGENT_PROCESS_GOAL"

// maxOutput bounds the output of a command that is recorded, in bytes.
const maxOutput = 64 << 20

// Exec runs any command as the agent.
type Exec struct{}

// Plan implements Adapter.
func (Exec) Plan(_ context.Context, r Request) (Plan, error) {
	if len(r.Argv) == 0 || r.Argv[0] == "" {
		return Plan{}, sandbox.Fail(sandbox.CodeUsage, errors.New("the exec agent has no command"),
			"give one after --: agent-process start NAME --agent exec -- make test")
	}
	p := Plan{Argv: r.Argv, Info: sandbox.AgentInfo{Kind: KindExec}}
	if r.Goal != "" {
		p.Env = []string{GoalEnv + "=" + r.Goal}
	}
	return p, nil
}

// Transcript implements Adapter.
func (Exec) Transcript() Transcript { return &execTranscript{} }

// execTranscript passes lines on until there are too many.
type execTranscript struct {
	seen int
	full bool
}

// Line implements Transcript.
func (t *execTranscript) Line(stream Stream, line []byte, cut bool) []audit.Payload {
	if t.full {
		return nil
	}
	t.seen += len(line) + 1
	if t.seen > maxOutput {
		t.full = true
		return []audit.Payload{audit.Notice{Level: audit.Warn, Text: "the command has printed over 64 MiB; the rest is not recorded"}}
	}
	return []audit.Payload{output(stream, line, cut)}
}

// Result implements Transcript.
func (t *execTranscript) Result() Result { return Result{} }

func output(stream Stream, line []byte, cut bool) audit.Output {
	return audit.Output{Stream: string(stream), Text: shorten(string(line), cut)}
}
