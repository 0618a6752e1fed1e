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
// of ours with fsck on, cleaned of what must not travel, and only then packed
// for the host repository, where git checks the pack once more and all refs move
// in one step.
//
// With a scope ([Options.Scope]) an import goes as far as the agent kept to it.
// A commit that changes a path outside, and all that is built on it, is refused
// whole: it does not enter the repository but is held in one of ours, where
// [Repository.Held] lists it, [Repository.DiffHeld] shows it, and
// [Repository.ReleaseHeld] lets it in. What the agent did not commit itself is
// told apart: what is in the scope is committed, and the rest is held.
//
// [Repository.Files] reads the base commit, which is where policy and hooks of a
// run come from: what the agent does to .agent-process/ is a change like
// others, flagged, and acts in no run before a person merged it.
// [Workspace.View] shows the tree to another sandbox.
//
// # The journal
//
// What a command does to the person's repository can be undone, because it is
// written down before it is done, as a commit under refs/agents/undo/:
//
//	e, err := repo.Journal(ctx, workspace.Deed{
//		Op: "merge", Agent: "docs", Text: "merge agent--docs into main",
//		Refs:  map[string]string{"refs/heads/main": newTip}, // what they will be; "" is gone
//		Paths: changed,                                      // written in worktree or index
//	})
//	// ... only now move refs and write files ...
//	err = repo.Seal(ctx, e) // what there is now is what the deed left
//
// The entry keeps the refs, and the bytes of the paths in worktree and index,
// as they were. [Repository.Undo] brings back what is still as the deed left it
// and refuses, whole, when somebody changed something since; an undoing is an
// entry itself. A crash before Seal costs nothing: what the deed had not
// touched is as before, and the rest is listed and wants force. Deeds without
// paths need no Seal. Whoever holds the repository's lock calls journal and seal
// instead. Paths must be files (or links), and all that the deed may write: one
// that it creates is named as well, and is absent before.
//
// # Invariants
//
//   - git runs through one door (git.go) with an environment that is spelled
//     out; the user's environment is used for two questions only: which
//     repository this is, and what is configured in it.
//   - The host runs no git on, and opens no path below, anything the agent can
//     write once it has started: the private git directory and the upper
//     directory. [RemoveTree] is the exception: it only unlinks. What another
//     sandbox left in a view of its own is read by os.Root, regular files only.
//   - A ref that holds work is never deleted before another one holds it.
//   - With a scope, the branch differs from the base in nothing that is outside,
//     and no commit on it ever did. Paths are judged as git stores them: links
//     are files, case counts.
//   - Nothing of ours is written into the repository but refs under
//     refs/heads/agent--* and refs/agents/, the objects they need, and the
//     worktree registrations that [Workspace.AddWorktree] makes.
//
// It must not start sandboxes (it takes an [Execer] and an [UploadPack]), know
// of policies, or print.
package workspace
