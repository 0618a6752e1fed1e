package secret

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// State says what a credential is worth.
type State string

// The states of a credential.
const (
	StateValid State = "valid"
	// StateExpiring is valid, with less than ExpiringWithin left.
	StateExpiring State = "expiring"
	// StateExpired is refused by the API: ended, revoked or wrong.
	StateExpired State = "expired"
	StateMissing State = "missing"
	// StateUnverified could not be found out; Reason says why.
	StateUnverified State = "unverified"
)

const (
	// ExpiringWithin is how long before its end a credential is expiring.
	ExpiringWithin = 14 * 24 * time.Hour
	// remembered is how long an answer of the API is good for.
	remembered = time.Hour
	// askTimeout bounds a question to the API.
	askTimeout = 10 * time.Second
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 64 << 10
)

// Status is what is known of a credential.
type Status struct {
	State   State     `json:"state"`
	Kind    Kind      `json:"kind,omitempty"`
	Source  string    `json:"source,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Stored  time.Time `json:"stored,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	Checked time.Time `json:"checked,omitzero"`
}

// Checker finds out what a credential is worth.
type Checker struct {
	Client *http.Client
	// Cache is a file to remember answers in; none when empty.
	Cache string
	// UID owns the file.
	UID int
	Now func() time.Time
	// Fresh asks although the answer is remembered.
	Fresh bool
}

// Status asks the API at base what it thinks of the credential. A zero
// credential is missing.
func (k Checker) Status(ctx context.Context, c Credential, base string) Status {
	s := Status{Kind: c.Kind, Source: c.Source, Stored: c.Stored, Expires: c.Expires()}
	if c.Value.Empty() {
		s.State, s.Reason = StateMissing, ErrMissing.Error()
		return s
	}
	v, ok := verdict{}, false
	if !k.Fresh {
		v, ok = k.recall(c, base)
	}
	if !ok {
		v = verdict{Key: cacheKey(c, base), Checked: k.Now().UTC()}
		v.State, v.Reason = k.ask(ctx, c, base)
		k.remember(v)
	}
	s.State, s.Reason, s.Checked = v.State, v.Reason, v.Checked
	if left := s.Expires.Sub(k.Now()); s.State == StateValid && !s.Expires.IsZero() && left < ExpiringWithin {
		s.State = StateExpiring
		s.Reason = fmt.Sprintf("it ends in %d days", max(0, int(left.Hours()/24)))
	}
	return s
}

// verdict is a remembered answer.
type verdict struct {
	Key     string    `json:"key"`
	State   State     `json:"state"`
	Reason  string    `json:"reason,omitempty"`
	Checked time.Time `json:"checked"`
}

// cacheKey names a credential at a server without saying either. The value is
// random and long, so its hash gives nothing away.
func cacheKey(c Credential, base string) string {
	sum := sha256.Sum256([]byte(string(c.Kind) + "\x00" + base + "\x00" + c.Value.Reveal()))
	return hex.EncodeToString(sum[:])
}

// recall finds the last answer. Only a good one is remembered: a person who has
// just repaired a bad one must not be told of the past.
func (k Checker) recall(c Credential, base string) (verdict, bool) {
	if k.Cache == "" {
		return verdict{}, false
	}
	s := Store{Dir: filepath.Dir(k.Cache), UID: k.UID}
	data, err := s.read(filepath.Base(k.Cache))
	if err != nil {
		return verdict{}, false
	}
	var v verdict
	if json.Unmarshal(data, &v) != nil || v.Key != cacheKey(c, base) || v.State != StateValid {
		return verdict{}, false
	}
	age := k.Now().Sub(v.Checked)
	return v, age >= 0 && age < remembered
}

func (k Checker) remember(v verdict) {
	if k.Cache == "" || v.State == StateUnverified {
		return
	}
	if v.State != StateValid {
		// An old good answer must not outlive the credential.
		_ = os.Remove(k.Cache) // most often there is none
		return
	}
	data, err := json.Marshal(v)
	if err != nil || (Store{Dir: filepath.Dir(k.Cache), UID: k.UID}).prepare() != nil {
		return // the API is asked again next time
	}
	_ = writePrivate(k.Cache, data, k.UID) // as above
}

// ask sends the cheapest request there is: it costs no tokens and names no
// model.
func (k Checker) ask(ctx context.Context, c Credential, base string) (State, string) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/v1/models?limit=1", http.NoBody)
	if err != nil {
		return StateUnverified, "the API's base URL is not one"
	}
	name, prefix := c.Kind.Header()
	req.Header.Set(name, prefix+c.Value.Reveal())
	req.Header.Set("Anthropic-Version", "2023-06-01")
	if c.Kind == KindOAuth {
		req.Header.Set("Anthropic-Beta", "oauth-2025-04-20")
	}
	client := *k.Client
	// A redirect would take the credential to another host.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the URL
		}
		return StateUnverified, fmt.Sprintf("the API could not be asked: %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return StateUnverified, "the API's answer broke off"
	}
	return judge(res.StatusCode, message(body))
}

// judge reads an answer. A refusal for want of scope or for too many requests
// is given only to who was recognised.
func judge(status int, message string) (State, string) {
	low := strings.ToLower(message)
	switch {
	case status == http.StatusOK || status == http.StatusTooManyRequests:
		return StateValid, ""
	case status == http.StatusForbidden && strings.Contains(low, "scope"):
		return StateValid, ""
	case status == http.StatusUnauthorized,
		status == http.StatusForbidden && (strings.Contains(low, "revoked") || strings.Contains(low, "expired") || strings.Contains(low, "not allowed for this organization")):
		return StateExpired, fmt.Sprintf("the API refuses it with %d: %s", status, message)
	default:
		return StateUnverified, fmt.Sprintf("the API answered %d: %s", status, message)
	}
}

// message is what an error of the API says, printable and short.
func message(body []byte) string {
	var e struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil || e.Error.Message == "" {
		return "no reason given"
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, e.Error.Message)
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "..."
	}
	return text
}
