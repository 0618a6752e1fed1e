package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// eventsPath is where the origin streams: an event at once, and the end
	// eventsRest later.
	eventsPath = "/events"
	eventsRest = 30 * time.Millisecond
	// streams is how many streams are begun in each round.
	streams = 20
	// lateMS is how much later than directly the first event may come.
	lateMS = 20
)

// stream answers with events.
func stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, "data: first\n\n") // who has gone needs no answer
	if http.NewResponseController(w).Flush() != nil {
		return
	}
	rest := time.NewTimer(eventsRest)
	defer rest.Stop()
	select {
	case <-rest.C:
		_, _ = io.WriteString(w, "data: last\n\n")
	case <-r.Context().Done():
	}
}

// firstEvents measures when the first event of a stream arrives through an
// opened host, over connections that stay.
func (b *bench) firstEvents(ctx context.Context, rounds int, ways []*proxied) {
	for _, h2 := range []bool{false, true} {
		var list []*contender
		for _, p := range ways {
			if !opens(p) || p.err != nil {
				continue
			}
			c := p.openedClient(h2)
			defer c.CloseIdleConnections()
			list = append(list, &contender{name: p.name, once: func(ctx context.Context) (time.Duration, error) {
				var sum time.Duration
				err := repeat(streams, func() error {
					took, err := p.firstEvent(ctx, c)
					sum += took
					return err
				})
				return sum / streams, err
			}})
		}
		race(ctx, rounds, list)
		table("opened TLS: the first event of a stream, "+protocol(h2), list[0], list)
		if mine := find(list, ours); mine != nil && list[0].err == nil {
			verdict("milliseconds later than direct", float64(mine.median()-list[0].median())/float64(time.Millisecond), lateMS)
		}
	}
}

// firstEvent says how long the first event of a stream takes.
func (p *proxied) firstEvent(ctx context.Context, c *http.Client) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+p.opened+eventsPath, http.NoBody)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	res, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.ReadFull(res.Body, make([]byte, 1))
	took := time.Since(start)
	if res.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("answered %s", res.Status))
	}
	_, rest := io.Copy(io.Discard, res.Body)
	return took, errors.Join(err, rest, res.Body.Close())
}
