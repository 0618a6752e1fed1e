// Package report shows runs to people: [Live] as a run happens or is replayed,
// [List] and [Show] afterwards, [Doctor] before, and the same as JSON for
// programs.
//
//	live := report.NewLive(streams.Out, report.LiveOptions{Status: true, Now: time.Now})
//	rec := audit.NewRecorder(run.ID, time.Now, storeSink, live)
//	...
//	err := live.Close()
//
// # Invariants
//
//   - Everything shown comes from audit events, so that a replay from the
//     store looks like the run did.
//   - Every text goes through term.Visible, also our own: names of hosts,
//     rules and files are the agent's words.
//   - A command offered for typing is made of validated parts only.
//   - A viewer that goes away (a closed pipe) does not end the run; Close says
//     that it did.
//   - What is held in memory does not grow with what an agent does.
//
// The package must not reach for the store, the repository or the clock.
package report
