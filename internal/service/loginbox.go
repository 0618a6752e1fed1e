package service

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"agentprocess/internal/agent"
	"agentprocess/internal/audit"
	"agentprocess/internal/gateway"
	"agentprocess/internal/hook"
	"agentprocess/internal/policy"
	"agentprocess/internal/proxy"
	"agentprocess/internal/sandbox"
)

// unrecorded takes the verdicts of a login, which has no run to record.
type unrecorded struct{}

// Record implements hook.Recorder.
func (unrecorded) Record(audit.Payload) {}

// Err implements hook.Recorder.
func (unrecorded) Err() error { return nil }

// loginSandbox starts a sandbox for a login and its gateway; done ends both.
func (s *Service) loginSandbox(ctx context.Context, rt sandbox.Runtime, cli agent.CLI) (box sandbox.Sandbox, done func() error, err error) {
	identity, err := s.Identity()
	if err != nil {
		return nil, nil, err
	}
	rules, err := policy.ParseRules("built-in: login", strings.Join(agent.LoginHosts(), "\n"))
	if err != nil {
		return nil, nil, err
	}
	up, err := s.upstream()
	if err != nil {
		return nil, nil, err
	}
	egress, err := proxy.New(proxy.Config{Policy: policy.NewSet(rules), Upstream: up, UpstreamRoots: s.roots(), Record: func(audit.Request) {}, Now: s.Now})
	if err != nil {
		return nil, nil, err
	}
	id := fmt.Sprintf("login-%d-%s", os.Getpid(), strings.ToLower(rand.Text()[:6]))
	toolPath, _ := s.lookup("PATH")
	box, err = rt.Start(ctx, sandbox.Spec{
		ID: id, Identity: identity, Home: agentHome, ToolPath: toolPath, Network: sandbox.NetworkGateway,
		Mounts: []sandbox.Mount{{Kind: sandbox.MountBind, Source: cli.Path, Target: agent.ClaudePath, ReadOnly: true}},
	})
	if err != nil {
		return nil, nil, err
	}
	n := &network{gateway: gateway.New(egress, &hook.Server{Recorder: unrecorded{}, Now: s.Now})}
	n.serve(ctx, box)
	return box, func() error { return errors.Join(n.close(), box.Close()) }, nil
}
