// Package audit is the record of a run: one append-only, hash-chained sequence
// of typed events that the agent cannot reach.
//
//	rec := audit.NewRecorder(runID, time.Now, storeSink, jsonSink)
//	rec.Record(audit.Notice{Level: audit.Warn, Text: "the tree has uncommitted changes"})
//
// # Invariants
//
//   - Every event carries the hash of the one before it: a line that is cut
//     out, changed or moved is found by [Verify].
//   - Text in events is as it came from inside; whoever shows it makes control
//     characters visible.
//   - Secrets never get here: a payload that could hold one is redacted by who
//     makes it.
package audit
