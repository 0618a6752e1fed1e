// Package approval puts a question that the policy asks to a person, and turns
// whatever happens then into an answer.
//
//	asker := &approval.Asker{Book: db, Prompt: terminal, Notify: bell, Now: time.Now, Deadline: 10 * time.Minute}
//	answer := asker.Ask(ctx, approval.Question{Run: run.ID, Name: run.Name, Subject: "Bash: git push", Rule: "no-push"})
//	if !answer.Allow { ... answer.Reason is what the model is told ... }
//
// A question stands in two places at once: on the terminal of who started the
// agent, if somebody is there, and in a [Book] that every process of the user
// reads, so that `agent-process policy answer` can answer it from anywhere. The
// first answer counts and the other place is told.
//
// Nobody is there at all when [Asker.Unattended] is set: then the answer is no
// at once, and the question stays in the book. A person who says yes to it
// later lets the same call pass when the agent tries it again, once.
//
// # Invariants
//
//   - Only a person's yes allows. A deadline, the end of the context, a book
//     that fails, a terminal that goes away: all of these deny.
//   - What counts is what the book has: a yes that could not be written down,
//     or that came second, is none.
//   - What a question says is cut to a bound, and the cut says how much is
//     missing: nobody agrees to the end of a line they could not see.
//   - Texts are as they came from inside; whoever shows one makes control
//     characters visible.
//
// The package must not judge calls, know what a tool is, or write to a screen.
package approval
