package service

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	"agentprocess/internal/agent"
	"agentprocess/internal/audit"
	"agentprocess/internal/policy"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/store"
)

// EgressList is what an agent may reach, line by line.
type EgressList struct {
	// Run is the run whose list it is; empty for one that would start now.
	Run   string
	Rules []policy.Rule
	// Changes are what was changed while the run went on, in order.
	Changes []audit.EgressChange
}

// EgressRules gives what an agent may reach: as its newest run started and was
// changed since, or as a run would start now.
func (s *Service) EgressRules(ctx context.Context, q PolicyQuery) (EgressList, error) {
	if q.Name == "" {
		rules, err := s.egressNow(ctx, q)
		return EgressList{Rules: rules}, err
	}
	run, err := s.find(ctx, q.Dir, q.Name)
	if err != nil {
		return EgressList{}, err
	}
	return s.egressOf(ctx, run.ID)
}

// egressNow is the list of a run that would start now, without flags.
func (s *Service) egressNow(ctx context.Context, q PolicyQuery) ([]policy.Rule, error) {
	repo, err := s.open(ctx, q.Dir)
	if err != nil {
		return nil, err
	}
	at, err := repo.Resolve(ctx, q.Base)
	if err != nil {
		return nil, err
	}
	c := &checked{repo: repo, base: at}
	if c.supplied, err = s.supplied(ctx, repo, at); err != nil {
		return nil, err
	}
	if q.AsTrusted {
		c.supplied.trusted, c.supplied.untrusted = append(c.supplied.trusted, c.supplied.untrusted...), nil
	}
	c.plan.Info.Kind = s.Config.Agent
	if s.Config.Agent == agent.KindClaude {
		if c.plan.Rules, err = agent.ClaudeRules(s.Environ, nil); err != nil {
			return nil, err
		}
	}
	return s.rules(ctx, StartOptions{}, c)
}

// errUnrecorded is for runs of versions that did not record what they may reach.
var errUnrecorded = errors.New("what it may reach is not in its record")

// egressOf reads the list of a run from its record.
func (s *Service) egressOf(ctx context.Context, run string) (EgressList, error) {
	list := EgressList{Run: run}
	found := false
	err := s.events(ctx, run, func() bool { return false }, func(e audit.Event) error {
		switch p := e.Payload.(type) {
		case audit.EgressRules:
			var err error
			list.Rules, err = parseRecorded(p.Rules)
			found = true
			return err
		case audit.EgressChange:
			list.Changes = append(list.Changes, p)
			if p.Error != "" {
				return nil
			}
			return list.change(p)
		}
		return nil
	})
	if err == nil && !found {
		err = sandbox.Fail(sandbox.CodeNotFound, fmt.Errorf("run %q: %w", run, errUnrecorded), "`agent-process policy show` without a name shows what a run would start with now")
	}
	return list, err
}

// change applies a change that was recorded.
func (l *EgressList) change(c audit.EgressChange) error {
	gone, err := parseRecorded(c.Gone)
	if err != nil {
		return err
	}
	added, err := parseRecorded([]audit.EgressRule{c.Rule})
	if err != nil {
		return err
	}
	l.Rules = slices.DeleteFunc(l.Rules, func(r policy.Rule) bool {
		return slices.ContainsFunc(gone, func(g policy.Rule) bool { return g.String() == r.String() && g.Source == r.Source })
	})
	l.Rules = append(l.Rules, added...)
	return nil
}

// recorded is rules as the record has them.
func recorded(rules []policy.Rule) []audit.EgressRule {
	out := make([]audit.EgressRule, len(rules))
	for i, r := range rules {
		out[i] = audit.EgressRule{Rule: r.String(), Layer: string(r.Layer), Source: r.Source, Line: r.Line}
	}
	return out
}

// parseRecorded is the inverse of recorded.
func parseRecorded(lines []audit.EgressRule) ([]policy.Rule, error) {
	out := make([]policy.Rule, 0, len(lines))
	for _, l := range lines {
		if l.Rule == "" {
			continue
		}
		rules, err := policy.ParseRules(l.Source, l.Rule)
		if err != nil {
			return nil, err
		}
		for _, r := range rules {
			r.Layer, r.Line = policy.Layer(l.Layer), l.Line
			out = append(out, r)
		}
	}
	return out, nil
}

// EgressQuestion is what somebody wants explained.
type EgressQuestion struct {
	PolicyQuery
	What   string // a host, a URL, or the id of a denial
	Method string // of the request to a URL; empty is GET
}

// EgressAnswer explains one request or connection.
type EgressAnswer struct {
	Name     string          // of the agent, if one was asked about
	Run      string          // whose list was asked; empty for a run that would start now
	Recorded *store.Request  // the request of the record that was asked about
	Ask      policy.Request  // what is judged
	Decision policy.Decision // as the list says now
	Opened   bool            // its TLS is opened, to judge each request
	About    []policy.Rule   // every line that names the host
}

// isRequestID tells ids of requests from hosts.
var isRequestID = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^net-[0-9]{1,18}$`) })

// Explain says which line decides about something, and why.
func (s *Service) Explain(ctx context.Context, q EgressQuestion) (EgressAnswer, error) {
	var a EgressAnswer
	var err error
	if isRequestID().MatchString(q.What) {
		if a.Recorded, q.Name, err = s.recordedRequest(ctx, q); err != nil {
			return a, err
		}
		a.Ask = askedOf(*a.Recorded)
	} else if a.Ask, err = policy.ParseTarget(q.Method, q.What); err != nil {
		return a, sandbox.Fail(sandbox.CodeUsage, err, "name a host, a URL, or the id of a denial such as net-12")
	}
	var list EgressList
	if a.Recorded != nil {
		list, err = s.egressOf(ctx, a.Recorded.Run)
	} else {
		list, err = s.EgressRules(ctx, q.PolicyQuery)
	}
	if err != nil {
		return a, err
	}
	set := policy.NewSet(list.Rules)
	spent, err := s.spentIn(ctx, list)
	if err != nil {
		return a, err
	}
	a.Name = q.Name
	a.Run, a.Decision, a.About = list.Run, set.ReachUnless(a.Ask, spent), set.About(a.Ask.Host)
	if host, err := policy.NormalizeHost(a.Ask.Host); err == nil {
		a.Opened = a.Ask.Scheme != policy.SchemeHTTP && set.Inspects(host, a.Ask.Port)
	}
	return a, nil
}

// recordedRequest finds a request by its id, in the newest run that has it when
// no run is named.
func (s *Service) recordedRequest(ctx context.Context, q EgressQuestion) (*store.Request, string, error) {
	repo, err := s.open(ctx, q.Dir)
	if err != nil {
		return nil, "", err
	}
	runs, err := s.Store.Runs(ctx, store.RunFilter{Repository: repo.CommonDir})
	if err != nil {
		return nil, "", err
	}
	found, err := s.Store.Requests(ctx, store.RequestFilter{ID: q.What})
	if err != nil {
		return nil, "", err
	}
	for _, run := range runs { // the newest first
		if q.Name != "" && run.Name != q.Name {
			continue
		}
		for i := range found {
			if found[i].Run == run.ID {
				return &found[i], run.Name, nil
			}
		}
	}
	of := "an agent of this repository"
	if q.Name != "" {
		of = fmt.Sprintf("agent %q", q.Name)
	}
	return nil, "", sandbox.Fail(sandbox.CodeNotFound, fmt.Errorf("no request of %s has the id %q", of, q.What), "`agent-process logs NAME` shows ids; --run names the agent")
}

// askedOf is a recorded request as it was judged, as far as it is known.
func askedOf(r store.Request) policy.Request {
	q := policy.Request{Host: r.Host, Port: r.Port, Method: r.Method, Path: r.URLPath}
	switch {
	case r.Port == 0:
		q.Port = policy.DefaultPort
	case r.Method != "" && r.Port == 80:
		q.Scheme = policy.SchemeHTTP
	case r.Method != "":
		q.Scheme = policy.SchemeHTTPS
	}
	return q
}

// EgressCases holds a file's expected decisions against the list of a run, or
// of one that would start now.
func (s *Service) EgressCases(ctx context.Context, q PolicyQuery, source, text string) (int, []policy.Failed, error) {
	cases, err := policy.ParseCases(source, text)
	if err != nil {
		return 0, nil, sandbox.Fail(sandbox.CodePolicy, err, "a line is: allow|deny [METHOD] HOST|URL")
	}
	list, err := s.EgressRules(ctx, q)
	if err != nil {
		return 0, nil, err
	}
	return len(cases), policy.NewSet(list.Rules).Check(cases), nil
}

// when is a time as people read it.
func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
