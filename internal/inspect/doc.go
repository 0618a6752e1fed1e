// Package inspect says what in an agent's commits a person must look at before
// it enters their repository: what kind of risk a change is, and what the
// person's policy does about it.
//
//	s := inspect.NewScanner(policy)
//	for _, f := range s.Scan("config.go", data) { ... f.Rule, f.Line ... }
//	action := policy.Action(inspect.Secrets) // hold
//
// An action is one of three words, from strict to lenient: refuse (cut from the
// commit, and gone), hold (cut from the commit, and kept outside the repository
// until somebody releases it), flag (it comes home, and is pointed at). There is
// no word for "say nothing".
//
// # Secrets
//
// The rules are shapes of tokens that services publish, private keys, passwords
// in addresses, files that exist to hold secrets, and, for everything else, a
// word such as "secret" beside a random string. They are our own and few: the
// well-kept scanners were tried, and cost ten megabytes of binary and a tenth
// of a second before the first byte is read, which is the whole time that an
// import may take.
//
// They find secrets that stand there to be read. One that was encoded to get
// past them does: that is what not giving agents secrets is for.
//
// # Invariants
//
//   - Pure: no file is opened, nothing is run, and nothing is compiled before a
//     [Scanner] is made, so that programs that scan nothing pay nothing.
//   - Deterministic: the same bytes under the same policy give the same findings,
//     because commits are rewritten by them.
//   - Content is scanned as it comes, whatever its size.
//   - A finding holds the secret itself; only [Finding.Reason] may be shown.
package inspect
