package secret

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"agentprocess/internal/policy"
)

// Kind says what a credential is, and so how it travels.
type Kind string

// The kinds of credentials.
const (
	// KindOAuth is the long-lived token of `claude setup-token`.
	KindOAuth Kind = "oauth"
	// KindAPIKey is a key of the API's console.
	KindAPIKey Kind = "api-key"
	// KindBearer is a token of somebody's own gateway to the API.
	KindBearer Kind = "bearer"
)

const (
	oauthPrefix = "sk-ant-oat01-"
	keyPrefix   = "sk-ant-api03-"
	// maxValue bounds a credential, in bytes.
	maxValue = 8 << 10
)

// SourceStored is the source of a credential that is stored.
const SourceStored = "stored"

// Lifetime is how long a token of `claude setup-token` lives.
const Lifetime = 365 * 24 * time.Hour

// Credential is one way to be let in by the API.
type Credential struct {
	Kind  Kind
	Value policy.Secret
	// Stored is when it was stored; zero when it comes from the environment.
	Stored time.Time
	// Source says where it comes from: SourceStored, or a variable's name.
	Source string
}

// New makes a credential of what a person typed or pasted.
func New(kind Kind, value string, now time.Time) (Credential, error) {
	value = strings.TrimSpace(value)
	switch {
	case value == "":
		return Credential{}, errors.New("the credential is empty")
	case len(value) > maxValue:
		return Credential{}, fmt.Errorf("the credential is over %d bytes long", maxValue)
	case strings.ContainsFunc(value, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsGraphic(r) || r == ' ' }):
		return Credential{}, errors.New("the credential holds a space or a character that cannot be sent")
	case kind == KindAPIKey && strings.HasPrefix(value, oauthPrefix):
		return Credential{}, errors.New("this is a token of `claude setup-token`, not an API key")
	case kind == KindOAuth && strings.HasPrefix(value, keyPrefix):
		return Credential{}, errors.New("this is an API key, not a token of `claude setup-token`")
	case kind != KindAPIKey && kind != KindOAuth && kind != KindBearer:
		return Credential{}, fmt.Errorf("credential of kind %q", kind)
	}
	return Credential{Kind: kind, Value: policy.NewSecret(value), Stored: now.UTC()}, nil
}

// Expires is when it ends by itself; zero when that is not known.
func (c Credential) Expires() time.Time {
	if c.Kind != KindOAuth || c.Stored.IsZero() {
		return time.Time{}
	}
	return c.Stored.Add(Lifetime)
}

// Env is the variable in which Claude Code takes it.
func (k Kind) Env() string {
	switch k {
	case KindAPIKey:
		return "ANTHROPIC_API_KEY"
	case KindBearer:
		return "ANTHROPIC_AUTH_TOKEN"
	default:
		return "CLAUDE_CODE_OAUTH_TOKEN"
	}
}

// Header is the header of a request that carries it, and what stands before it
// there.
func (k Kind) Header() (name, prefix string) {
	if k == KindAPIKey {
		return "X-Api-Key", ""
	}
	return "Authorization", "Bearer "
}

// StandIn is a value of the same shape that opens nothing: what an agent holds
// in the place of the credential. It is another one each time.
func (c Credential) StandIn() string {
	filler := strings.Repeat("x", 16) + rand.Text() + rand.Text() + rand.Text()
	switch c.Kind {
	case KindAPIKey:
		return keyPrefix + "agentprocess-" + filler + "AA"
	case KindBearer:
		return "agentprocess-" + filler
	default:
		return oauthPrefix + "agentprocess-" + filler + "AA"
	}
}
