package proxy

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// credentialHeaders are the request headers by which services know who asks.
func credentialHeaders() []string {
	return []string{
		"Authorization", "Proxy-Authorization", "X-Api-Key", "Api-Key", "Apikey", "X-Apikey",
		"X-Auth-Token", "X-Access-Token", "X-Goog-Api-Key", "X-Amz-Security-Token", "X-Auth", "Cookie", "Cookie2",
	}
}

// credentialParameters are the query parameters that do the same.
func credentialParameters() []string {
	return []string{
		"key", "api_key", "api-key", "apikey", "x-api-key", "access_token", "accesstoken", "auth", "auth_token",
		"authorization", "token", "id_token", "bearer", "client_secret", "secret", "password", "sig", "signature",
		"x-amz-signature", "x-amz-credential", "x-amz-security-token", "x-goog-signature", "x-goog-credential",
	}
}

// swap refuses a request to an opened host that carries a credential other
// than the placeholder: with somebody else's key, an allowed service is a way
// out. The swap itself is made on the outgoing copy, see rewrite.
func (s *Server) swap(req *http.Request, to destination) *denied {
	if len(to.opened) == 0 {
		return nil
	}
	for name, values := range req.Header {
		if name == "Sec-Websocket-Protocol" && smuggles(values) {
			return foreign("the "+name+" header", to.host)
		}
		if !carries(name, to.opened) {
			continue
		}
		c := ours(to.opened, name, values)
		if c == nil {
			return foreign("the "+name+" header", to.host)
		}
		switch {
		case c.withdrawn:
			return takenBack("the "+name+" header", to)
		case !c.usable(req, to):
			return elsewhere("the "+name+" header", to)
		}
	}
	if d := swapsQuery(req, to); d != nil {
		return d
	}
	for name := range req.Trailer {
		if carries(name, to.opened) {
			return foreign("the "+name+" trailer", to.host)
		}
	}
	return nil
}

// swapsQuery does for the query what swap does.
func swapsQuery(req *http.Request, to destination) *denied {
	for _, pair := range queryOf(req.URL) {
		name, value, ok := splitPair(pair)
		if !ok {
			return refusal("the query of the URL is malformed")
		}
		what := "the query parameter " + strconv.Quote(printable(name))
		at := slices.IndexFunc(to.opened, func(c Credential) bool { return c.Query != "" && strings.EqualFold(c.Query, name) })
		switch {
		case at >= 0 && (name != to.opened[at].Query || value != to.opened[at].Placeholder || strings.Contains(req.URL.RawQuery, ";")):
			return foreign(what, to.host)
		case at >= 0 && to.opened[at].withdrawn:
			return takenBack(what, to)
		case at >= 0 && !to.opened[at].usable(req, to):
			return elsewhere(what, to)
		case at < 0 && slices.Contains(credentialParameters(), strings.ToLower(name)):
			return foreign(what, to.host)
		}
	}
	return nil
}

// carries reports whether a header of this name carries a credential. Servers
// that come from CGI take '_' for '-'.
func carries(name string, credentials []Credential) bool {
	plain := strings.ReplaceAll(name, "_", "-")
	return slices.ContainsFunc(credentialHeaders(), func(h string) bool { return strings.EqualFold(h, plain) }) ||
		slices.ContainsFunc(credentials, func(c Credential) bool {
			return c.Header != "" && strings.EqualFold(strings.ReplaceAll(c.Header, "_", "-"), plain)
		})
}

// smuggles reports whether a websocket subprotocol is a key in disguise, which
// services take from browsers because those can set no other header.
func smuggles(values []string) bool {
	all := strings.ToLower(strings.Join(values, ","))
	return slices.ContainsFunc([]string{"key", "bearer", "token", "auth", "secret"}, func(word string) bool { return strings.Contains(all, word) })
}

// ours is the credential whose placeholder a header holds, nil when it holds
// anything else.
func ours(credentials []Credential, name string, values []string) *Credential {
	for i := range credentials {
		if c := &credentials[i]; c.Header == name && len(values) == 1 && values[0] == c.given {
			return c
		}
	}
	return nil
}

func foreign(where, host string) *denied {
	return refusal(where + " holds a credential that is not this run's; requests to " + strconv.Quote(host) + " may carry only the placeholder that the sandbox was given")
}

// masking keeps secrets that a host echoes out of the headers that go back,
// informational responses included.
type masking struct {
	http.ResponseWriter
	credentials []Credential
}

// WriteHeader implements http.ResponseWriter.
func (m *masking) WriteHeader(status int) {
	mask(m.Header(), m.credentials)
	m.ResponseWriter.WriteHeader(status)
}

// Unwrap is how http.ResponseController finds Flush and Hijack.
func (m *masking) Unwrap() http.ResponseWriter { return m.ResponseWriter }
