package service

// PolicyQuery says whose rules are wanted.
type PolicyQuery struct {
	Dir string // a directory of the repository
	// Name is an agent, whose newest run is meant; empty is a run that would
	// start now.
	Name string
	// Base is the commit whose policy counts; empty is the run's, or HEAD.
	Base string
	// AsTrusted has what the repository brings along count as if somebody had
	// agreed to it: for looking, never for running.
	AsTrusted bool
}
