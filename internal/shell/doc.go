// Package shell finds every command in a line of shell, without running
// anything: what stands after a cd, in a pipeline, in $(…), in the text that
// is handed to sh -c, eval, xargs, find -exec or env, in functions and aliases
// of the line itself.
//
//	s := shell.Parse(`cd web && X=push; sh -c "git $X --force"`)
//	// s.Commands[1]: git push --force, Dir "web", Via "sh -c"
//
// # Invariants
//
//   - Nothing that may run is left out in silence: what cannot be understood
//     is named in [Script.Unknown]. A line is wholly understood only if that
//     is empty.
//   - A [Word] is Known only if the shell will pass exactly that text.
//   - Where a line may go two ways, the commands of both are found. So a
//     command after `cd x;` is listed twice: in x, and, for a cd that did not
//     work, where the line began. After `cd x &&` it is listed once.
//   - Any input ends soon: its size, nesting, number of commands and the work
//     done for it are bounded, and each bound that is met is an Unknown.
//
// # What it must not do
//
// No files, no environment, no clock, and no judgement: which command is bad
// is for others to say. What a program does with its own files (a script, a
// Makefile, a configuration that was there before) is not seen here.
package shell
