package service

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"agentprocess/internal/agent"
	"agentprocess/internal/proxy"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/secret"
)

// planAgent finds the agent's program and its credential, and plans its run.
func (s *Service) planAgent(ctx context.Context, o StartOptions, c *checked) error {
	request := agent.Request{
		Goal: o.Goal, Model: o.Model, Dir: c.repo.InsideDir(o.Name), Home: agentHome,
		Environ: s.Environ, Env: c.env, Argv: o.Argv,
	}
	if o.resume != nil {
		request.Goal = o.resume.goal(o.Name, o.Goal)
		if o.resume.kept.Kept() {
			request.Session = o.resume.kept.Head().Session
		}
	}
	if o.Agent == agent.KindExec {
		c.adapter = agent.Exec{}
		plan, err := c.adapter.Plan(ctx, request)
		c.plan = plan
		return err
	}
	return s.planClaude(ctx, o, c, request)
}

// planClaude plans a run of Claude Code, whose credential must be alive.
func (s *Service) planClaude(ctx context.Context, o StartOptions, c *checked, request agent.Request) error {
	cred, err := s.secrets().Find(s.Environ)
	if err != nil {
		return err
	}
	status := s.checker(o.Resolve, false).Status(ctx, cred, agent.BaseURL(s.Environ, c.env))
	if err := refuseDead(status, c); err != nil {
		return err
	}
	cli, err := agent.Find(ctx, agent.FindOptions{
		Path: o.AgentPath, Environ: s.Environ, CacheDir: s.agentsCache(), Progress: o.Progress,
	})
	if err != nil {
		return err
	}
	placeholder := cred.StandIn()
	request.Credential = agent.StandIn{Env: cred.Kind.Env(), Value: placeholder}
	request.CABundle = caPath
	if err := s.steer(ctx, c, &request); err != nil {
		return err
	}
	c.adapter = agent.Claude{CLI: cli}
	if c.plan, err = c.adapter.Plan(ctx, request); err != nil {
		return err
	}
	c.notices = append(c.notices, c.plan.Notices...)
	header, prefix := cred.Kind.Header()
	c.credentials = []proxy.Credential{{
		Host: c.plan.API.Host, Header: header, Prefix: prefix, Placeholder: placeholder, Secret: cred.Value,
	}}
	c.sources = s.agentSource(cred, placeholder, c.plan.API.Host)
	return nil
}

// steer adds what of the base commit the agent's CLI is to go by: instructions
// for the model always, the rest when a person has agreed to it.
func (s *Service) steer(ctx context.Context, c *checked, request *agent.Request) error {
	for _, item := range c.supplied.trusted {
		for _, f := range item.Files {
			request.Trusted = append(request.Trusted, agent.TreeFile(f))
		}
	}
	files, err := c.repo.Files(ctx, c.base, agent.InstructionFile)
	if err != nil {
		return err
	}
	for _, f := range files {
		request.Instructions = append(request.Instructions, agent.TreeFile{Path: f.Path, Mode: f.Mode, Data: f.Data})
	}
	return nil
}

// agentsCache is where agents' programs are installed.
func (s *Service) agentsCache() string { return filepath.Join(s.Paths.Cache, "agents") }

// refuseDead refuses a credential that the API refuses. One that could not be
// asked about is let pass, loudly: the run will tell.
func refuseDead(status secret.Status, c *checked) error {
	switch status.State {
	case secret.StateValid:
	case secret.StateExpired, secret.StateMissing:
		return sandbox.Fail(sandbox.CodeCredential, fmt.Errorf("the credential (%s) is %s: %s", status.Source, status.State, status.Reason),
			"log in with `agent-process auth`")
	case secret.StateExpiring, secret.StateUnverified:
		c.notices = append(c.notices, fmt.Sprintf("the credential (%s) is %s: %s", status.Source, status.State, status.Reason))
	}
	return nil
}

func (s *Service) secrets() secret.Store {
	return secret.Store{Dir: s.Paths.CredentialsDir(), UID: os.Geteuid()}
}

// checker asks the API about credentials, by the same names and addresses as
// the gateway will.
func (s *Service) checker(resolve map[string]proxy.Target, fresh bool) secret.Checker {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	transport := &http.Transport{
		Proxy: s.leave(resolve), TLSClientConfig: &tls.Config{RootCAs: s.roots(), MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, resolved(resolve, addr))
		},
	}
	return secret.Checker{
		Client: &http.Client{Transport: transport}, Cache: s.secrets().CheckFile(), UID: os.Geteuid(), Now: s.Now, Fresh: fresh,
	}
}

// leave is the way out of the host's network for what we ask ourselves, the
// same as the gateway's.
func (s *Service) leave(resolve map[string]proxy.Target) func(*http.Request) (*url.URL, error) {
	up, err := s.upstream()
	return func(req *http.Request) (*url.URL, error) {
		if _, fixed := resolve[strings.ToLower(req.URL.Hostname())]; fixed || err != nil {
			return nil, err
		}
		return up.For(req.URL)
	}
}

// resolved is the address that --resolve gives for a name, or the name.
func resolved(resolve map[string]proxy.Target, addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	target, ok := resolve[strings.ToLower(host)]
	if !ok {
		return addr
	}
	if target.Port != 0 {
		port = strconv.Itoa(int(target.Port))
	}
	return net.JoinHostPort(target.Addr.String(), port)
}
