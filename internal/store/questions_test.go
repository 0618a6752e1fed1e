package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"agentprocess/internal/approval"
	"agentprocess/internal/execx"
	"agentprocess/internal/sandbox"
)

// The store is where package approval keeps its questions.
var _ approval.Book = (*Store)(nil)

func asked(id string) approval.Question {
	at := time.Unix(1000, 7).UTC()
	return approval.Question{
		ID: id, Run: "docs-1", Name: "docs", Repository: "/r/.git", Kind: approval.KindTool, Subject: "Bash: git push \x1b[2J",
		Detail: "line\nline", Rule: "push", Source: "built-in", Reason: "pushes are yours", Created: at, Deadline: at.Add(time.Minute), Key: "k",
	}
}

func unattended(id, key string) approval.Question {
	q := asked(id)
	q.Deadline, q.Unattended, q.Key = time.Time{}, true, key
	return q
}

func put(t *testing.T, s *Store, questions ...approval.Question) {
	t.Helper()
	for _, q := range questions {
		if err := s.PutQuestion(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
}

func pending(t *testing.T, s *Store, now time.Time) []string {
	t.Helper()
	questions, err := s.PendingQuestions(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for _, q := range questions {
		ids = append(ids, q.ID)
	}
	return ids
}

func TestQuestions(t *testing.T) {
	s := open(t, database(t))
	q := asked("q-22222")
	put(t, s, q)
	got, answer, err := s.Question(t.Context(), q.ID)
	if diff := cmp.Diff(q, got); diff != "" || answer != nil || err != nil {
		t.Fatalf("answer %v, error %v (-want +got):\n%s", answer, err, diff)
	}
	yes := approval.Answer{Allow: true, By: "ada", Reason: "once", At: q.Created.Add(time.Second)}
	if err := s.AnswerQuestion(t.Context(), q.ID, yes); err != nil {
		t.Fatal(err)
	}
	_, answer, err = s.Question(t.Context(), q.ID)
	if diff := cmp.Diff(&yes, answer); diff != "" || err != nil {
		t.Fatalf("error %v (-want +got):\n%s", err, diff)
	}
	if _, err := s.db.ExecContext(t.Context(), "UPDATE questions SET answer = '{}'"); err == nil {
		t.Error("an answer could be changed")
	}
}

func TestAnswersThatAreRefused(t *testing.T) {
	s := open(t, database(t))
	start := asked("").Created
	put(t, s, asked("q-22222"), asked("q-33333"), asked("q-44444"), asked("q-55555"), asked("q-66666"))
	answers := map[string]approval.Answer{
		"q-22222": {By: "ada", At: start},
		"q-33333": {By: approval.ByDeadline, At: asked("").Deadline},
		"q-44444": {By: approval.ByClosed, At: start},
	}
	for id, a := range answers {
		if err := s.AnswerQuestion(t.Context(), id, a); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name, id string
		at       time.Time
		by       string
		want     error
		code     sandbox.Code
	}{
		{"no such question", "q-zzzzz", start, "bob", approval.ErrUnknown, sandbox.CodeNotFound},
		{"answered already", "q-22222", start, "bob", approval.ErrAnswered, sandbox.CodeUsage},
		{"expired", "q-33333", start, "bob", approval.ErrExpired, sandbox.CodeUsage},
		{"closed", "q-44444", start, "bob", approval.ErrClosed, sandbox.CodeUsage},
		{"late, and nobody was there to close it", "q-55555", start.Add(2 * time.Minute), "bob", approval.ErrExpired, sandbox.CodeUsage},
		{"early, after somebody was late", "q-55555", start, "bob", approval.ErrExpired, sandbox.CodeUsage},
		{"no time", "q-66666", time.Time{}, "bob", nil, sandbox.CodeInternal},
		{"no person", "q-66666", start, "", nil, sandbox.CodeInternal},
		{"a deadline that says yes", "q-66666", start, approval.ByDeadline, nil, sandbox.CodeInternal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := s.AnswerQuestion(t.Context(), tt.id, approval.Answer{Allow: true, By: tt.by, At: tt.at})
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || sandbox.ErrorCode(err) != tt.code {
				t.Errorf("got %v", err)
			}
			if strings.Contains(fmt.Sprint(err), "state database") {
				t.Errorf("%v tells of the database", err)
			}
		})
	}
	if got := pending(t, s, start); !slices.Equal(got, []string{"q-66666"}) {
		t.Errorf("pending %q", got)
	}
}

func TestPendingQuestions(t *testing.T) {
	s := open(t, database(t))
	q := asked("q-22222")
	other := unattended("q-44444", "b")
	other.Run = "other-1"
	put(t, s, q, unattended("q-33333", "a"), other)
	if got := pending(t, s, q.Created); !slices.Equal(got, []string{"q-22222", "q-33333", "q-44444"}) {
		t.Errorf("at first %q", got)
	}
	if got := pending(t, s, q.Deadline.Add(1)); !slices.Equal(got, []string{"q-33333", "q-44444"}) {
		t.Errorf("after the deadline %q", got)
	}
	if err := s.CloseQuestions(t.Context(), q.Run, q.Created); err != nil {
		t.Fatal(err)
	}
	if got := pending(t, s, q.Created); !slices.Equal(got, []string{"q-44444"}) {
		t.Errorf("after the end of a run %q", got)
	}
	if answer, err := s.TakeAnswer(t.Context(), unattended("", "a")); answer != nil || err != nil {
		t.Errorf("the end of a run answers %v, %v", answer, err)
	}
	if err := s.AnswerQuestion(t.Context(), q.ID, approval.Answer{Allow: true, By: "ada", At: q.Created}); !errors.Is(err, approval.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestQuestionIDsAreUniqueAmongOpenOnes(t *testing.T) {
	s := open(t, database(t))
	first, second := asked("q-22222"), asked("q-22222")
	second.Subject = "second"
	put(t, s, first)
	if err := s.PutQuestion(t.Context(), second); !errors.Is(err, approval.ErrTaken) {
		t.Fatalf("taken: %v", err)
	}
	if err := s.AnswerQuestion(t.Context(), first.ID, approval.Answer{By: "ada", At: first.Created}); err != nil {
		t.Fatal(err)
	}
	put(t, s, second)
	if got, answer, err := s.Question(t.Context(), first.ID); got.Subject != "second" || answer != nil || err != nil {
		t.Errorf("%+v, %v, %v", got, answer, err)
	}
}

func TestUnattendedQuestions(t *testing.T) {
	s := open(t, database(t))
	ctx := t.Context()
	put(t, s, unattended("q-22222", "a"), unattended("q-33333", "a"), unattended("q-44444", "b"), unattended("q-55555", ""), unattended("q-66666", ""))
	at := asked("").Created
	if got := pending(t, s, at); !slices.Equal(got, []string{"q-22222", "q-44444", "q-55555", "q-66666"}) {
		t.Fatalf("pending %q", got)
	}
	take := func(q approval.Question) *approval.Answer {
		a, err := s.TakeAnswer(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := take(unattended("", "a")); a != nil {
		t.Errorf("before an answer: %+v", a)
	}
	for _, id := range []string{"q-22222", "q-55555"} {
		if err := s.AnswerQuestion(ctx, id, approval.Answer{Allow: true, By: "ada", At: at.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	otherRun, otherRule := unattended("", "a"), unattended("", "a")
	otherRun.Run, otherRule.Rule = "docs-2", "publish"
	for _, q := range []approval.Question{unattended("", "b"), unattended("", ""), otherRun, otherRule} {
		if a := take(q); a != nil {
			t.Errorf("%+v has the answer of another: %+v", q, a)
		}
	}
	if a := take(asked("")); a != nil {
		t.Errorf("key k: %+v", a)
	}
	if a := take(unattended("", "a")); a == nil || !a.Allow {
		t.Errorf("the retry: %+v", a)
	}
	if a := take(unattended("", "a")); a != nil {
		t.Errorf("the try after it: %+v", a)
	}
	put(t, s, unattended("q-77777", "a"))
	for i := range 2 * maxUnattended {
		put(t, s, unattended(fmt.Sprintf("q-%05d", i), fmt.Sprint("flood ", i)))
	}
	if got := len(pending(t, s, at)); got != maxUnattended {
		t.Errorf("%d are pending", got)
	}
}

// questionsAtOnce is how many questions several processes answer.
const questionsAtOnce = 60

// answerAll answers the questions of TestTwoProcessesAnswerAtOnce and prints
// which of its answers stand.
func answerAll(ctx context.Context, path, name string) int {
	s, err := Open(ctx, path)
	if err != nil {
		fmt.Fprintln(os.Stderr, "open:", err)
		return 1
	}
	for i := range questionsAtOnce {
		id := fmt.Sprintf("q-%05d", i)
		err := s.AnswerQuestion(ctx, id, approval.Answer{Allow: true, By: name, At: asked(id).Created})
		switch {
		case err == nil:
			fmt.Fprintln(os.Stdout, "won", id)
		case !errors.Is(err, approval.ErrAnswered):
			fmt.Fprintln(os.Stderr, "answer:", err)
			return 1
		}
	}
	if err := s.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "close:", err)
		return 1
	}
	return 0
}

// TestTwoProcessesAnswerAtOnce lets processes answer the same questions, each
// with its own name: one answer stands, and the others are told so.
func TestTwoProcessesAnswerAtOnce(t *testing.T) {
	path := database(t)
	s := open(t, path)
	var ids []string
	for i := range questionsAtOnce {
		ids = append(ids, fmt.Sprintf("q-%05d", i))
		put(t, s, asked(ids[i]))
	}
	const processes = 2
	var wg sync.WaitGroup
	outputs := make([]string, processes)
	failures := make([]error, processes)
	for i := range processes {
		wg.Go(func() {
			cmd := writerCmd(t, "answer", path, "STORE_TEST_NAME="+fmt.Sprint("person", i))
			out, err := execx.Output(t.Context(), cmd)
			outputs[i], failures[i] = string(out), err
		})
	}
	wg.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		_, answer, err := s.Question(t.Context(), id)
		if err != nil || answer == nil {
			t.Fatalf("%s: %v, %v", id, answer, err)
		}
		for i, out := range outputs {
			won := strings.Contains(out, "won "+id+"\n")
			if mine := answer.By == fmt.Sprint("person", i); won != mine {
				t.Errorf("%s was answered by %s, and process %d won: %t", id, answer.By, i, won)
			}
		}
	}
}

// TestAskAcrossProcesses asks through one connection and answers through
// another, as `policy answer` does.
func TestAskAcrossProcesses(t *testing.T) {
	path := database(t)
	here, elsewhere := open(t, path), open(t, path)
	waiting := make(chan string, 1)
	asker := &approval.Asker{Book: here, Now: time.Now, Notify: func(q approval.Question) { waiting <- q.ID }}
	done := make(chan approval.Answer)
	for _, allow := range []bool{true, false} {
		go func() {
			done <- asker.Ask(t.Context(), approval.Question{Run: "docs-1", Subject: "Bash: git push", Rule: "push"})
		}()
		given := approval.Answer{Allow: allow, By: "ada", Reason: "so be it", At: time.Now().UTC()}
		if err := elsewhere.AnswerQuestion(t.Context(), <-waiting, given); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(given, <-done); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func BenchmarkQuestion(b *testing.B) {
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "state.db"))
	if err != nil {
		b.Fatal(err)
	}
	if err := s.PutQuestion(b.Context(), asked("q-22222")); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, answer, err := s.Question(b.Context(), "q-22222"); answer != nil || err != nil {
			b.Fatal(answer, err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

func TestTakersAtOnceShareOneAnswer(t *testing.T) {
	path := database(t)
	a, b := open(t, path), open(t, path)
	put(t, a, unattended("q-22222", "a"))
	if err := b.AnswerQuestion(t.Context(), "q-22222", approval.Answer{Allow: true, By: "ada", At: time.Unix(5000, 0)}); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	took := 0
	for i := range 20 {
		wg.Go(func() {
			answer, err := []*Store{a, b}[i%2].TakeAnswer(t.Context(), unattended("", "a"))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if answer != nil {
				took++
			}
		})
	}
	wg.Wait()
	if took != 1 {
		t.Errorf("%d took one yes", took)
	}
}

// TestADatabaseWithoutQuestionsIsUpgraded opens one as the first release left
// it, with a run and an event.
func TestADatabaseWithoutQuestionsIsUpgraded(t *testing.T) {
	path := database(t)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		t.Fatal(err)
	}
	script, err := migrations.ReadFile("migrations/0001_runs_and_events.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		string(script), "PRAGMA user_version = 1",
		`INSERT INTO runs (id, repository, name, state, created, record) VALUES ('1', '/r/.git', 'a', 'finished', 1, '{"id":"1"}')`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	if r, err := s.Run(t.Context(), "1"); err != nil || r.ID != "1" {
		t.Errorf("the run is %+v, %v", r, err)
	}
	put(t, s, asked("q-22222"))
	if got := pending(t, s, asked("").Created); len(got) != 1 {
		t.Errorf("pending %q", got)
	}
}
