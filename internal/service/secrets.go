package service

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"agentprocess/internal/execx"
	"agentprocess/internal/policy"
	"agentprocess/internal/proxy"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/secret"
)

const (
	// mostSecret bounds what is read for a secret: far more than any.
	mostSecret = 64 << 10
	// secretTime bounds a command that gives a secret: it may ask a person.
	secretTime = 2 * time.Minute
)

// SecretAdd stores a secret, whose value comes from in when it is to be kept.
// What is to be looked up at each start is looked up now, to see that it is there.
func (s *Service) SecretAdd(ctx context.Context, n secret.Named, in io.Reader) error {
	n.Added = s.Now()
	n, err := n.Check()
	if err != nil {
		return sandbox.Fail(sandbox.CodeUsage, err, "see `agent-process secret add --help`")
	}
	if n.Origin == secret.OriginStored {
		text, err := io.ReadAll(io.LimitReader(in, mostSecret))
		if err != nil {
			return fmt.Errorf("read the secret: %w", err)
		}
		if n.Value, err = secret.NewValue(string(text)); err != nil {
			return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("secret %q: %w", n.Name, err), "give the value and nothing else on standard input")
		}
	} else if _, err := s.secretValue(ctx, n); err != nil {
		return err
	}
	return s.secrets().Put(n)
}

// Secrets lists the stored secrets.
func (s *Service) Secrets() ([]secret.Named, error) { return s.secrets().AllNamed() }

// SecretRemove forgets a secret.
func (s *Service) SecretRemove(name string) error { return s.secrets().Forget(name) }

// secretValue gives a secret's value from where it rests.
func (s *Service) secretValue(ctx context.Context, n secret.Named) (policy.Secret, error) {
	var text string
	var err error
	switch n.Origin {
	case secret.OriginStored:
		text = n.Value.Reveal()
	case secret.OriginEnv:
		var ok bool
		if text, ok = s.lookup(n.From); !ok {
			err = errors.New("it is not set")
		}
	case secret.OriginFile:
		text, err = readSome(n.From)
	case secret.OriginCommand:
		ctx, cancel := context.WithTimeout(ctx, secretTime)
		defer cancel()
		var out []byte
		err = s.secrets().Alone(ctx, n.Name, func() (err error) {
			out, err = execx.Output(ctx, execx.Cmd{Argv: []string{"/bin/sh", "-c", n.From}, Env: s.Environ})
			return err
		})
		if text = string(out); len(text) > mostSecret {
			err = errors.New("it is too much")
		}
	default:
		err = errors.New("it is damaged")
	}
	var value policy.Secret
	if err == nil {
		value, err = secret.NewValue(text)
	}
	if err != nil {
		return value, sandbox.Fail(sandbox.CodeCredential, fmt.Errorf("secret %q from %s %q: %w", n.Name, n.Origin, n.From, err),
			"mend that, or add the secret anew with `agent-process secret add "+n.Name+"`")
	}
	return value, nil
}

func readSome(path string) (text string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err := io.ReadAll(io.LimitReader(f, mostSecret))
	return string(data), err
}

// bindSecrets makes credentials of the secrets that --secret and rules name.
func (s *Service) bindSecrets(ctx context.Context, o StartOptions, c *checked) error {
	var names []string
	for _, name := range o.Secrets {
		n, err := s.secrets().Named(name)
		if err != nil {
			return err
		}
		names = append(names, name)
		for _, host := range n.Hosts {
			text := host + " secret=" + name
			rules, err := policy.ParseRules("--secret", text)
			if err != nil {
				return fmt.Errorf("the rule of the secret %q: %w", name, err)
			}
			c.rules = append(c.rules, policy.WithLayer(policy.LayerRun, rules)...)
		}
	}
	for _, r := range c.rules {
		if r.Secret != "" {
			names = append(names, r.Secret)
		}
	}
	slices.Sort(names)
	var netrc strings.Builder
	for _, name := range slices.Compact(names) {
		if err := s.bindSecret(ctx, c, name, &netrc); err != nil {
			return err
		}
	}
	if netrc.Len() > 0 {
		c.files = append(c.files, sandbox.File{Path: agentHome + "/.netrc", Data: []byte(netrc.String()), Mode: 0o600, Owned: true})
	}
	return nil
}

// bindSecret makes credentials of one secret, for those of its hosts that rules
// list with it.
func (s *Service) bindSecret(ctx context.Context, c *checked, name string, netrc *strings.Builder) error {
	n, err := s.secrets().Named(name)
	if err != nil {
		return err
	}
	var rules []policy.Rule
	for _, r := range c.rules {
		if r.Secret != name {
			continue
		}
		if !slices.ContainsFunc(n.Hosts, func(h string) bool { return h == r.Name || r.Wildcard && strings.HasSuffix(h, "."+r.Name) }) {
			return sandbox.Fail(sandbox.CodePolicy, fmt.Errorf("%s: the secret %q goes to %s and nowhere else", r.Cite(), name, strings.Join(n.Hosts, ", ")),
				"name one of its hosts in the rule, or add the secret anew with --host")
		}
		rules = append(rules, r)
	}
	placeholder := "agentprocess-" + strings.ToLower(rand.Text()+rand.Text())
	from := s.namedSource(n, placeholder)
	value, err := s.secretValue(ctx, n)
	if err != nil {
		return err
	}
	from.value = value
	c.sources = append(c.sources, from)
	for _, host := range n.Hosts {
		cred := carrier(n)
		cred.Host, cred.Placeholder, cred.Secret, cred.Rules = host, placeholder, value, rules
		c.credentials = append(c.credentials, cred)
		if n.Way == secret.WayBasic {
			fmt.Fprintf(netrc, "machine %s login %s password %s\n", host, n.Param, placeholder)
		}
	}
	c.secretEnv = append(c.secretEnv, n.Var+"="+placeholder)
	c.secretValues = append(c.secretValues, value)
	return nil
}

// carrier is how a secret travels.
func carrier(n secret.Named) proxy.Credential {
	switch n.Way {
	case secret.WayQuery:
		return proxy.Credential{Query: n.Param}
	case secret.WayBasic:
		return proxy.Credential{Header: "Authorization", User: n.Param}
	case secret.WayHeader:
		return proxy.Credential{Header: n.Param}
	default:
		return proxy.Credential{Header: "Authorization", Prefix: "Bearer "}
	}
}
