package service

import (
	"slices"
	"testing"

	"agentprocess/internal/sandbox"
	"agentprocess/internal/workspace"
)

func TestListAllTellsTheTruth(t *testing.T) {
	s := newService(t, &host{})
	claim(t, s, sandbox.Run{ID: "one-1", Name: "one", State: sandbox.StateRunning, PID: 1})
	claim(t, s, sandbox.Run{ID: "two-1", Name: "two", State: sandbox.StateRunning, PID: 2}).close()
	claim(t, s, sandbox.Run{ID: "three-1", Name: "three", State: sandbox.StateFinished}).close()
	runs, err := s.List(t.Context(), "", true)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(runs), []string{"one running", "three finished", "two crashed"}; !slices.Equal(got, want) {
		t.Errorf("List() = %q, want %q", got, want)
	}
	for _, r := range runs {
		if r.State == sandbox.StateCrashed && (r.PID != 0 || r.Reason == "") {
			t.Errorf("the crashed run has process %d and reason %q", r.PID, r.Reason)
		}
	}
}

func TestReconcile(t *testing.T) {
	const living = "docs-1"
	work, none := sandbox.DiffStat{Commits: 2, Files: 1}, sandbox.DiffStat{}
	finished := func(stat sandbox.DiffStat) sandbox.Run {
		return sandbox.Run{ID: "docs-0", Name: "docs", State: sandbox.StateFinished, Tip: "recorded", Stat: stat}
	}
	branch := func(stat sandbox.DiffStat) []workspace.Agent {
		return []workspace.Agent{{Name: "docs", Branch: "agent--docs", Tip: "branch", Stat: stat}}
	}
	tests := []struct {
		name   string
		agents []workspace.Agent
		runs   []sandbox.Run
		want   []string
		tip    string // of the first
	}{
		{name: "nothing"},
		{"work", branch(work), []sandbox.Run{finished(work)}, []string{"docs finished"}, "branch"},
		{"a branch that nobody recorded", branch(work), nil, []string{"docs finished"}, "branch"},
		{"a branch without commits", branch(none), nil, nil, ""},
		{"a branch that was removed", nil, []sandbox.Run{finished(work)}, nil, ""},
		{"a branch that was reset to its base", branch(none), []sandbox.Run{finished(work)}, nil, ""},
		{"it runs, and has nothing yet", branch(none), []sandbox.Run{{ID: living, Name: "docs", State: sandbox.StateRunning}}, []string{"docs running"}, "branch"},
		{"it crashed before its branch", nil, []sandbox.Run{{ID: "docs-2", Name: "docs", State: sandbox.StatePreparing}}, []string{"docs crashed"}, ""},
		{"all of its work is held", nil, []sandbox.Run{finished(none)}, nil, ""},
		{"the newest run of a name", branch(work), []sandbox.Run{{ID: living, Name: "docs", State: sandbox.StateRunning}, finished(work)}, []string{"docs running"}, "branch"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newService(t, &host{})
			claim(t, s, sandbox.Run{ID: living, Name: "docs", State: sandbox.StateRunning})
			got := s.reconcile(&workspace.Repository{CommonDir: "/p/.git", WorktreesDir: "/worktrees"}, tt.agents, tt.runs, nil)
			if !slices.Equal(names(got), tt.want) {
				t.Fatalf("reconcile() = %q, want %q", names(got), tt.want)
			}
			held := s.reconcile(&workspace.Repository{CommonDir: "/p/.git"}, tt.agents, tt.runs, map[string]int{"docs": 2})
			if len(tt.runs) > 0 && (len(held) == 0 || held[0].Held != 2) {
				t.Errorf("held work is not listed: %+v", held)
			}
			if len(got) > 0 && got[0].Tip != tt.tip {
				t.Errorf("its tip is %q, want %q", got[0].Tip, tt.tip)
			}
		})
	}
}
