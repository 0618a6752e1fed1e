// Package review is what a person thinks of an agent's changes, file by file,
// and how they say so: on a screen, or in answer to questions line by line.
//
//	book, err := review.Open(dir, "docs")
//	defer book.Close()
//	s := review.NewScreen(screen, book, files)
//	err = s.Press("a") // the first file is accepted, and that is written down
//	rest := book.Undecided(files)
//
// # Invariants
//
//   - A decision is about one change of a file, named by [patch.File.Key]: when
//     the agent changes the file again it is undecided again, and only it.
//   - What was decided or commented is on disk before the next key is read, and
//     one review of an agent goes on at a time.
//   - Files and paths are the agent's text: all of it is shown by package patch
//     or through [term.Visible].
//
// The screen is our own and not a library's: it draws whole lines and reads
// single keys, and the library's fourteen modules build their tables in every
// start of every command.
//
// It must not run git, or talk to agents.
package review
