package service

import (
	"context"
	"fmt"
	"os/user"

	"agentprocess/internal/approval"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/toolpolicy"
	"agentprocess/internal/trust"
)

// TrustReport says what a commit (HEAD when base is empty) of the repository
// that dir is in brings along, and what of it is trusted.
func (s *Service) TrustReport(ctx context.Context, dir, base string) (trust.Report, error) {
	repo, err := s.open(ctx, dir)
	if err != nil {
		return trust.Report{}, err
	}
	at, err := repo.Resolve(ctx, base)
	if err != nil {
		return trust.Report{}, err
	}
	sup, err := s.supplied(ctx, repo, at)
	if err != nil {
		return trust.Report{}, err
	}
	return trust.Report{Repository: repo.CommonDir, Base: at.Commit, Trusted: sup.trusted, Untrusted: sup.untrusted}, nil
}

// Trust agrees to items of the repository that dir is in, as they are.
func (s *Service) Trust(ctx context.Context, dir string, items []trust.Item) error {
	repo, err := s.open(ctx, dir)
	if err != nil {
		return err
	}
	return s.trustBook().Pin(ctx, repo.CommonDir, userName(), items)
}

// Untrust takes back everything that was agreed to of a repository.
func (s *Service) Untrust(ctx context.Context, dir string) error {
	repo, err := s.open(ctx, dir)
	if err != nil {
		return err
	}
	return s.trustBook().Unpin(ctx, repo.CommonDir)
}

// userName is who does this, for the record.
func userName() string {
	u, err := user.Current()
	if err != nil {
		return "unknown"
	}
	return u.Username
}

// Pending are the questions that wait for a person, of all repositories.
func (s *Service) Pending(ctx context.Context) ([]approval.Question, error) {
	return s.Store.PendingQuestions(ctx, s.Now())
}

// Answer answers one of them.
func (s *Service) Answer(ctx context.Context, id string, o AnswerOptions) error {
	q, given, err := s.Store.Question(ctx, id)
	switch {
	case err != nil:
		return err
	case q.Kind == approval.KindEgress && given == nil:
		return s.answerEgress(ctx, q, o)
	case o.Scope != "":
		return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("answer %q: it is no question about what may be reached", id), "leave out --"+string(o.Scope))
	}
	return s.Store.AnswerQuestion(ctx, id, o.Answer)
}

// PolicyRules are the rules that judge the tool calls of an agent.
func (s *Service) PolicyRules(ctx context.Context, q PolicyQuery) ([]toolpolicy.RuleInfo, error) {
	repo, err := s.open(ctx, q.Dir)
	if err != nil {
		return nil, err
	}
	base := q.Base
	var scope []string
	if q.Name != "" {
		run, err := s.find(ctx, q.Dir, q.Name)
		if err != nil {
			return nil, err
		}
		scope = run.Scope
		if base == "" {
			base = run.Base
		}
	}
	at, err := repo.Resolve(ctx, base)
	if err != nil {
		return nil, err
	}
	sup, err := s.supplied(ctx, repo, at)
	if err != nil {
		return nil, err
	}
	p, err := s.policy(StartOptions{Scope: scope}, sup)
	if err != nil {
		return nil, err
	}
	return p.Rules(), nil
}
