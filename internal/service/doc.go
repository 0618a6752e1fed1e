// Package service holds the use cases: start an agent, list what there is,
// show it, stop it, remove it, bring back what a crash left. It is the one API
// under the command line and, later, the dashboards.
//
//	svc := service.New(service.Deps{Runtime: rt, Store: db, Paths: paths, ...})
//	run, err := svc.Start(ctx, service.StartOptions{Name: "docs", Goal: "...", Dir: "."}, view)
//
// # A run, in order
//
// check (refuses before anything exists) → claim the branch → workspace →
// gateway and sandbox → proof → agent, with a checkpoint at each turn → last
// commit and import → checks → outcome → tear down. See start.go.
//
// # Invariants
//
//   - Nothing is created before check has passed.
//   - Whatever happens after the agent's first instruction, its work is
//     committed and imported, or stays in the run directory for Cleanup.
//   - An outcome is computed from facts: exit status, commits, receipts,
//     checks; never from what the agent says.
package service
