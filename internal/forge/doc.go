// Package forge opens pull and merge requests: where a remote is, and how the
// person's own gh or glab opens one there.
//
//	place, ok := forge.Parse("git@github.com:acme/project.git")
//	tool := forge.Find(ctx, place, environ)
//	url, err := tool.Open(ctx, forge.Request{Place: place, Branch: "agent--docs", Base: "main", Title: "..."})
//
// # Invariants
//
//   - The tools run on the host, with the person's own configuration. They are
//     given text; no agent is ever given what they know.
//   - A URL is shown without the user and the password that may stand in it.
//   - Nothing is asked on the terminal: what a tool would ask is an error.
//
// It must not run git, or know of agents.
package forge
