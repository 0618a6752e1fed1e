package service

import (
	"context"
	"slices"
	"sync"

	"agentprocess/internal/audit"
)

// seen collects what the gateway recorded of the proof.
type seen struct {
	mu       sync.Mutex
	requests []audit.Request
	changed  chan struct{} // closed and replaced by each add
}

func (s *seen) add(r audit.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// wait gives what was recorded as soon as it is n requests other than lookups,
// or what there is when ctx ends: the gateway records a connection when it has
// closed it, which can be a moment after the inside saw it close.
func (s *seen) wait(ctx context.Context, n int) []audit.Request {
	for {
		s.mu.Lock()
		count := 0
		for _, r := range s.requests {
			if r.Path != "dns" {
				count++
			}
		}
		if count >= n || ctx.Err() != nil {
			all := slices.Clone(s.requests)
			s.mu.Unlock()
			return all
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}
