package proxy

import (
	"net/http"
	"net/url"
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
		if !carries(name) {
			continue
		}
		if len(values) != 1 || !ours(to.opened, name, values[0]) {
			return foreign("the "+name+" header", to.host)
		}
	}
	for _, pair := range queryOf(req.URL) {
		name, _, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil {
			return refusal("the query of the URL is malformed")
		}
		if slices.Contains(credentialParameters(), strings.ToLower(plain)) {
			return foreign("the query parameter "+strconv.Quote(printable(plain)), to.host)
		}
	}
	for name := range req.Trailer {
		if carries(name) {
			return foreign("the "+name+" trailer", to.host)
		}
	}
	return nil
}

// carries reports whether a header of this name carries a credential. Servers
// that come from CGI take '_' for '-'.
func carries(name string) bool {
	plain := strings.ReplaceAll(name, "_", "-")
	return slices.ContainsFunc(credentialHeaders(), func(h string) bool { return strings.EqualFold(h, plain) })
}

// smuggles reports whether a websocket subprotocol is a key in disguise, which
// services take from browsers because those can set no other header.
func smuggles(values []string) bool {
	all := strings.ToLower(strings.Join(values, ","))
	return slices.ContainsFunc([]string{"key", "bearer", "token", "auth", "secret"}, func(word string) bool { return strings.Contains(all, word) })
}

func ours(credentials []Credential, name, value string) bool {
	return slices.ContainsFunc(credentials, func(c Credential) bool {
		return c.Header == name && value == c.Prefix+c.Placeholder
	})
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

// mask puts the placeholder back where the secret is.
func mask(header http.Header, credentials []Credential) {
	for _, values := range header {
		for i, value := range values {
			for _, c := range credentials {
				value = strings.ReplaceAll(value, c.Secret.Reveal(), c.Placeholder)
			}
			values[i] = value
		}
	}
}
