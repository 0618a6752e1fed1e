package approval

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"agentprocess/internal/sandbox"
)

// The kinds of questions there are.
const (
	KindTool   = "tool"   // about a tool call
	KindEgress = "egress" // about a line of the egress list, which Detail is; it was denied at once
)

// What a question may say at most, in bytes; more is cut, see bounded.
const (
	MaxSubject = 400
	MaxDetail  = 16 << 10
	MaxReason  = 1000
)

// Question is what a person is asked.
type Question struct {
	ID         string    `json:"id"` // "q-" and five characters
	Run        string    `json:"run"`
	Name       string    `json:"name"`       // of the agent
	Repository string    `json:"repository"` // common git directory
	Kind       string    `json:"kind"`
	Subject    string    `json:"subject"` // one line: "Bash: git push origin x"
	Detail     string    `json:"detail,omitempty"`
	Rule       string    `json:"rule"`
	Source     string    `json:"source,omitempty"` // where the rule stands
	Reason     string    `json:"reason,omitempty"` // why the rule asks
	Created    time.Time `json:"created"`
	// Deadline is when the answer is no; zero for a question that was denied
	// already because nobody was there.
	Deadline time.Time `json:"deadline,omitzero"`
	// Unattended is set on such a question. A yes to it is for the next try.
	Unattended bool `json:"unattended,omitempty"`
	// Key is the same for calls that are the same to a person, such as the hash
	// of tool and input. A yes to an unattended question passes to no other.
	Key string `json:"key,omitempty"`
}

// Answer is what came of a question.
type Answer struct {
	Allow  bool      `json:"allow"`
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by"` // a person, or one of the words below
	At     time.Time `json:"at"`
}

// Who answers when no person does. Such an answer is always no.
const (
	ByDeadline   = "deadline"
	ByUnattended = "unattended"
	ByClosed     = "closed" // the agent or its run has ended
	ByError      = "error"
)

// ByPerson reports whether a person gave the answer.
func (a Answer) ByPerson() bool {
	switch a.By {
	case "", ByDeadline, ByUnattended, ByClosed, ByError:
		return false
	}
	return true
}

// What an answer can meet; AnswerErrors carry them.
var (
	ErrUnknown  = errors.New("there is no such question")
	ErrAnswered = errors.New("it was answered already")
	ErrExpired  = errors.New("its deadline has passed, so the answer was no")
	ErrClosed   = errors.New("nobody waits for it any more")
	// ErrTaken is what a Book says to a new question whose ID an open one has.
	ErrTaken = errors.New("another open question has this id")
)

// AnswerError is the refusal of an answer as a person sees it; by says who
// came first, if anybody did.
func AnswerError(id string, why error, first Answer) error {
	err := fmt.Errorf("answer %q: %w", id, why)
	switch {
	case errors.Is(why, ErrUnknown):
		return sandbox.Fail(sandbox.CodeNotFound, err, "`agent-process policy pending` lists what waits for an answer")
	case errors.Is(why, ErrAnswered):
		err = fmt.Errorf("answer %q: %w: %s by %s", id, why, first.Word(), first.By)
	}
	return sandbox.Fail(sandbox.CodeUsage, err, "the agent was told; if it asks again, there is a new question")
}

// Word is "allowed" or "denied".
func (a Answer) Word() string {
	if a.Allow {
		return "allowed"
	}
	return "denied"
}

// SettledError is the cause of the end of a prompt's context when the question was
// answered elsewhere.
type SettledError struct{ Answer Answer }

// Error implements error.
func (s SettledError) Error() string { return s.Answer.Word() + " by " + s.Answer.By }

// Book is where questions stand for every process of a user. All methods give
// the errors above, wrapped.
type Book interface {
	// PutQuestion adds a question. Of unattended ones that are the same in Run,
	// Rule and Key it keeps the first, and only so many of a run.
	PutQuestion(ctx context.Context, q Question) error
	// AnswerQuestion answers one; the first answer wins.
	AnswerQuestion(ctx context.Context, id string, a Answer) error
	// Question gives one and its answer, nil as long as there is none.
	Question(ctx context.Context, id string) (Question, *Answer, error)
	// TakeAnswer gives, once, what a person said to an unattended question that
	// is the same as q; nil when nobody has said anything that was not taken.
	TakeAnswer(ctx context.Context, q Question) (*Answer, error)
}

// Prompter asks on a terminal. When ctx ends first it takes the question away
// and returns; context.Cause may be a SettledError that says how it was answered.
type Prompter interface {
	Prompt(ctx context.Context, q Question) (Answer, error)
}

// bounded cuts a question to what may be stored and shown.
func (q Question) bounded() Question {
	q.Subject = bound(strings.ReplaceAll(strings.TrimSpace(q.Subject), "\n", " ↵ "), MaxSubject)
	q.Detail = bound(q.Detail, MaxDetail)
	q.Reason = bound(q.Reason, MaxReason)
	return q
}

// bound cuts text between two runes and says how much is missing.
func bound(text string, most int) string {
	if len(text) <= most {
		return text
	}
	end := most
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return fmt.Sprintf("%s … (%d more bytes)", text[:end], len(text)-end)
}
