package proxy

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"agentprocess/internal/policy"
)

// Credential is something the sandbox holds a placeholder for. The gateway
// swaps it in requests to Host, where no other credential is let through.
type Credential struct {
	Host string
	// Header carries it, such as "Authorization" or "X-Api-Key".
	Header string
	// Prefix stands before it in the header, "Bearer " or nothing.
	Prefix string
	// User makes the header HTTP's Basic, with this name before the colon.
	User string
	// Query is the parameter of the URL that carries it, instead of a header.
	Query string
	// Rules say which requests may carry it, none means all to Host.
	Rules       []policy.Rule
	Placeholder string
	Secret      policy.Secret

	given, real string      // what carries it, inside and outside
	where       *policy.Set // of Rules; nil when there are none
	masked      *echoed     // how a host may echo it and those before it
	withdrawn   bool        // it is there no more
}

// framing are headers that say where a request goes and how it is cut; they
// cannot carry a credential.
func framing() []string {
	return []string{
		"Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Expect", "Te", "Trailer", "Keep-Alive",
		"Proxy-Connection", "Proxy-Authorization", "Content-Type", "Content-Encoding", "Accept-Encoding", "Range",
	}
}

func (c Credential) validate() (Credential, error) {
	host, err := policy.NormalizeHost(c.Host)
	if err != nil {
		return c, fmt.Errorf("credential: %w", err)
	}
	c.Host, c.Header = host, http.CanonicalHeaderKey(c.Header)
	switch {
	case (c.Header == "") == (c.Query == ""):
		return c, fmt.Errorf("credential for %q: a header or a query parameter carries it", c.Host)
	case c.Header != "" && (!httpguts.ValidHeaderFieldName(c.Header) || slices.Contains(framing(), c.Header)):
		return c, fmt.Errorf("credential for %q: header %q is not supported", c.Host, c.Header)
	case c.User != "" && (c.Header != "Authorization" || c.Prefix != "" || strings.Contains(c.User, ":")):
		return c, fmt.Errorf("credential for %q: a user name is for Basic in the Authorization header, and has no colon", c.Host)
	case c.Placeholder == "" || c.Secret.Empty():
		return c, fmt.Errorf("credential for %q: no placeholder or no secret", c.Host)
	case c.Placeholder == c.Secret.Reveal():
		return c, fmt.Errorf("credential for %q: the placeholder is the secret", c.Host)
	case strings.ContainsAny(c.Secret.Reveal()+c.Prefix+c.User, "\r\n\x00"):
		return c, fmt.Errorf("credential for %q: line breaks in it", c.Host)
	}
	c.given, c.real = c.carry(c.Placeholder), c.carry(c.Secret.Reveal())
	if len(c.Rules) > 0 {
		c.where = policy.NewSet(c.Rules)
	}
	if c.masked == nil {
		c.masked = &echoed{}
	}
	c.masked.add(echoes(c.Secret.Reveal(), c.User))
	return c, nil
}

// carry is the value of the header or parameter that carries a secret.
func (c Credential) carry(secret string) string {
	if c.User != "" {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.User+":"+secret))
	}
	return c.Prefix + secret
}

// usable reports whether a request may carry the credential.
func (c *Credential) usable(req *http.Request, to destination) bool {
	return c.where == nil || c.where.Decide(policy.Request{
		Host: to.host, Port: to.port, Scheme: to.scheme,
		Method: req.Method, Path: req.URL.EscapedPath(), Query: req.URL.RawQuery,
	}).Allowed()
}

// swapQuery puts the secrets in the place of their placeholders.
func swapQuery(query string, credentials []Credential) string {
	for _, c := range credentials {
		if c.Query == "" {
			continue
		}
		parts := strings.SplitAfter(query, "&")
		for i, part := range parts {
			pair, found := strings.CutSuffix(part, "&")
			if name, value, ok := splitPair(pair); ok && name == c.Query && value == c.Placeholder {
				parts[i] = url.QueryEscape(name) + "=" + url.QueryEscape(c.Secret.Reveal())
				if found {
					parts[i] += "&"
				}
			}
		}
		query = strings.Join(parts, "")
	}
	return query
}

// splitPair reads one pair of a query.
func splitPair(pair string) (name, value string, ok bool) {
	name, value, _ = strings.Cut(pair, "=")
	name, err := url.QueryUnescape(name)
	if err != nil {
		return "", "", false
	}
	value, err = url.QueryUnescape(value)
	return name, value, err == nil
}

// elsewhere refuses a placeholder where its secret may not go.
func elsewhere(where string, to destination) *denied {
	return refusal(where + " holds the placeholder of a secret that no rule allows for this request to " + strconv.Quote(to.host))
}
