// Package sandbox is the domain: what a sandbox is asked to be ([Spec]), what
// it is asked to run ([Command]), how a run ends ([Outcome]) and how anything
// that goes wrong is told ([Error]).
//
// A [Runtime] turns a Spec into a [Sandbox]; the packages under
// internal/runtime do it for namespaces, containers and so on, and
// internal/runtime/runtimetest says what all of them must have in common.
//
//	box, err := rt.Start(ctx, sandbox.Spec{ID: "r1", Mounts: mounts, Network: sandbox.NetworkNone})
//	if err != nil { ... }
//	defer box.Close()
//	proc, err := box.Exec(ctx, sandbox.Command{Argv: []string{"git", "--version"}, Stdout: &out})
//
// # Invariants
//
//   - The package imports the standard library only, and of that nothing that
//     acts on the world.
//   - A Spec is the whole desired state: nothing is added to a sandbox later.
//   - A protection that cannot be set up is an error of Start, never a quietly
//     weaker sandbox.
package sandbox
