package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpproxy"

	"agentprocess/internal/policy"
)

// UpstreamConfig is how a person's environment and configuration name the
// proxies of their network, as curl and most others read it.
type UpstreamConfig struct {
	HTTP  string // for plain HTTP: HTTP_PROXY, or ALL_PROXY
	HTTPS string // for everything else: HTTPS_PROXY, or ALL_PROXY
	No    string // what is reached without: NO_PROXY
}

// Upstream is the way out of a network that has no other: its own proxies,
// behind our filter. A nil one is the direct way.
type Upstream struct {
	plain, other *proxyURL
	// uses says which proxy NO_PROXY leaves for a URL; nil means none.
	uses func(*url.URL) (*url.URL, error)
}

// proxyURL is one proxy. It never prints what it is asked with.
type proxyURL struct {
	scheme, host string
	port         uint16
	user         string
	password     policy.Secret
	written      policy.Secret // the password as it stands in the URL
}

// String implements fmt.Stringer, without the credential.
func (p *proxyURL) String() string {
	return p.scheme + "://" + net.JoinHostPort(p.host, strconv.Itoa(int(p.port)))
}

// web reports whether the proxy speaks HTTP.
func (p *proxyURL) web() bool { return p.scheme == schemeHTTP || p.scheme == schemeHTTPS }

// userinfo is what the proxy is asked with, nil when it wants nothing.
func (p *proxyURL) userinfo() *url.Userinfo {
	if p.user == "" {
		return nil
	}
	return url.UserPassword(p.user, p.password.Reveal())
}

const (
	schemeHTTP  = "http"
	schemeHTTPS = "https"
	schemeSOCKS = "socks5"
)

// ErrUpstream is wrapped by the errors of NewUpstream, which never hold the
// text that was given: it may have a password in it.
var ErrUpstream = errors.New("want http://, https:// or socks5://[USER:PASSWORD@]HOST[:PORT]")

// NewUpstream reads the proxies of a network. It gives nil when there are none.
func NewUpstream(c UpstreamConfig) (*Upstream, error) {
	plain, err := parseProxy(c.HTTP)
	if err != nil {
		return nil, fmt.Errorf("the proxy for plain HTTP: %w", err)
	}
	other, err := parseProxy(c.HTTPS)
	if err != nil {
		return nil, fmt.Errorf("the proxy for TLS and the rest: %w", err)
	}
	if plain == nil && other == nil {
		return nil, nil //nolint:nilnil // nil is the direct way, as documented
	}
	// Who is exempt is decided by the code that the rest of the Go world uses.
	const some = "http://some.invalid"
	exempt := httpproxy.Config{HTTPProxy: some, HTTPSProxy: some, NoProxy: c.No}
	return &Upstream{plain: plain, other: other, uses: exempt.ProxyFunc()}, nil
}

func parseProxy(text string) (*proxyURL, error) {
	if text = strings.TrimSpace(text); text == "" {
		return nil, nil //nolint:nilnil // no proxy
	}
	if !strings.Contains(text, "://") {
		text = schemeHTTP + "://" + text
	}
	u, err := url.Parse(text)
	if err != nil { // what it says would hold the text
		return nil, ErrUpstream
	}
	p := &proxyURL{scheme: u.Scheme, host: u.Hostname()}
	switch p.scheme {
	case schemeHTTP:
		p.port = 80
	case schemeHTTPS:
		p.port = 443
	case schemeSOCKS, "socks5h": // names go by name either way
		p.scheme, p.port = schemeSOCKS, 1080
	default:
		return nil, ErrUpstream
	}
	if given := u.Port(); given != "" {
		n, err := strconv.ParseUint(given, 10, 16)
		if err != nil || n == 0 {
			return nil, ErrUpstream
		}
		p.port = uint16(n)
	}
	if p.host == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return nil, ErrUpstream
	}
	if u.User != nil {
		password, _ := u.User.Password()
		p.user, p.password = u.User.Username(), policy.NewSecret(password)
		_, text, _ = strings.Cut(text, "://")
		_, text, _ = strings.Cut(text[:strings.LastIndex(text, "@")], ":")
		p.written = policy.NewSecret(text)
	}
	return p, nil
}

// For is the proxy that a URL is reached through, nil for the direct way. It is
// what [http.Transport] asks.
func (u *Upstream) For(target *url.URL) (*url.URL, error) {
	if u == nil {
		return nil, nil //nolint:nilnil // the direct way
	}
	p := u.through(target)
	if p == nil {
		return nil, nil //nolint:nilnil // the direct way
	}
	return &url.URL{Scheme: p.scheme, Host: net.JoinHostPort(p.host, strconv.Itoa(int(p.port))), User: p.userinfo()}, nil
}

func (u *Upstream) through(target *url.URL) *proxyURL {
	if u == nil {
		return nil
	}
	p := u.other
	if target.Scheme == schemeHTTP {
		p = u.plain
	}
	if p == nil {
		return nil
	}
	if left, err := u.uses(target); left == nil || err != nil {
		return nil
	}
	return p
}

// connection is the proxy for a connection: port 80 is for plain HTTP, all
// others go as TLS does.
func (u *Upstream) connection(host string, port uint16) *proxyURL {
	target := &url.URL{Scheme: schemeHTTPS, Host: net.JoinHostPort(host, strconv.Itoa(int(port)))}
	if port == 80 {
		target.Scheme = schemeHTTP
	}
	return u.through(target)
}

// Names are the proxies there are, without what they are asked with.
func (u *Upstream) Names() []string {
	if u == nil {
		return nil
	}
	var names []string
	for _, p := range []*proxyURL{u.plain, u.other} {
		if p != nil {
			names = append(names, p.String())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Secrets are the passwords of the proxies, also as they stand in their URLs.
func (u *Upstream) Secrets() []policy.Secret {
	if u == nil {
		return nil
	}
	var secrets []policy.Secret
	for _, p := range []*proxyURL{u.plain, u.other} {
		if p != nil && !p.password.Empty() {
			secrets = append(secrets, p.password, p.written)
		}
	}
	return secrets
}
