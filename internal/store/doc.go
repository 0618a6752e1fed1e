// Package store keeps the record of all runs of a user in one SQLite database,
// shared by every supervisor and every command at the same time.
//
//	st, err := store.Open(ctx, paths.Database())
//	if err != nil { ... }
//	defer st.Close()
//	sink := st.Sink(ctx)
//	rec := audit.NewRecorder(run.ID, time.Now, sink)
//
// # Invariants
//
//   - Events are only ever added: the database itself refuses to change or
//     delete one, and requests and verdicts are an index over events.
//   - What was committed survives kill -9 of any process at any time. Up to
//     [FlushEvery] of events may be lost with their supervisor, except
//     verdicts, which are committed before Write returns. (A power cut may cost
//     the last moments as well: the database runs with synchronous=NORMAL.)
//   - A write that fails is never swallowed: the sink keeps the error, says so
//     on [Sink.Failed], and every later Write returns it.
//   - A database of a newer binary is refused, not guessed at.
//   - Directory 0700, files 0600.
//
// The package must not open the database file by other means than SQLite while
// it is open in this process: closing such a descriptor would drop SQLite's
// locks (fcntl(2), "advisory record locking").
package store
