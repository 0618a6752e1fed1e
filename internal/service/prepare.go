package service

import (
	"context"
	"fmt"
	"strings"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/term"
)

// preparedOutput is how much of what a command says last is told when it fails,
// in bytes.
const preparedOutput = 4 << 10

// prepare runs commands in the tree before the agent, in its sandbox and under
// its rules. An ending with an outcome is the run's.
func (x *session) prepare(ctx context.Context, commands [][]string, timeout <-chan time.Time) ending {
	for _, argv := range commands {
		if end := x.prepareOne(ctx, argv, timeout); end.outcome != "" {
			return end
		}
	}
	return ending{}
}

func (x *session) prepareOne(ctx context.Context, argv []string, timeout <-chan time.Time) ending {
	begin := x.svc.Now()
	ctx, kill := context.WithCancel(ctx)
	defer kill()
	out := &lastBytes{most: preparedOutput}
	proc, err := x.box.Exec(ctx, sandbox.Command{Argv: argv, Env: x.env, Dir: x.ws.Dir(), Stdout: out, Stderr: out})
	what := term.Visible(strings.Join(argv, " "))
	if err != nil {
		return ending{outcome: sandbox.OutcomeFailed, reason: fmt.Sprintf("prepare with %s: %v", what, err)}
	}
	v := &supervisor{proc: proc, kill: kill, timeout: timeout, asked: x.opts.Control.asked(), broken: x.net.broken, hopeless: func() bool { return false }}
	end := v.watch()
	switch {
	case end.outcome != "":
	case end.err != nil:
		end.decide(sandbox.OutcomeFailed, fmt.Sprintf("prepare with %s: %v", what, end.err))
	case end.exit.OOM:
		end.decide(sandbox.OutcomeOutOfMemory, fmt.Sprintf("%s was killed for using more memory than the limit; give it more with --memory", what))
	case end.exit.Code != 0:
		end.decide(sandbox.OutcomeFailed, fmt.Sprintf("%s, which prepares the tree, ended with exit status %d:\n%s", what, end.exit.Code, term.VisibleLines(out.String())))
	default:
		x.rec.Record(audit.Phase{Name: "prepared", Detail: what, Duration: x.svc.Now().Sub(begin)})
	}
	return end
}

// lastBytes keeps the end of what is written.
type lastBytes struct {
	most int
	data []byte
}

// Write implements io.Writer.
func (l *lastBytes) Write(p []byte) (int, error) {
	l.data = append(l.data, p...)
	l.data = l.data[max(0, len(l.data)-l.most):]
	return len(p), nil
}

func (l *lastBytes) String() string { return strings.TrimSpace(string(l.data)) }
