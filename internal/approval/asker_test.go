package approval_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"agentprocess/internal/approval"
	"agentprocess/internal/sandbox"
)

// person is a Prompter: somebody at a terminal who answers after a while.
type person struct {
	after  time.Duration // 0 is never
	answer approval.Answer
	fails  error

	mu    sync.Mutex
	asked []string // subjects, in order
	told  []error  // why a question was taken away
	now   int      // how many questions are on the screen
	most  int
}

// Prompt implements approval.Prompter.
func (p *person) Prompt(ctx context.Context, q approval.Question) (approval.Answer, error) {
	p.mu.Lock()
	p.asked = append(p.asked, q.Subject)
	p.now++
	p.most = max(p.most, p.now)
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.now--
		p.mu.Unlock()
	}()
	if p.fails != nil {
		return approval.Answer{}, p.fails
	}
	var done <-chan time.Time
	if p.after > 0 {
		timer := time.NewTimer(p.after)
		defer timer.Stop()
		done = timer.C
	}
	select {
	case <-done:
		return p.answer, nil
	case <-ctx.Done():
		p.mu.Lock()
		p.told = append(p.told, context.Cause(ctx))
		p.mu.Unlock()
		return approval.Answer{}, ctx.Err()
	}
}

func push() approval.Question {
	return approval.Question{Run: "docs-1", Name: "docs", Subject: "Bash: git push origin x", Rule: "push", Reason: "pushes are yours", Key: "k"}
}

// elsewhere answers the first open question as another process does.
func elsewhere(t *testing.T, m *memory, after time.Duration, a approval.Answer) {
	t.Helper()
	timer := time.NewTimer(after)
	defer timer.Stop()
	<-timer.C
	open := m.open()
	if len(open) == 0 {
		t.Error("nothing is open")
		return
	}
	a.At = time.Now()
	if err := m.AnswerQuestion(t.Context(), open[0].ID, a); err != nil {
		t.Error(err)
	}
}

func TestAsk(t *testing.T) {
	yes := approval.Answer{Allow: true, By: "ada"}
	no := approval.Answer{By: "bob", Reason: "not today"}
	tests := []struct {
		name   string
		person *person
		// other answers in the list after a while, if it is set.
		other      *approval.Answer
		otherAfter time.Duration
		ends       time.Duration // of the context, if it is set
		breaks     time.Duration // of the book, if it is set
		unattended bool
		want       approval.Answer
		took       time.Duration
		told       string // to the person at the terminal
	}{
		{name: "yes at the terminal", person: &person{after: time.Second, answer: yes}, want: yes, took: time.Second},
		{name: "no at the terminal", person: &person{after: time.Second, answer: no}, want: no, took: time.Second},
		{name: "yes in the list, nobody attached", other: &yes, otherAfter: time.Second, want: yes, took: time.Second},
		{name: "no in the list", other: &no, otherAfter: time.Second, want: no, took: time.Second},
		{name: "the list is first", person: &person{after: time.Minute, answer: yes}, other: &no, otherAfter: time.Second, want: no, took: time.Second, told: "denied by bob"},
		{name: "the terminal is first", person: &person{after: 900 * time.Millisecond, answer: no}, want: no, took: 900 * time.Millisecond},
		{name: "a broken terminal leaves the list", person: &person{fails: errors.New("hangup")}, other: &yes, otherAfter: time.Minute, want: yes, took: time.Minute},
		{name: "nobody answers", person: &person{}, want: approval.Answer{By: approval.ByDeadline}, took: 5 * time.Minute, told: "denied by deadline"},
		{name: "nobody is there", want: approval.Answer{By: approval.ByDeadline}, took: 5 * time.Minute},
		{name: "the agent goes away", person: &person{}, ends: time.Second, want: approval.Answer{By: approval.ByClosed}, took: time.Second, told: "context deadline exceeded"},
		{name: "the book breaks before", breaks: time.Nanosecond, want: approval.Answer{By: approval.ByError}},
		{name: "the book breaks meanwhile", person: &person{}, breaks: time.Second, want: approval.Answer{By: approval.ByError}, took: time.Second, told: "denied by error"},
		{name: "the book breaks before a yes", person: &person{after: 1100 * time.Millisecond, answer: yes}, breaks: 1050 * time.Millisecond, want: approval.Answer{By: approval.ByError}, took: 1100 * time.Millisecond},
		{name: "unattended", person: &person{after: time.Second, answer: yes}, unattended: true, want: approval.Answer{By: approval.ByUnattended}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := &memory{}
				asker := &approval.Asker{Book: book, Now: time.Now, Deadline: 5 * time.Minute, Unattended: tt.unattended}
				if tt.person != nil {
					asker.Prompt = tt.person
				}
				ctx := t.Context()
				if tt.ends > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.ends)
					defer cancel()
				}
				if tt.other != nil {
					go elsewhere(t, book, tt.otherAfter, *tt.other)
				}
				if tt.breaks == time.Nanosecond {
					book.breaks(errors.New("disk is full"))
				} else if tt.breaks > 0 {
					time.AfterFunc(tt.breaks, func() { book.breaks(errors.New("disk is full")) })
				}
				start := time.Now()
				got := asker.Ask(ctx, push())
				if got.Allow != tt.want.Allow || got.By != tt.want.By {
					t.Errorf("got %+v, want %+v", got, tt.want)
				}
				if !got.Allow && got.Reason == "" {
					t.Error("no reason is given")
				}
				if got.By == approval.ByDeadline && got.Reason != "this needs a person's yes, and nobody answered within 5m (rule push): pushes are yours" {
					t.Errorf("reason %q", got.Reason)
				}
				// Other processes are looked for from time to time.
				if took := time.Since(start); took < tt.took || took > tt.took+200*time.Millisecond {
					t.Errorf("it took %s, want %s", took, tt.took)
				}
				if open := book.open(); tt.breaks == 0 && len(open) > 0 != tt.unattended {
					t.Errorf("open at the end: %+v", open)
				}
				checkTold(t, tt.person, tt.told)
			})
		})
	}
}

func checkTold(t *testing.T, p *person, want string) {
	t.Helper()
	var told []string
	if p != nil {
		for _, err := range p.told {
			told = append(told, err.Error())
		}
	}
	if got := strings.Join(told, ", "); got != want {
		t.Errorf("the person was told %q, want %q", got, want)
	}
}

// What came back is what counts, also when both places answer in one moment.
func TestAskAgreesWithTheBook(t *testing.T) {
	for i := range 50 {
		synctest.Test(t, func(t *testing.T) {
			book := &memory{}
			p := &person{after: 400 * time.Millisecond, answer: approval.Answer{By: "terminal"}}
			asker := &approval.Asker{Book: book, Prompt: p, Now: time.Now, Deadline: time.Minute}
			asker.NewID = func() string { return "q-22222" }
			time.AfterFunc(400*time.Millisecond-time.Duration(i%3), func() {
				err := book.AnswerQuestion(t.Context(), "q-22222", approval.Answer{Allow: true, By: "ada", At: time.Now()})
				if err != nil && !errors.Is(err, approval.ErrAnswered) {
					t.Error(err)
				}
			})
			got := asker.Ask(t.Context(), push())
			if first := book.entries[0].answer; first.By != got.By || first.Allow != got.Allow {
				t.Errorf("the book has %+v, the agent got %+v", first, got)
			}
			synctest.Wait()
		})
	}
}

func TestQuestionsComeOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &person{after: time.Second, answer: approval.Answer{Allow: true, By: "ada"}}
		asker := &approval.Asker{Book: &memory{}, Prompt: p, Now: time.Now, Deadline: time.Minute}
		var wg sync.WaitGroup
		var want []string
		for i := range 5 {
			q := push()
			q.Subject = fmt.Sprint("question ", i)
			want = append(want, q.Subject)
			wg.Go(func() {
				if got := asker.Ask(t.Context(), q); !got.Allow {
					t.Errorf("%s: %+v", q.Subject, got)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if p.most != 1 {
			t.Errorf("%d questions at once", p.most)
		}
		if !slices.Equal(p.asked, want) {
			t.Errorf("the order was %q", p.asked)
		}
	})
}

// A question that was settled while another was on the screen is not shown.
func TestASettledQuestionIsNotShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &person{after: time.Minute, answer: approval.Answer{Allow: true, By: "ada"}}
		asker := &approval.Asker{Book: &memory{}, Prompt: p, Now: time.Now, Deadline: time.Hour}
		var wg sync.WaitGroup
		wg.Go(func() { asker.Ask(t.Context(), push()) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		second := push()
		second.Subject = "second"
		if got := asker.Ask(ctx, second); got.Allow || got.By != approval.ByClosed {
			t.Errorf("got %+v", got)
		}
		wg.Wait()
		if slices.Contains(p.asked, "second") {
			t.Error("it was shown")
		}
	})
}

// T-C15: unattended is an immediate no and an entry in the list; a yes that
// comes later lets the next try pass, and no more than that.
func TestUnattendedThenAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &memory{}
		asker := &approval.Asker{Book: book, Now: time.Now, Unattended: true}
		for range 3 {
			if got := asker.Ask(t.Context(), push()); got.Allow || got.By != approval.ByUnattended {
				t.Fatalf("got %+v", got)
			}
		}
		open := book.open()
		if len(open) != 1 || !open[0].Unattended || !open[0].Deadline.IsZero() {
			t.Fatalf("the list has %+v, want one entry without a deadline", open)
		}
		if err := book.AnswerQuestion(t.Context(), open[0].ID, approval.Answer{Allow: true, By: "ada", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		other := push()
		other.Key = "another input"
		if got := asker.Ask(t.Context(), other); got.Allow {
			t.Errorf("another call passed: %+v", got)
		}
		if got := asker.Ask(t.Context(), push()); !got.Allow || got.By != "ada" {
			t.Errorf("the retry: %+v", got)
		}
		if got := asker.Ask(t.Context(), push()); got.Allow {
			t.Errorf("the try after it: %+v", got)
		}
	})
}

func TestIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &memory{}
		asker := &approval.Asker{Book: book, Now: time.Now, Unattended: true}
		form := regexp.MustCompile(`^q-[2-9a-hjkmnp-z]{5}$`)
		for i := range 200 {
			q := push()
			q.Key = fmt.Sprint(i)
			asker.Ask(t.Context(), q)
		}
		for _, q := range book.open() {
			if !form.MatchString(q.ID) || strings.ContainsAny(q.ID, "lo") {
				t.Errorf("id %q", q.ID)
			}
		}
		calls := 0
		asker.NewID = func() string {
			calls++
			return book.open()[0].ID
		}
		if got := asker.Ask(t.Context(), push()); got.By != approval.ByError || got.Allow || calls > 100 {
			t.Errorf("without a free id: %+v after %d tries", got, calls)
		}
	})
}

func TestWhatIsAskedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &memory{}
		var notified []approval.Question
		asker := &approval.Asker{Book: book, Now: time.Now, Deadline: time.Second, Notify: func(q approval.Question) { notified = append(notified, q) }}
		q := push()
		q.Subject = "Bash: echo\n" + strings.Repeat("é", approval.MaxSubject)
		q.Detail = strings.Repeat("x", approval.MaxDetail+7)
		asker.Ask(t.Context(), q)
		if len(notified) != 1 {
			t.Fatalf("%d notifications", len(notified))
		}
		got := notified[0]
		if strings.Contains(got.Subject, "\n") || len(got.Subject) > approval.MaxSubject+40 || !strings.HasSuffix(got.Subject, "more bytes)") {
			t.Errorf("subject %q", got.Subject)
		}
		if !strings.HasSuffix(got.Detail, "x … (7 more bytes)") {
			t.Errorf("detail ends with %q", got.Detail[len(got.Detail)-30:])
		}
		if got.Deadline.Sub(got.Created) != time.Second {
			t.Errorf("created %s, deadline %s", got.Created, got.Deadline)
		}
	})
}

func TestAnswerErrors(t *testing.T) {
	first := approval.Answer{Allow: true, By: "ada"}
	tests := []struct {
		why  error
		code sandbox.Code
		says string
	}{
		{approval.ErrUnknown, sandbox.CodeNotFound, "no such question"},
		{approval.ErrAnswered, sandbox.CodeUsage, "allowed by ada"},
		{approval.ErrExpired, sandbox.CodeUsage, "deadline"},
		{approval.ErrClosed, sandbox.CodeUsage, "nobody waits"},
	}
	for _, tt := range tests {
		t.Run(tt.says, func(t *testing.T) {
			err := approval.AnswerError("q-22222", tt.why, first)
			if !errors.Is(err, tt.why) || sandbox.ErrorCode(err) != tt.code || sandbox.ErrorHint(err) == "" || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, hint %q", err, sandbox.ErrorHint(err))
			}
		})
	}
}
