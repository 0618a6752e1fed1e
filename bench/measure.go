package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"agentprocess/internal/execx"
)

// contender is one row of a comparison.
type contender struct {
	name string
	// once does the thing and says how long it took.
	once func(context.Context) (time.Duration, error)
	// rounds overrides the bench's own, for the slow.
	rounds int
	times  []time.Duration
	err    error
}

// argv is a contender that runs a command to its end.
func argv(name string, args ...string) *contender {
	return &contender{name: name, once: func(ctx context.Context) (time.Duration, error) {
		return timed(ctx, args...)
	}}
}

// timed runs a command to its end and says how long it took.
func timed(ctx context.Context, args ...string) (time.Duration, error) {
	start := time.Now()
	err := execx.Run(ctx, execx.Cmd{Argv: args, Env: os.Environ()})
	return time.Since(start), err
}

// race lets the contenders take turns, A B C A B C, after one uncounted round,
// so that all of them see the same machine.
func race(ctx context.Context, rounds int, list []*contender) {
	for round := range rounds + 1 {
		for _, c := range list {
			if c.err != nil || (c.rounds > 0 && round > c.rounds) {
				continue
			}
			d, err := c.once(ctx)
			if err != nil {
				c.err = err
				continue
			}
			if round > 0 {
				c.times = append(c.times, d)
			}
		}
	}
}

// median of the counted times; 0 when there are none.
func (c *contender) median() time.Duration {
	if len(c.times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(c.times))
	return sorted[len(sorted)/2]
}

// table prints medians and how they stand to the reference contender.
func table(title string, reference *contender, list []*contender) {
	fmt.Printf("\n%s\n", title)
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\tmedian ms\tmin\tmax\tx %s\truns\t\n", reference.name)
	for _, c := range list {
		if c.err != nil {
			fmt.Fprintf(w, "%s\tleft out: %v\t\t\t\t\t\n", c.name, c.err)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.2f\t%d\t\n", c.name, ms(c.median()), ms(slices.Min(c.times)), ms(slices.Max(c.times)),
			float64(c.median())/float64(reference.median()), len(c.times))
	}
	_ = w.Flush() // as with every other line on stdout, nobody is left to tell
}

// verdict prints a goal and whether the run met it.
func verdict(goal string, got, limit float64) {
	word := "met"
	if got > limit {
		word = "MISSED"
	}
	fmt.Printf("goal: %s: %.3g of at most %.3g: %s\n", goal, got, limit, word)
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }
