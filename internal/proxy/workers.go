package proxy

import (
	"context"
	"sync"
	"sync/atomic"
)

// idleWorkers is how many goroutines wait for more work instead of ending.
const idleWorkers = 32

// workers runs jobs in goroutines of which some are used again: their stacks
// have grown already.
type workers struct {
	jobs chan func()
	idle atomic.Int32
}

// run does job in a goroutine that owner waits for, and which ends with ctx at
// the latest.
func (w *workers) run(ctx context.Context, owner *sync.WaitGroup, job func()) {
	select {
	case w.jobs <- job:
		return
	default: // nobody waits
	}
	owner.Go(func() {
		for {
			job()
			if w.idle.Add(1) > idleWorkers {
				w.idle.Add(-1)
				return
			}
			select {
			case job = <-w.jobs:
				w.idle.Add(-1)
			case <-ctx.Done():
				return
			}
		}
	})
}
