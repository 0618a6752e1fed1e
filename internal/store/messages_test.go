package store

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"agentprocess/internal/sandbox"
)

func TestMessagesWaitUntilDelivered(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "state.db")
	st, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	run := sandbox.Run{ID: "docs-1", Name: "docs", Repository: "/r/.git"}
	if err := st.Send(ctx, run, Message{Text: "too early"}); !errors.Is(err, ErrClosed) {
		t.Errorf("a run that was never launched took a message: %v", err)
	}
	if err := st.PutLaunch(ctx, run.ID, []byte(`{"agent":"claude"}`)); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		if err := st.Send(ctx, run, Message{Text: text, Sent: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close(); err != nil { // whatever crashes
		t.Fatal(err)
	}
	if st, err = Open(ctx, path); err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	waiting, err := st.Waiting(ctx, run.Repository, run.Name)
	if err != nil || len(waiting) != 2 || waiting[0].Text != "one" || waiting[1].Text != "two" {
		t.Fatalf("waiting: %+v, %v", waiting, err)
	}
	if other, err := st.Waiting(ctx, "/other/.git", run.Name); err != nil || len(other) != 0 {
		t.Errorf("another repository's agent has %+v, %v", other, err)
	}
	if err := st.Delivered(ctx, waiting[:1], time.Now()); err != nil {
		t.Fatal(err)
	}
	late, err := st.CloseInbox(ctx, run)
	if err != nil || len(late) != 1 || late[0].Text != "two" {
		t.Errorf("late: %+v, %v", late, err)
	}
	if err := st.Send(ctx, run, Message{Text: "three"}); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed run took a message: %v", err)
	}
	options, err := st.Launch(ctx, run.ID)
	if err != nil || string(options) != `{"agent":"claude"}` {
		t.Errorf("launch: %q, %v", options, err)
	}
	if _, err := st.Launch(ctx, "none"); sandbox.ErrorCode(err) != sandbox.CodeNotFound {
		t.Errorf("error %v, want %s", err, sandbox.CodeNotFound)
	}
}
