// Package trust knows what a repository brings along that would act on an agent
// or steer it (hooks, a policy, an allowlist, MCP servers, Claude Code's
// settings, skills, subagents and commands), what of it a person has looked at,
// and what has changed since.
//
//	items := trust.Find(files) // the base commit's files for which trust.Wanted is true
//	book := trust.Open(filepath.Join(configDir, "trust.json"))
//	trusted, untrusted, err := book.Check(commonGitDir, items)
//	// show untrusted: Item.Lines says what each would do; then, when a person agrees:
//	err = book.Pin(ctx, commonGitDir, "jo", untrusted)
//
// # Invariants
//
//   - What is not pinned, or differs from its pin in any byte, path or mode, is
//     not trusted; a book that cannot be read trusts nothing.
//   - An item's hash covers all its files, and its lines are bounded, whatever
//     the repository holds; control characters never reach a line.
//   - A link is hashed as a link and a submodule as its commit: neither is
//     followed, and neither acts.
//   - The book is a file of the user alone, written whole or not at all.
//
// It must not read repositories or working trees: it is given the files of a
// commit, so that an agent's edits never count for its own run.
package trust
