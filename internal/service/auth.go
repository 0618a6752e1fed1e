package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"agentprocess/internal/agent"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/secret"
)

// loginTime bounds a login: a person looks for a browser and a password.
const loginTime = 15 * time.Minute

// AuthOptions say where a credential comes from.
type AuthOptions struct {
	Token, APIKey bool // read it from In
	AgentPath     string
	NoInput       bool
	In            io.Reader
	Out           io.Writer
	// Terminal hands over the person's terminal for a login: its size, and how
	// to give it back. It is nil when there is none.
	Terminal func() (sandbox.TTY, func() error, error)
	Progress func(string)
}

// AuthStatus says whether a credential works.
type AuthStatus struct{ secret.Status }

// Usable reports whether an agent can be started with it.
func (a AuthStatus) Usable() bool {
	return a.State == secret.StateValid || a.State == secret.StateExpiring || a.State == secret.StateUnverified
}

// Auth takes a credential, asks whether it works, and stores it if it does.
func (s *Service) Auth(ctx context.Context, o AuthOptions) (AuthStatus, error) {
	cred, err := s.obtain(ctx, o)
	if err != nil {
		return AuthStatus{}, err
	}
	status := s.ask(ctx, cred)
	if !status.Usable() {
		return status, sandbox.Fail(sandbox.CodeCredential, fmt.Errorf("the credential is %s: %s", status.State, status.Reason),
			"nothing was stored; get a new one and try again")
	}
	return status, s.secrets().Save(cred)
}

// AuthStatus asks whether the credential that agents would use works.
func (s *Service) AuthStatus(ctx context.Context) (AuthStatus, error) {
	cred, err := s.secrets().Find(s.Environ)
	if errors.Is(err, secret.ErrMissing) {
		return AuthStatus{secret.Status{State: secret.StateMissing, Reason: err.Error()}}, nil
	}
	if err != nil {
		return AuthStatus{}, err
	}
	return s.ask(ctx, cred), nil
}

func (s *Service) ask(ctx context.Context, cred secret.Credential) AuthStatus {
	return AuthStatus{s.checker(nil, true).Status(ctx, cred, agent.BaseURL(s.Environ, nil))}
}

// obtain gets a credential the way o says.
func (s *Service) obtain(ctx context.Context, o AuthOptions) (secret.Credential, error) {
	if o.Token || o.APIKey {
		return s.readCredential(o)
	}
	if o.NoInput || o.Terminal == nil {
		return secret.Credential{}, sandbox.Fail(sandbox.CodeCredential, errors.New("a login needs a terminal, and nobody may be asked here"),
			"run `claude setup-token` where there is a browser, then `agent-process auth --with-token` with its token on standard input")
	}
	return s.login(ctx, o)
}

// readCredential reads one line from standard input.
func (s *Service) readCredential(o AuthOptions) (secret.Credential, error) {
	const most = 16 << 10 // far more than any credential
	data, err := io.ReadAll(io.LimitReader(o.In, most))
	if err != nil {
		return secret.Credential{}, fmt.Errorf("read the credential: %w", err)
	}
	kind := secret.KindOAuth
	if o.APIKey {
		kind = secret.KindAPIKey
	}
	cred, err := secret.New(kind, string(data), s.Now())
	if err != nil {
		return cred, sandbox.Fail(sandbox.CodeCredential, err, "give the credential and nothing else on standard input")
	}
	return cred, nil
}

// login runs the agent's own login on the person's terminal, in a sandbox that
// reaches the login's hosts and nothing else.
func (s *Service) login(ctx context.Context, o AuthOptions) (cred secret.Credential, err error) {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	// Its program is this machine's own, and so is its sandbox.
	c, err := s.choose(ctx, sandbox.Backend{Runtime: runtimeNative})
	if err != nil {
		return cred, err
	}
	cli, err := agent.Find(ctx, agent.FindOptions{Path: o.AgentPath, Environ: s.Environ, CacheDir: s.agentsCache(), Progress: o.Progress})
	if err != nil {
		return cred, err
	}
	box, done, err := s.loginSandbox(ctx, c.runtime, cli)
	if err != nil {
		return cred, err
	}
	defer func() { err = errors.Join(err, done()) }()
	screen := &kept{w: o.Out}
	exit, err := s.runLogin(ctx, box, o, screen)
	if err != nil {
		return cred, err
	}
	value, err := secret.ParseSetupToken(screen.buf.Bytes())
	if err != nil || exit.Code != 0 {
		return cred, sandbox.Fail(sandbox.CodeCredential, fmt.Errorf("the login ended with %d and gave no token: %w", exit.Code, orNone(err)),
			"try again, or use `agent-process auth --with-token`")
	}
	cred, err = secret.New(secret.KindOAuth, value.Reveal(), s.Now())
	return cred, err
}

// errNone stands for a login that gave a token and failed all the same.
var errNone = errors.New("it failed")

func orNone(err error) error {
	if err == nil {
		return errNone
	}
	return err
}

// runLogin runs `claude setup-token` on a terminal of the sandbox's own.
func (s *Service) runLogin(ctx context.Context, box sandbox.Sandbox, o AuthOptions, screen io.Writer) (exit sandbox.Exit, err error) {
	size, restore, err := o.Terminal()
	if err != nil {
		return exit, err
	}
	defer func() { err = errors.Join(err, restore()) }()
	env := merge(s.baseEnv(agentHome, box.Facts().ToolPath, sandbox.Identity{}), networkEnv("login"), agent.LoginEnv())
	proc, err := box.Exec(ctx, sandbox.Command{
		Argv: []string{agent.ClaudePath, "setup-token"}, Env: env, Dir: agentHome, Stdin: o.In, Stdout: screen, TTY: &size,
	})
	if err != nil {
		return exit, err
	}
	return proc.Wait()
}

// kept passes on what is shown and keeps the last part of it, in which the
// token stands.
type kept struct {
	w   io.Writer
	buf bytes.Buffer
}

// mostKept bounds what is kept of a login's screen, in bytes.
const mostKept = 1 << 20

// Write implements io.Writer.
func (k *kept) Write(p []byte) (int, error) {
	if k.buf.Len()+len(p) > mostKept {
		k.buf.Next(k.buf.Len() / 2)
	}
	k.buf.Write(p)
	return k.w.Write(p)
}
