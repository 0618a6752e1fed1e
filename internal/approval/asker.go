package approval

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// pollEvery is how often the book is asked whether another process answered.
	pollEvery = 200 * time.Millisecond
	// closeTimeout bounds the closing of a question that nobody waits for.
	closeTimeout = 5 * time.Second
	// idTries is how many ids are tried for one question.
	idTries = 16
)

// DefaultDeadline is how long a person has when nothing else is said.
const DefaultDeadline = 10 * time.Minute

// Asker asks. It is safe for concurrent use; fields are set before.
type Asker struct {
	Book Book
	// Prompt asks on a terminal, one question at a time; nil when nobody sits
	// at one.
	Prompt Prompter
	// Notify is told of each question that waits for a person, and must return
	// at once; it may be nil.
	Notify func(Question)
	Now    func() time.Time
	// Deadline is how long a question waits; 0 is DefaultDeadline.
	Deadline time.Duration
	// Unattended denies at once.
	Unattended bool
	// NewID makes ids; nil is for random ones.
	NewID func() string

	once sync.Once
	turn chan struct{} // held by who has the terminal; those who wait get it in order
}

// Ask puts a question and waits for its answer.
func (a *Asker) Ask(ctx context.Context, q Question) Answer {
	q.Created = a.Now().UTC()
	if q.Kind == "" {
		q.Kind = KindTool
	}
	given, err := a.Book.TakeAnswer(ctx, q)
	switch {
	case err != nil:
		return a.failed(err)
	case given != nil:
		return *given
	case a.Unattended:
		return a.unattended(ctx, q)
	}
	wait := a.Deadline
	if wait <= 0 {
		wait = DefaultDeadline
	}
	q.Deadline = q.Created.Add(wait)
	q, err = a.put(ctx, q)
	if err != nil {
		return a.failed(err)
	}
	if a.Notify != nil {
		a.Notify(q)
	}
	return a.wait(ctx, q, wait)
}

// unattended denies and leaves the question for later.
func (a *Asker) unattended(ctx context.Context, q Question) Answer {
	q.Unattended = true
	if _, err := a.put(ctx, q); err != nil {
		return a.failed(err)
	}
	return Answer{By: ByUnattended, At: q.Created, Reason: reason(q, "needs a person's yes, and the agent runs unattended")}
}

// put writes a question down under a new id.
func (a *Asker) put(ctx context.Context, q Question) (Question, error) {
	q = q.bounded()
	makeID := a.NewID
	if makeID == nil {
		makeID = newID
	}
	var err error
	for range idTries {
		q.ID = makeID()
		if err = a.Book.PutQuestion(ctx, q); !errors.Is(err, ErrTaken) {
			return q, err
		}
	}
	return q, err
}

// Queue leaves a question for a person about what was denied already.
func Queue(ctx context.Context, book Book, q Question, now time.Time) error {
	q.Created, q.Unattended = now.UTC(), true
	_, err := (&Asker{Book: book}).put(ctx, q)
	return err
}

// wait gives the first answer there is, from wherever.
func (a *Asker) wait(ctx context.Context, q Question, wait time.Duration) Answer {
	prompt, stop := context.WithCancelCause(ctx)
	typed := make(chan Answer, 1)
	var prompter sync.WaitGroup
	if a.Prompt != nil {
		prompter.Go(func() { a.prompt(prompt, q, typed) })
	}
	answer := a.first(ctx, q, wait, typed)
	stop(SettledError{answer})
	prompter.Wait()
	return answer
}

// first waits for the terminal, the book, the deadline and the end of ctx.
func (a *Asker) first(ctx context.Context, q Question, wait time.Duration, typed <-chan Answer) Answer {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return a.settle(ctx, q, Answer{By: ByClosed, At: a.Now().UTC(), Reason: reason(q, "was asked of a person, but the agent or its run ended first")})
		case <-deadline.C:
			return a.settle(ctx, q, expired(q))
		case answer := <-typed:
			return a.settle(ctx, q, answer)
		case <-poll.C:
			_, answer, err := a.Book.Question(ctx, q.ID)
			switch {
			case ctx.Err() != nil: // said above
			case err != nil:
				return a.settle(ctx, q, a.failed(err))
			case answer != nil:
				return *answer
			}
		}
	}
}

// prompt takes its turn at the terminal.
func (a *Asker) prompt(ctx context.Context, q Question, typed chan<- Answer) {
	a.once.Do(func() { a.turn = make(chan struct{}, 1) })
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-a.turn }()
	if ctx.Err() != nil {
		return
	}
	answer, err := a.Prompt.Prompt(ctx, q)
	if err != nil || ctx.Err() != nil {
		return // there is still the book
	}
	if answer.At.IsZero() {
		answer.At = a.Now().UTC()
	}
	typed <- answer
}

// settle writes an answer down. What the book has counts: another process may
// have been first, and what cannot be written down is no.
func (a *Asker) settle(ctx context.Context, q Question, answer Answer) Answer {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	err := a.Book.AnswerQuestion(ctx, q.ID, answer)
	if err == nil {
		return answer
	}
	if errors.Is(err, ErrExpired) {
		return expired(q)
	}
	if _, first, readErr := a.Book.Question(ctx, q.ID); readErr == nil && first != nil {
		return *first
	}
	if !answer.Allow {
		return answer
	}
	return a.failed(err)
}

// expired is the answer when nobody gave one.
func expired(q Question) Answer {
	within := q.Deadline.Sub(q.Created)
	return Answer{By: ByDeadline, At: q.Deadline, Reason: reason(q, fmt.Sprintf("needs a person's yes, and nobody answered within %s", span(within)))}
}

// span writes a time span without the zeros that Duration has at its end.
func span(d time.Duration) string {
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// failed is the answer when the question could not be asked.
func (a *Asker) failed(err error) Answer {
	return Answer{By: ByError, At: a.Now().UTC(), Reason: fmt.Sprintf("this needs a person's yes, and could not be asked: %v", err)}
}

// reason says why it is no, and why it was asked.
func reason(q Question, what string) string {
	text := "this " + what
	if q.Rule != "" {
		text += fmt.Sprintf(" (rule %s)", q.Rule)
	}
	if q.Reason != "" {
		text += ": " + q.Reason
	}
	return text
}
