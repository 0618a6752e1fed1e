package sandbox

import "time"

// State is where a run is in its life.
type State string

// The states of a run, in order. StateCrashed is found out, never written: a
// run that is neither finished nor has a living supervisor.
const (
	StatePreparing State = "preparing"
	StateRunning   State = "running"
	StateFinishing State = "finishing"
	StateFinished  State = "finished"
	StateCrashed   State = "crashed"
)

// Outcome is how a run ended, computed from facts.
type Outcome string

// The outcomes there are; each has its own exit status.
const (
	OutcomeDone         Outcome = "done"
	OutcomeNoChanges    Outcome = "no-changes"
	OutcomeChecksFailed Outcome = "checks-failed"
	OutcomeFailed       Outcome = "failed"
	OutcomeStopped      Outcome = "stopped"
	OutcomeTimedOut     Outcome = "timed-out"
	OutcomePolicyBroken Outcome = "policy-broken"
	OutcomeOutOfMemory  Outcome = "out-of-memory"
	// OutcomeHeld is done, but for what was kept out of the repository.
	OutcomeHeld Outcome = "held"
)

// ExitStatus is the exit status of `start` for the outcome.
func (o Outcome) ExitStatus() int {
	switch o {
	case OutcomeDone:
		return 0
	case OutcomeNoChanges:
		return 3
	case OutcomeChecksFailed:
		return 4
	case OutcomeFailed:
		return 5
	case OutcomeStopped:
		return 6
	case OutcomeTimedOut:
		return 7
	case OutcomePolicyBroken:
		return 8
	case OutcomeOutOfMemory:
		return 9
	case OutcomeHeld:
		return 20
	default:
		return 1
	}
}

// BranchPrefix stands before an agent's name in its branch.
const BranchPrefix = "agent--"

// Run is the record of one run.
type Run struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Goal       string    `json:"goal"`
	Repository string    `json:"repository"` // common git directory, absolute
	Worktree   string    `json:"worktree"`   // absolute path of ../worktrees/<name>
	Branch     string    `json:"branch"`
	Base       string    `json:"base"` // commit id
	Tip        string    `json:"tip"`  // last imported commit; Base at first
	Agent      AgentInfo `json:"agent"`
	Scope      []string  `json:"scope,omitempty"` // globs of what it may change; none is everything
	Lineage
	State   State     `json:"state"`
	Outcome Outcome   `json:"outcome,omitempty"`
	Reason  string    `json:"reason,omitempty"` // why, when it is not done
	Created time.Time `json:"created"`
	Ended   time.Time `json:"ended,omitzero"`
	PID     int       `json:"pid,omitempty"`
	Stat    DiffStat  `json:"stat"`
	Cost    Cost      `json:"cost"`
	Held    int       `json:"held,omitempty"` // commits and files that wait for `release`
}

// Lineage is what a run that goes on from another has of it.
type Lineage struct {
	Previous string  `json:"previous,omitempty"` // the run that this one goes on from
	Session  string  `json:"session,omitempty"`  // the agent's own id of the conversation
	Backend  Backend `json:"backend,omitzero"`   // where it runs
}

// AgentInfo names the program that ran.
type AgentInfo struct {
	Kind    string `json:"kind"` // "claude", "exec"
	Version string `json:"version,omitempty"`
	Model   string `json:"model,omitempty"`
}

// DiffStat counts what a branch changes against its base.
type DiffStat struct {
	Commits    int `json:"commits"`
	Files      int `json:"files"`
	Insertions int `json:"insertions"`
	Deletions  int `json:"deletions"`
}

// Cost is what the agent says it used: the API's own counts, not a bill.
type Cost struct {
	InputTokens  int64   `json:"input_tokens"`
	OutputTokens int64   `json:"output_tokens"`
	USD          float64 `json:"usd"`
	Turns        int     `json:"turns"`
}
