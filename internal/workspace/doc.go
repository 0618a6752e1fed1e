// Package workspace is everything git on the host: where an agent's branch,
// private clone and tree come from, and how its commits come home.
//
//	repo, err := workspace.Open(ctx, dir, cfg)
//	base, err := repo.Resolve(ctx, "HEAD")
//	claim, err := repo.Claim(ctx, "docs", base)          // the branch agent--docs, or a refusal
//	ws, err := repo.Prepare(ctx, workspace.Options{Name: "docs", Base: base, RunDir: runDir, Owner: who, Overlay: true})
//	defer ws.Close()
//	box, err := rt.Start(ctx, sandbox.Spec{Mounts: ws.Mounts(), ...})
//	// ... the agent works in ws.Dir() ...
//	result, err := ws.Commit(ctx, box, workspace.Message{Subject: "docs: describe main.go"})
//	imported, err := ws.Import(ctx, uploadPackInAFreshSandbox)
//
// # How it fits together
//
// An agent's git directory is a private clone that borrows the host's objects
// read-only; its tree is an overlay over a checkout that all agents of the same
// base tree share. Neither is ever looked at by git on the host once the
// sandbox has started. Commits are made by git inside, served by
// git-upload-pack inside a second sandbox, received by a quarantine repository
// of ours with fsck on, cleaned of what must not travel, and only then fetched
// by the host repository.
//
// # Invariants
//
//   - git runs through one door (git.go) with an environment that is spelled
//     out; the user's environment is used for two questions only: which
//     repository this is, and what is configured in it.
//   - The host runs no git on, and opens no path below, anything the agent can
//     write once it has started: the private git directory and the upper
//     directory. [RemoveTree] is the exception: it only unlinks.
//   - A ref that holds work is never deleted before another one holds it.
//   - Nothing of ours is written into the repository but refs under
//     refs/heads/agent--* and refs/agents/, the objects they need, and the
//     worktree registrations that [Workspace.AddWorktree] makes.
//
// It must not start sandboxes (it takes an [Execer] and an [UploadPack]), know
// of policies, or print.
package workspace
