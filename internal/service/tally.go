package service

import (
	"sync"

	"agentprocess/internal/audit"
	"agentprocess/internal/sandbox"
)

// tally counts what the outcome needs while events go by. It is an audit.Sink.
type tally struct {
	mu      sync.Mutex
	denials int
	cost    sandbox.Cost
}

func newTally() *tally { return &tally{} }

// Write implements audit.Sink.
func (t *tally) Write(e audit.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch p := e.Payload.(type) {
	case audit.Request:
		if p.Verdict == audit.Deny && p.Rule != audit.ProofRule {
			t.denials++
		}
	case audit.Verdict:
		if p.Decision == audit.Deny && p.Rule != audit.ProofRule && p.Rule != audit.MessageRule {
			t.denials++
		}
	case audit.Usage:
		t.cost = p.Cost
	}
	return nil
}

func (t *tally) read() (denials int, cost sandbox.Cost) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.denials, t.cost
}
