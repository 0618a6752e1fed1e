package service

import (
	"fmt"
	"slices"
	"strings"

	"agentprocess/internal/policy"
	"agentprocess/internal/proxy"
	"agentprocess/internal/sandbox"
)

// noProxy is what `proxy` in the configuration says to ignore the environment's.
const noProxy = "none"

// upstream is the way out of the host's network: proxies that the person's
// configuration or environment names. They are behind the filter, and neither
// they nor what they are asked with is known inside.
func (s *Service) upstream() (*proxy.Upstream, error) {
	if s.Config.Proxy == noProxy {
		return nil, nil //nolint:nilnil // nil is the direct way
	}
	cfg := proxy.UpstreamConfig{HTTP: s.Config.Proxy, HTTPS: s.Config.Proxy, No: s.Config.NoProxy}
	from := "`proxy` in your config.toml"
	if s.Config.Proxy == "" {
		from = "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY"
		cfg.HTTP, cfg.HTTPS = s.either("http_proxy", "all_proxy"), s.either("https_proxy", "all_proxy")
	}
	if cfg.No == "" {
		cfg.No = s.either("no_proxy")
	}
	up, err := proxy.NewUpstream(cfg)
	if err != nil {
		return nil, sandbox.Fail(sandbox.CodeUsage, err, "mend "+from)
	}
	return up, nil
}

// either is the first variable that is set, in small letters or in capitals.
func (s *Service) either(names ...string) string {
	for _, name := range names {
		for _, spelt := range []string{name, strings.ToUpper(name)} {
			if value, ok := s.lookup(spelt); ok && value != "" {
				return value
			}
		}
	}
	return ""
}

// leaveBy notes the way out, so that it is seen and recorded.
func (s *Service) leaveBy(c *checked) (err error) {
	if c.upstream, err = s.upstream(); err != nil {
		return err
	}
	if names := c.upstream.Names(); len(names) > 0 {
		c.notices = append(c.notices, "connections leave through the proxy of this network, which also resolves names: "+strings.Join(names, ", "))
	}
	return nil
}

// refuseRevealed refuses to put inside by --env what is bound as a secret, or
// what the proxy of the network is asked with.
func (c *checked) refuseRevealed() error {
	for _, kv := range c.env {
		name, value, _ := strings.Cut(kv, "=")
		within := func(s policy.Secret) bool { return strings.Contains(value, s.Reveal()) }
		switch {
		case slices.ContainsFunc(c.secretValues, within):
			return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("--env %s holds a secret that is bound to hosts: the agent would have it", name),
				"leave it out: the agent has a placeholder in a variable")
		case slices.ContainsFunc(c.upstream.Secrets(), within):
			return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("--env %s holds the password of your network's proxy: the agent would have it", name),
				"leave it out: inside, the gateway is the proxy, and it uses yours")
		}
	}
	return nil
}
