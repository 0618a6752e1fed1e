// Package agent knows the programs that work in a sandbox: how to find them,
// what they need to start without asking anything, and what their output means.
//
//	cli, err := agent.Find(ctx, agent.FindOptions{Environ: os.Environ(), CacheDir: dir, Version: agent.PinnedVersion})
//	claude := agent.Claude{CLI: cli}
//	plan, err := claude.Plan(ctx, agent.Request{Goal: goal, Dir: "/project", Home: "/home/agent", Environ: os.Environ()})
//	out := agent.NewCollector(claude.Transcript(), func(p audit.Payload) error { ... })
//	// run plan.Argv in a sandbox with plan.Files and plan.Mounts, its stdout to out.Stdout()
//	result := out.Close()
//
// # Invariants
//
//   - A [Plan] holds what is the agent's own. Proxy variables, PATH, git and so
//     on are the caller's.
//   - No credential passes through here: only what stands in for one inside, and
//     only when there is a real one (a placeholder would shadow a login).
//   - All output from inside is hostile: lines, texts and counts are bounded,
//     and what does not parse is passed on as plain output.
//   - The agent starts without a dialog, and no hook of its events is unwired.
//   - What a repository brings to steer the agent does nothing unless it is in
//     Request.Trusted; then it is a copy of the base commit's, out of the
//     agent's reach. What the agent writes to the same places, in the tree or at
//     home, does nothing in its own run. CLAUDE.md and .claude/rules are read.
//   - Every tool call of the agent is in its transcript: what would run tools
//     beside it is off.
//
// It must not start sandboxes, open sockets, or know where credentials rest.
package agent
