// Package projecthook runs a project's own hooks: the executables pre-any,
// pre-bash, pre-writes, post-writes and post-stop of .agent-process/hooks in
// the base commit. Each call starts one in a fresh sandbox, tells it the tool
// call as JSON on stdin and turns the way it ends into a [Result].
//
//	hooks, err := projecthook.New(projecthook.Options{
//		Runtime: rt, Identity: who, Files: files, View: view, Scratch: dir,
//		About: projecthook.About{Run: "docs-1", Workspace: "/src/app", ...},
//	})
//	v := hooks.RunAll(ctx, projecthook.Chain{
//		Hooks: []string{projecthook.PreAny, projecthook.PreBash},
//		Input: projecthook.Input{Event: "PreToolUse", Tool: &tool, Commands: commands},
//	})
//	if v.Decision != projecthook.Allow { ... }
//
// What a hook reads and may answer is docs/hooks-reference.md, and in
// docs/hooks-schema.json for programs.
//
// # Invariants
//
//   - Only a hook that exits with 0, and with nothing or a well-formed answer
//     on stdout, allows. Everything else denies: another status, a signal, the
//     end of its time or memory, an interpreter that is not there, a sandbox
//     that does not start. There is no error to forget; the zero Result denies.
//   - A hook that observes never denies, and what it says has no effect.
//   - A hook has no network, none of the agent's environment, and no way to the
//     agent's tree: it reads it, or writes to a layer of ours above it.
//   - What a hook changed is looked at when its sandbox is gone, below the layer
//     of ours, and only regular files of the paths that the tool wrote.
//   - The sandboxes of a run have the ids of [Boxes], so that a supervisor that
//     was killed leaves nothing that cannot be found.
//
// # Must not
//
// Open a path of the agent's tree on the host; run a hook outside a sandbox;
// know of policies, agents or git.
package projecthook
