package cli

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"agentprocess/internal/approval"
	"agentprocess/internal/execx"
	"agentprocess/internal/term"
)

const (
	// notifyTimeout bounds a notification.
	notifyTimeout = 10 * time.Second
	// mostNotifications is how many run at once; further ones wait.
	mostNotifications = 4
)

// notifier tells a person that something is asked: by the terminal's bell, and
// by the command that they have configured.
type notifier struct {
	argv, env []string
	bell      io.Writer // nil when nobody would hear it
	// failed is told once of a command that does not work.
	failed func(error)

	once    sync.Once
	running sync.WaitGroup
	slots   chan struct{}
}

// notifier makes one for a run. argv is the user's notify setting.
func (d *deps) notifier(argv []string, failed func(error)) *notifier {
	n := &notifier{argv: argv, env: d.environ, failed: failed, slots: make(chan struct{}, mostNotifications)}
	switch {
	case d.streams.Out.TTY:
		n.bell = d.streams.Out
	case d.streams.Err.TTY:
		n.bell = d.streams.Err
	}
	return n
}

// Notify tells of a question and returns at once; ctx ends the command.
func (n *notifier) Notify(ctx context.Context, q approval.Question) {
	if n.bell != nil {
		_, _ = io.WriteString(n.bell, "\a") // who has gone hears nothing
	}
	if len(n.argv) == 0 {
		return
	}
	n.running.Go(func() {
		select {
		case n.slots <- struct{}{}:
			defer func() { <-n.slots }()
		case <-ctx.Done():
			return
		}
		n.command(ctx, q)
	})
}

// command runs the user's command with one argument more. No shell sees it,
// and it begins with the agent's name, so that no program takes it for an
// option.
func (n *notifier) command(ctx context.Context, q approval.Question) {
	ctx, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	argv := append(append([]string{}, n.argv...), notification(q))
	if err := execx.Run(ctx, execx.Cmd{Argv: argv, Env: n.env}); err != nil {
		n.once.Do(func() { n.failed(fmt.Errorf("notify: %w", err)) })
	}
}

// notification is a question on one line.
func notification(q approval.Question) string {
	return term.Visible(fmt.Sprintf("%s asks: %s (agent-process policy answer %s)", q.Name, q.Subject, q.ID))
}

// Wait returns when all commands have ended.
func (n *notifier) Wait() { n.running.Wait() }
