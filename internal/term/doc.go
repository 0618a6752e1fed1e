// Package term is what people see and type into: the streams of a process,
// what their terminal can do, and text laid out for it.
//
//	s := term.OS()
//	fmt.Fprintln(s.Out, s.Out.Paint().Bold("docs"), term.Visible(subject))
//
// # Invariants
//
//   - [Visible] and [VisibleLines] are the one door for text from inside a
//     sandbox: what they return holds nothing that a terminal interprets.
//   - Styles and the measured width come from the screen that is written to,
//     so output into a pipe or a file is plain and never cut.
//
// The package must not know what it shows: no runs, events or policies.
package term
