// Package agenttest gives tests the real Claude Code CLI.
//
//	cli := agenttest.Claude(t)
//
// # Invariants
//
//   - The CLI is the pinned version, installed through the product's own
//     agent.Find into AGENT_PROCESS_TEST_CACHE, or below the user's cache
//     directory.
//   - Where it cannot be had, a test is skipped and says why; in CI it fails.
//   - As root, tests run the CLI under Credential: it refuses to work as uid 0.
//
// It must not be imported by anything but tests.
package agenttest
