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
	only   string // the one section to run; empty is all
	dir    string // scratch, removed at the end
}

func main() {
	os.Exit(run())
}

func run() int {
	var b bench
	flag.StringVar(&b.binary, "binary", "bin/agent-process", "the agent-process to measure")
	flag.IntVar(&b.rounds, "rounds", 20, "counted rounds of each comparison")
	flag.StringVar(&b.only, "only", "", "one section instead of all: sandbox, repository, workspace, conflicts, memory, egress, hook ...")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := b.run(ctx, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// run runs the sections, or what the bench starts of itself.
func (b *bench) run(ctx context.Context, args []string) error {
	if len(args) == 2 && args[0] == egressVerb {
		return serveEgress(ctx, args[1])
	}
	if len(args) == 3 && args[0] == hookVerb {
		return callHooks(ctx, args[1:])
	}
	return b.all(ctx)
}

// section is a group of comparisons.
type section struct {
	name string
	run  func(context.Context) error
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
	for _, s := range []section{
		{"sandbox", b.sandboxStart},
		{"repository", b.repositoryStart},
		{"workspace", b.workspaceRows},
		{"conflicts", b.conflicts},
		{"memory", b.idleMemory},
		{"egress", b.egress},
		{"hook", b.hookVerdict},
	} {
		if b.only != "" && b.only != s.name {
			continue
		}
		if err := s.run(ctx); err != nil {
			return err
		}
	}
	return nil
}
