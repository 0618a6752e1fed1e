package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/policy"
	"agentprocess/internal/secret"
)

const (
	// renewEvery is how often a run looks whether a credential of its was
	// replaced on the host: a look is a system call for each.
	renewEvery = 500 * time.Millisecond
	// askAgain is how long after a command gave nothing new it is run again at
	// the earliest; each time in vain doubles that, up to askSeldom. A host that
	// refuses is easily had by who is inside, and a command may ask a person.
	askAgain  = 30 * time.Second
	askSeldom = time.Hour
)

// source is where a credential of a run rests.
type source struct {
	what        string // as a person knows it
	placeholder string
	hosts       []string
	paths       []string // files that change with it
	command     bool     // what gives it is asked again when a host refuses it
	get         func(ctx context.Context) (policy.Secret, error)

	value  policy.Secret // the one in force
	stamps []stamp       // of paths, when it was looked up
	until  time.Time     // a command is not run before
	wait   time.Duration // how long until was from when it was set
	since  time.Time     // when value came into force
}

// stamp tells one state of a file from another.
type stamp struct {
	size    int64
	changed time.Time
	there   bool
}

func stampsOf(paths []string) []stamp {
	out := make([]stamp, len(paths))
	for i, path := range paths {
		if info, err := os.Stat(path); err == nil {
			out[i] = stamp{info.Size(), info.ModTime(), true}
		}
	}
	return out
}

// errTakenBack is that a secret is not to be used by this run any more.
var errTakenBack = errors.New("it was taken back")

// agentSource is where the credential of the agent's API rests; nothing when it
// came from a variable, which does not change.
func (s *Service) agentSource(cred secret.Credential, placeholder, host string) []*source {
	if cred.Source != secret.SourceStored {
		return nil
	}
	store := s.secrets()
	return []*source{{
		what: "credential of the agent", placeholder: placeholder, hosts: []string{host}, paths: []string{store.CredentialFile()}, value: cred.Value,
		get: func(context.Context) (policy.Secret, error) {
			now, err := store.Load()
			switch {
			case errors.Is(err, secret.ErrMissing):
				return policy.Secret{}, errTakenBack
			case err == nil && now.Kind != cred.Kind:
				return policy.Secret{}, fmt.Errorf("it is of another kind now (%s, it was %s), which counts when the agent is resumed", now.Kind, cred.Kind)
			}
			return now.Value, err
		},
	}}
}

// namedSource is where a secret of the person's rests, which is looked up next.
func (s *Service) namedSource(n secret.Named, placeholder string) *source {
	store := s.secrets()
	from := &source{
		what: fmt.Sprintf("secret %q", n.Name), placeholder: placeholder, hosts: n.Hosts, paths: []string{store.NamedFile(n.Name)},
		command: n.Origin == secret.OriginCommand,
	}
	if n.Origin == secret.OriginFile {
		from.paths = append(from.paths, n.From)
	}
	from.stamps = stampsOf(from.paths)
	from.get = func(ctx context.Context) (policy.Secret, error) {
		now, err := store.Named(n.Name)
		elsewhere := func(host string) bool { return !slices.Contains(now.Hosts, host) }
		switch {
		case errors.Is(err, secret.ErrNoSecret):
			return policy.Secret{}, errTakenBack
		case err != nil:
			return policy.Secret{}, err
		case now.Way != n.Way || now.Param != n.Param || slices.ContainsFunc(n.Hosts, elsewhere):
			return policy.Secret{}, fmt.Errorf("%w: it is for other hosts now, or travels in another way, which counts when the agent is resumed", errTakenBack)
		}
		return s.secretValue(ctx, now)
	}
	return from
}

// renewals bring what is replaced on the host to a run that goes on.
type renewals struct {
	sources []*source
	renew   func(placeholder string, value policy.Secret) error
	record  func(audit.Payload)
	now     func() time.Time
	refused chan refusal
}

// refusal is a request that a host refused, and when it began.
type refusal struct {
	host  string
	began time.Time
}

func newRenewals(sources []*source, renew func(string, policy.Secret) error, record func(audit.Payload), now func() time.Time) *renewals {
	return &renewals{sources: sources, renew: renew, record: record, now: now, refused: make(chan refusal, askedQueue)}
}

// saw takes note of a request that a host refused for its credential. It never
// waits.
func (r *renewals) saw(q audit.Request) {
	const unauthorized = 401
	if r == nil || q.Status != unauthorized || q.Verdict != audit.Allow {
		return
	}
	select {
	case r.refused <- refusal{q.Host, r.now().Add(-q.Duration)}: // it may wait here while a command runs
	default: // there are enough already
	}
}

// watch looks after all sources until ctx ends.
func (r *renewals) watch(ctx context.Context) {
	if r == nil || len(r.sources) == 0 {
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	refused := map[*source]chan refusal{}
	for _, s := range r.sources {
		own := make(chan refusal, 1)
		refused[s] = own
		wg.Go(func() { r.follow(ctx, s, own) }) // a command may take its time
	}
	for {
		select {
		case <-ctx.Done():
			return
		case q := <-r.refused:
			for s, own := range refused {
				if s.command && slices.Contains(s.hosts, q.host) {
					select {
					case own <- q:
					default:
					}
				}
			}
		}
	}
}

// follow looks after one source.
func (r *renewals) follow(ctx context.Context, s *source, refused <-chan refusal) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if stamps := stampsOf(s.paths); !slices.Equal(stamps, s.stamps) {
				s.stamps = stamps
				r.look(ctx, s)
			}
		case q := <-refused:
			r.again(ctx, s, q)
		}
	}
}

// again asks what gives a secret for another one, when a host refused a request
// with the one that is in force and it did not give the same a while ago.
func (r *renewals) again(ctx context.Context, s *source, q refusal) {
	if r.now().Before(s.until) || q.began.Before(s.since) {
		return
	}
	if r.look(ctx, s) {
		s.wait = 0
		return
	}
	s.wait = min(max(askAgain, 2*s.wait), askSeldom)
	s.until = r.now().Add(s.wait)
}

// look looks a secret up again and says whether it is another one.
func (r *renewals) look(ctx context.Context, s *source) bool {
	value, err := s.get(ctx)
	switch {
	case ctx.Err() != nil:
		return false
	case errors.Is(err, errTakenBack):
		value = policy.Secret{}
	case err != nil:
		r.warn("the %s stays as it is for this run: %v", s.what, err)
		return false
	}
	if value.Equal(s.value) {
		return false
	}
	if failed := r.renew(s.placeholder, value); failed != nil {
		r.warn("the %s stays as it is for this run: %v", s.what, failed)
		return false
	}
	s.value, s.since = value, r.now()
	if err != nil {
		r.warn("the %s is not used any more: %v", s.what, err)
		return true
	}
	r.record(audit.Notice{Level: audit.Info, Text: fmt.Sprintf("the %s is another one on the host, and counts from now on", s.what)})
	return true
}

func (r *renewals) warn(format string, args ...any) {
	r.record(audit.Notice{Level: audit.Warn, Text: fmt.Sprintf(format, args...)})
}
