package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// sandboxStart compares a sandbox around /bin/true: ours with its gateway
// sockets, redirect, seccomp and Landlock; bubblewrap with namespaces alone;
// containers.
func (b *bench) sandboxStart(ctx context.Context) error {
	ours := argv("agent-process", b.binary, "__sandbox", "--", "/bin/true")
	bwrap := argv("bubblewrap", "bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "/bin/true")
	list := []*contender{argv("fork+exec", "/bin/true"), bwrap, ours}
	e, err := b.startEngine(ctx)
	var pair *contender
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: containers left out:", err)
	} else {
		defer func() {
			if err := e.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
			}
		}()
		plain := argv("docker run, no network", e.docker("run", "--rm", "--network", "none", image, "/bin/true")...)
		pair = &contender{name: "docker, agent and proxy pair", once: e.pair}
		plain.rounds, pair.rounds = 5, 5
		list = append(list, plain, pair)
	}
	if _, err := exec.LookPath("bwrap"); err != nil {
		bwrap.err = err
	}
	race(ctx, b.rounds, list)
	table("sandbox start, /bin/true", list[0], list)
	if ours.err != nil {
		return ours.err
	}
	if bwrap.err == nil {
		verdict("at most 3x bubblewrap", float64(ours.median())/float64(bwrap.median()), 3)
	}
	if pair != nil && pair.err == nil {
		verdict("at most 1/20 of the pair", float64(ours.median())/float64(pair.median()), 0.05)
	}
	return nil
}
