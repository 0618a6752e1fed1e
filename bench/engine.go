package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"agentprocess/internal/runtime/enginetest"
)

// engine is a Docker engine of the bench's own.
type engine struct{ *enginetest.Engine }

// image is the local image that containers run: one static busybox.
const image = "agent-process-bench"

// startEngine starts dockerd and imports the image. The error says what is
// missing.
func (b *bench) startEngine(ctx context.Context) (*engine, error) {
	tools, err := enginetest.Tools(ctx, nil)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.dir, "engine")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	started, err := enginetest.StartDocker(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := started.Import(ctx, image, tools); err != nil {
		return nil, errors.Join(err, started.Stop())
	}
	return &engine{started}, nil
}

// docker is an argv of the client, aimed at this engine.
func (e *engine) docker(args ...string) []string {
	return append([]string{"docker", "-H", e.Host}, args...)
}

// pair is what others do for one agent: an internal network, a proxy container
// on it and on the bridge, the agent container, and removing it all. The proxy
// only sleeps, which favours the pair.
func (e *engine) pair(ctx context.Context) (time.Duration, error) {
	var total time.Duration
	for _, args := range [][]string{
		{"network", "create", "--internal", "bench-net"},
		{"run", "-d", "--name", "bench-proxy", "--network", "bench-net", image, "/bin/sleep", "300"},
		{"network", "connect", "bridge", "bench-proxy"},
		{"run", "--rm", "--network", "bench-net", image, "/bin/true"},
		{"rm", "-f", "bench-proxy"},
		{"network", "rm", "bench-net"},
	} {
		d, err := timed(ctx, e.docker(args...)...)
		if err != nil {
			return 0, err
		}
		total += d
	}
	return total, nil
}
