package service

import (
	"context"
	"fmt"
	"os"
	"strings"

	"agentprocess/internal/sandbox"
	"agentprocess/internal/workspace"
)

// server is a fresh sandbox without network that serves the agent's commits,
// once. It starts beside whatever else has to be done before an import.
type server struct {
	started chan struct{}
	box     sandbox.Sandbox // once started
	err     error           // why there is no box
}

// startServer starts the sandbox. It is to be closed.
func (k *keeper) startServer(ctx context.Context) *server {
	s := &server{started: make(chan struct{})}
	spec := sandbox.Spec{
		ID: k.id + importSuffix, Identity: k.identity, Home: agentHome, Mounts: k.ws.ServeMounts(), Network: sandbox.NetworkNone,
	}
	go func() {
		defer close(s.started)
		s.box, s.err = k.runtime.Start(ctx, spec)
	}()
	return s
}

// uploadPack runs the command that serves; it is a workspace.UploadPack.
func (s *server) uploadPack(ctx context.Context, spec workspace.UploadSpec, conn *os.File) error {
	select {
	case <-s.started:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if s.err != nil {
		return s.err
	}
	var stderr strings.Builder
	proc, err := s.box.Exec(ctx, sandbox.Command{Argv: spec.Argv, Env: spec.Env, Stdin: conn, Stdout: conn, Stderr: &limited{w: &stderr, left: 4096}})
	if err != nil {
		return err
	}
	exit, err := proc.Wait()
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("upload-pack inside ended with %d: %q", exit.Code, stderr.String())
	}
	return err
}

// close ends the sandbox, also one that was not needed.
func (s *server) close() error {
	<-s.started
	if s.box == nil {
		return nil // uploadPack told why, if anybody asked
	}
	return s.box.Close()
}
