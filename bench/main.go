// Command bench compares whole processes with the peers on this machine, in
// one run, and prints ratios: absolute times of a shared machine mean little.
//
//	go run ./bench -binary bin/agent-process
//
// What is not installed is left out and said so. Run as root it also starts a
// Docker engine of its own, when there is one to start, and stops it again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// bench is one run of all comparisons.
type bench struct {
	binary string // the agent-process to measure
	rounds int
	dir    string // scratch, removed at the end
}

func main() {
	os.Exit(run())
}

func run() int {
	var b bench
	flag.StringVar(&b.binary, "binary", "bin/agent-process", "the agent-process to measure")
	flag.IntVar(&b.rounds, "rounds", 20, "counted rounds of each comparison")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.all(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// all runs every section.
func (b *bench) all(ctx context.Context) (err error) {
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "agent-process-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := os.Chmod(b.dir, 0o755); err != nil { // the agent's uid passes through
		return err
	}
	for _, section := range []func(context.Context) error{b.sandboxStart, b.repositoryStart, b.idleMemory} {
		if err := section(ctx); err != nil {
			return err
		}
	}
	return nil
}
