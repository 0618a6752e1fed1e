package store

import (
	"context"

	"agentprocess/internal/audit"
)

// LastSaid is what the agent of a run said last; empty when it said nothing.
func (s *Store) LastSaid(ctx context.Context, run string) (string, error) {
	rows, err := s.db.QueryContext(ctx,
		"SELECT run, seq, time, kind, data, prev, hash FROM events WHERE run = ? AND kind = ? ORDER BY seq DESC LIMIT 1", run, (audit.Say{}).EventKind())
	events, err := collect(s, rows, err, scanEvent)
	if err != nil || len(events) == 0 {
		return "", err
	}
	payload, err := audit.Decode(events[0])
	say, _ := payload.(audit.Say)
	return say.Text, err
}
