package proxy

import (
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"agentprocess/internal/policy"
)

// maxEchoes is how many forms of a credential and those before it are masked: a
// secret has about twelve.
const maxEchoes = 96

// errNoPlaceholder is that nothing stands in for a secret that is renewed.
var errNoPlaceholder = errors.New("no credential has this placeholder")

// credentialsOf are the credentials of a host as they are now, which who has
// them keeps as they are.
func (s *Server) credentialsOf(host string) []Credential { return (*s.opened.Load())[host] }

// Renew puts another secret behind a placeholder, for every request from now
// on; with an empty one those that hold the placeholder are refused. What hosts
// send back of the secrets before it is masked as ever.
func (s *Server) Renew(placeholder string, value policy.Secret) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, found := map[string][]Credential{}, false
	for host, list := range *s.opened.Load() {
		next[host] = slices.Clone(list)
		for i, c := range list {
			if c.Placeholder != placeholder {
				continue
			}
			found = true
			var err error
			if next[host][i], err = c.renewed(value); err != nil {
				return err
			}
		}
	}
	if !found {
		return errNoPlaceholder
	}
	s.opened.Store(&next)
	return nil
}

// renewed is a credential with another secret, or taken back.
func (c Credential) renewed(value policy.Secret) (Credential, error) {
	if c.withdrawn = value.Empty(); c.withdrawn {
		return c, nil
	}
	c.Secret = value
	return c.validate()
}

// echoed are the forms in which hosts may send a credential back. They grow when
// it is renewed, also for responses that have begun.
type echoed struct {
	mu    sync.Mutex
	byAge []string // the newest first
	forms atomic.Pointer[[][]byte]
}

// add adds forms; the oldest of too many go.
func (e *echoed) add(fresh []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, form := range e.byAge {
		if !slices.Contains(fresh, form) {
			fresh = append(fresh, form)
		}
	}
	e.byAge = fresh[:min(len(fresh), maxEchoes)]
	forms := make([][]byte, len(e.byAge))
	for i, form := range e.byAge {
		forms[i] = []byte(form)
	}
	slices.SortStableFunc(forms, func(a, b []byte) int { return len(b) - len(a) }) // others may be in the longest
	e.forms.Store(&forms)
}

// all are the forms now, the longest first.
func (e *echoed) all() [][]byte {
	if forms := e.forms.Load(); forms != nil {
		return *forms
	}
	return nil
}

// takenBack refuses a placeholder whose secret is there no more.
func takenBack(where string, to destination) *denied {
	return refusal(where + " holds the placeholder of a secret for " + strconv.Quote(to.host) + " that was taken back on the host")
}
