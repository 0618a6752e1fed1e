package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"agentprocess/internal/approval"
	"agentprocess/internal/audit"
	"agentprocess/internal/policy"
)

const (
	// changesEvery is how often a run looks whether a person has changed what it
	// may reach: a look is one system call.
	changesEvery = 200 * time.Millisecond
	// maxAsked is how many different denials of one run are put to a person.
	maxAsked = 200
	// askedQueue is how many wait to be written down.
	askedQueue = 64
	// askTime bounds the writing down of one.
	askTime = 5 * time.Second
)

// enforcer is what a change is put into force by; *proxy.Server is one.
type enforcer interface {
	// SetPolicy changes what may be reached, and says how many connections
	// under way that cut.
	SetPolicy(set *policy.Set) int
	// Opens reports whether the TLS of all names of a rule can be opened.
	Opens(r policy.Rule) bool
}

// liveEgress is what a run may reach while it goes on.
type liveEgress struct {
	enforce enforcer
	record  func(audit.Payload)
	keep    func(ctx context.Context, add policy.Rule, gone []policy.Rule) error // for when the run is resumed
	changes *changes

	turn     sync.Mutex    // over what follows, and what is put into force
	rules    []policy.Rule // of the gateway now
	learning bool          // what no line is about is let through

	book  approval.Book
	about approval.Question // what all questions of the run have in common
	now   func() time.Time
	ask   chan audit.Request

	mu    sync.Mutex
	asked map[string]bool // what a person was asked already
	fresh []audit.Request // denials that the agent was not told of by a hook
	more  int             // how many there were besides
}

// newLiveEgress makes what changes a run's gateway, which has not begun yet.
func (x *session) newLiveEgress(enforce enforcer) (*liveEgress, error) {
	file, err := newChanges(x.dir.path)
	if err != nil {
		return nil, err
	}
	return &liveEgress{
		enforce: enforce, record: x.rec.Record, changes: file, rules: slices.Clone(x.chk.rules), book: x.svc.Store, now: x.svc.Now,
		keep: func(ctx context.Context, add policy.Rule, gone []policy.Rule) error {
			return x.svc.keepRule(ctx, x.run.ID, add, gone)
		},
		about: approval.Question{Run: x.run.ID, Name: x.run.Name, Repository: x.run.Repository},
		ask:   make(chan audit.Request, askedQueue), asked: map[string]bool{},
	}, nil
}

// close lets go of the file; again does nothing.
func (l *liveEgress) close() error {
	if l == nil || l.changes == nil {
		return nil
	}
	file := l.changes
	l.changes = nil
	return file.close()
}

// keepRule has a resumed agent start with a line, too.
func (s *Service) keepRule(ctx context.Context, run string, add policy.Rule, gone []policy.Rule) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
	defer cancel()
	data, err := s.Store.Launch(ctx, run)
	if err != nil {
		return err
	}
	var l launch
	if err := json.Unmarshal(data, &l); err != nil {
		return fmt.Errorf("how run %q was started: %w", run, err)
	}
	l.Allow = slices.DeleteFunc(l.Allow, func(have string) bool {
		return have == add.String() || slices.ContainsFunc(gone, func(g policy.Rule) bool { return g.String() == have })
	})
	l.Allow = append(l.Allow, add.String())
	if data, err = json.Marshal(l); err != nil {
		return fmt.Errorf("how run %q was started: %w", run, err)
	}
	return s.Store.PutLaunch(ctx, run, data)
}

// watch puts changes into force until ctx ends.
func (l *liveEgress) watch(ctx context.Context) {
	tick := time.NewTicker(changesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-l.ask:
			l.put(ctx, r)
		case <-tick.C:
			lines, err := l.changes.next()
			if err != nil {
				l.record(audit.Notice{Level: audit.Warn, Text: fmt.Sprintf("what the agent may reach stays as it is: %v", err)})
				l.changes.at = maxChanges // said once; nothing more is read
				return
			}
			for _, line := range lines {
				l.take(ctx, line)
			}
		}
	}
}

// take puts one line of the file into force. One that is wrong changes nothing.
func (l *liveEgress) take(ctx context.Context, line []byte) {
	c, r, err := parseChange(line)
	if err == nil {
		r = c.mark(r)
		err = l.possible(r)
	}
	done := audit.EgressChange{ID: c.ID, Action: c.Action, Scope: string(c.Scope), By: c.By, Asked: c.At}
	if err != nil {
		done.Error = err.Error()
		if c.ID == "" {
			done.Error = fmt.Sprintf("a line of the run's changes counts for nothing: %v", err)
		}
		l.record(done)
		return
	}
	l.turn.Lock()
	defer l.turn.Unlock()
	rules, gone := withdrawn(l.rules, r)
	if !slices.ContainsFunc(rules, func(have policy.Rule) bool {
		return have.Layer == policy.LayerApproval && have.String() == r.String() && c.Scope != ScopeOnce
	}) {
		rules = append(rules, r)
		done.Rule = recorded([]policy.Rule{r})[0]
	}
	l.rules = rules
	done.Gone, done.Cut = recorded(gone), l.enforce.SetPolicy(l.set())
	if c.Scope != ScopeOnce {
		if err := l.keep(ctx, r, gone); err != nil {
			l.record(audit.Notice{Level: audit.Warn, Text: fmt.Sprintf("the change counts, but not for a resumed agent: %v", err)})
		}
	}
	l.record(done)
}

// set is what is put into force.
func (l *liveEgress) set() *policy.Set {
	set := policy.NewSet(l.rules)
	if l.learning {
		return set.Learning()
	}
	return set
}

// learn lets through what no line is about, from now on: the proof that nothing
// gets out is over.
func (l *liveEgress) learn() {
	l.turn.Lock()
	defer l.turn.Unlock()
	l.learning = true
	l.enforce.SetPolicy(l.set())
}

// mark says in a rule where it is from. A line that counts once has a budget of
// one, and a name of its own, so that nothing was used of it.
func (c change) mark(r policy.Rule) policy.Rule {
	r.Layer, r.Line = policy.LayerApproval, 0
	r.Source = fmt.Sprintf("%s, %s, %s", c.By, when(c.At), c.ID)
	if c.Scope == ScopeOnce {
		r.Budget.Requests = 1
	}
	r.Text = r.String()
	return r
}

// errNotOpened is for a rule that judges requests in TLS that is not opened.
var errNotOpened = errors.New("to judge its requests its TLS would have to be opened, which can only be said when a run starts: allow the whole host, or `agent-process resume` with --allow")

// errSecretLive is for a rule that names a secret.
var errSecretLive = errors.New("a secret is bound to its hosts when a run starts: `agent-process resume` with --allow")

// possible says why a rule cannot be put into force while the run goes on.
func (l *liveEgress) possible(r policy.Rule) error {
	switch {
	case r.Secret != "":
		return errSecretLive
	case !r.Deny && r.PerRequest() && r.Scheme != policy.SchemeHTTP && !l.enforce.Opens(r):
		return errNotOpened
	}
	return nil
}

// withdrawn takes back the lines that a change is the opposite of, if they were
// added while the run goes on.
func withdrawn(rules []policy.Rule, r policy.Rule) (left, gone []policy.Rule) {
	if r.Deny {
		return slices.Clone(rules), nil
	}
	for _, have := range rules {
		if have.Layer == policy.LayerApproval && have.Deny && opposite(have, r) {
			gone = append(gone, have)
			continue
		}
		left = append(left, have)
	}
	return left, gone
}

// opposite reports whether a deny line is about what a rule allows, and about
// nothing besides but other ports.
func opposite(deny, allow policy.Rule) bool {
	return deny.Name == allow.Name && deny.Wildcard == allow.Wildcard && deny.Path == allow.Path && deny.Git == allow.Git &&
		slices.Equal(deny.Methods, allow.Methods) && (deny.Scheme == allow.Scheme || deny.Scheme == "") &&
		(len(deny.Ports) == 0 || slices.Equal(deny.Ports, allow.Ports))
}

// maxTold is how many denials an agent is told of at once.
const maxTold = 3

// tell says in one line what was denied since it was asked last, empty when
// nothing was: many programs show no more than that a connection failed.
func (l *liveEgress) tell() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.fresh) == 0 {
		return ""
	}
	var parts []string
	for _, r := range l.fresh {
		text := fmt.Sprintf("%s (%s: %s", r.Host, r.ID, r.Reason)
		if policy.IsLine(r.Fix) {
			text += "; a person can `" + policy.AllowCommand(l.about.Name, r.Fix, r.ID) + "`"
		}
		parts = append(parts, text+")")
	}
	if l.more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", l.more))
	}
	l.fresh, l.more = nil, 0
	return "The gateway of this sandbox denied: " + strings.ReplaceAll(strings.Join(parts, ", "), "\n", " ")
}

// note keeps a denial for tell.
func (l *liveEgress) note(r audit.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch known := func(have audit.Request) bool { return have.Host == r.Host && have.Reason == r.Reason }; {
	case slices.ContainsFunc(l.fresh, known):
	case len(l.fresh) < maxTold:
		l.fresh = append(l.fresh, r)
	default:
		l.more++
	}
}

// denied puts what was denied to a person, once; it never waits.
func (l *liveEgress) denied(r audit.Request) {
	if r.Verdict != audit.Deny {
		return
	}
	l.note(r)
	if !policy.IsLine(r.Fix) {
		return
	}
	l.mu.Lock()
	fresh := !l.asked[r.Fix] && len(l.asked) < maxAsked
	if fresh {
		l.asked[r.Fix] = true
	}
	l.mu.Unlock()
	if !fresh {
		return
	}
	select {
	case l.ask <- r:
	default: // it is in the record, whatever else
		l.mu.Lock()
		delete(l.asked, r.Fix)
		l.mu.Unlock()
	}
}

// put writes a question down. It waits for nobody: the agent was denied.
func (l *liveEgress) put(ctx context.Context, r audit.Request) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	q := l.about
	q.Kind, q.Rule, q.Key, q.Detail = approval.KindEgress, approval.KindEgress, r.Fix, r.Fix
	q.Subject, q.Reason = "reach "+r.Fix, r.Reason+" ("+r.ID+")"
	if err := approval.Queue(ctx, l.book, q, l.now()); err != nil {
		l.record(audit.Notice{Level: audit.Warn, Text: fmt.Sprintf("a denial could not be put to a person: %v", err)})
	}
}
