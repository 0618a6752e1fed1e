// Package toolpolicy decides what an agent's tools may do: rules in TOML, of
// three layers (built-in, user, project), are held against a tool call, and of
// those that match the strongest answers.
//
//	user, err := toolpolicy.Parse("policy.toml", data)
//	p, err := toolpolicy.New(toolpolicy.Options{User: user, Scope: []string{"docs/**"}})
//	v := p.Judge(ctx, toolpolicy.Call{
//		Phase: toolpolicy.Pre, Tool: "Bash", Input: json.RawMessage(`{"command": "cd web && git push"}`),
//		Dir: "/w", Workspace: "/w", Home: "/home/agent",
//	}, resolve)
//	// v.Action == toolpolicy.Deny, v.Rule == "git-push", v.Source == "built-in"
//
// The language of the rules is described in docs/policy.md; builtin.toml is an
// example of all of it.
//
// # How a call is judged
//
// A call is taken apart into subjects: each command that internal/shell finds
// in a line is one, with the paths it reads, writes and deletes and the URLs
// it fetches; the call of any other tool is one. A rule matches a subject when
// all of its keys do. An allow rule with "over" takes hits of those rules away
// where it matches the same command, path or URL, word for word.
//
// Matching has three answers: yes, no, and maybe, where a word is not known
// before the line runs. A maybe for a rule of action deny or ask becomes a
// verdict of rule "unparsed".
//
// # What is not understood
//
// The line between what follows "unparsed" and what runs:
//
//   - A command whose name is not known ($X push), a word that is not known
//     where the subcommand or an option could be (git $X, git commit $X), the
//     text of a shell that is not known (eval "$X", sh -c "$X", base64 -d | sh,
//     a here-document to sh with expansions) and what is no shell at all: these
//     could be any command, so rules for commands could match.
//   - A command of a rule among the words of a program that is not known to
//     start others (wrap git push): it may be started. See hidden.go.
//   - Code of other languages (python3 -c, node -e, perl -e, awk) and files
//     that are run (bash script.sh, make, npm test, source venv/bin/activate):
//     they run. Rules for commands are about what the agent types; what a
//     program does by itself no parser of lines can see, in a file as little as
//     in an argument, and denying every interpreter would deny all work. The
//     wall of the sandbox (no network but the gateway, no credentials, branches
//     imported after inspection) holds there.
//   - A path that is not known ("$f") matches no rule for paths, except by the
//     parts that are: "$H/.ssh/id_rsa" is held against ~/.ssh/** by its end.
//
// # Invariants
//
//   - Input that its tool cannot have, paths that cannot be resolved, a line
//     that cannot be parsed: denied (or asked, where unparsed says so), never
//     passed over.
//   - Paths are compared as said and as resolved; a rule that forbids needs one
//     of both, a rule that allows both.
//   - A layer only makes stronger what is below, unless it says disable or
//     over; of a project that is not trusted neither counts.
//   - A Policy is immutable: judging changes nothing.
//
// # What it must not do
//
// No I/O but the caller's [Resolver], no os, no net/http, no clock; and it is
// not the wall: a run must be safe with every rule switched off.
package toolpolicy
